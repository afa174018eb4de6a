//! What a sequence of records must add up to, in any backend.

use crate::pick::Pick;
use crate::set::Set;
use coo_llm_core::histogram::LATENCY;

/// Every number of the standard work.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tally {
    /// Requests, input, output, nano-USD: by route.
    pub routes: Vec<[u64; 4]>,
    /// Requests, tokens, nano-USD: by client.
    pub clients: Vec<[u64; 3]>,
    /// Over all models: values at most each classic bound, then all.
    pub buckets: Vec<u64>,
    /// Over all models: the sum of values in microseconds.
    pub latency_us: u64,
}

impl Tally {
    /// Zeros.
    #[must_use]
    pub fn new(set: &Set) -> Self {
        Self {
            routes: vec![[0; 4]; set.routes()],
            clients: vec![[0; 3]; set.clients],
            buckets: vec![0; LATENCY.bounds().len() + 1],
            latency_us: 0,
        }
    }

    /// The slow and obvious sum.
    #[must_use]
    pub fn of(set: &Set, picks: &[Pick]) -> Self {
        let mut tally = Self::new(set);
        for pick in picks {
            let [input, output, cost, latency] =
                [pick.input, pick.output, pick.cost, pick.latency].map(u64::from);
            let add = |to: &mut [u64], what: &[u64]| {
                to.iter_mut().zip(what).for_each(|(to, n)| *to += n);
            };
            let route = &mut tally.routes[pick.route as usize];
            add(route, &[1, input, output, cost]);
            let client = &mut tally.clients[pick.client as usize];
            add(client, &[1, input + output, cost]);
            for (bucket, bound) in tally.buckets.iter_mut().zip(LATENCY.bounds()) {
                *bucket += u64::from(latency <= *bound);
            }
            if let Some(all) = tally.buckets.last_mut() {
                *all += 1;
            }
            tally.latency_us += latency;
        }
        tally
    }
}
