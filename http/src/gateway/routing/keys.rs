//! Which key of a provider takes the next request.

use coo_llm_config::Algorithm;
use std::cell::Cell;
use std::rc::Rc;
use std::time::{Duration, Instant};

/// The weights of `hybrid`: of the requests under way, the recent errors, the latency.
const WEIGHTS: [f64; 3] = [0.5, 0.3, 0.2];
/// How much of the mean one sample is.
const SAMPLE: f64 = 0.2;
/// The time in which recent errors and latency count half: a key that is passed over
/// because of them comes back.
const HALF_LIFE: Duration = Duration::from_secs(10);

/// The keys of one provider, as one worker knows them.
#[derive(Debug)]
pub(crate) struct Keys {
    next: Cell<usize>,
    /// Shared with the keys of the plan before: what began under it ends there.
    keys: Box<[Rc<Known>]>,
}

#[derive(Debug, Default)]
struct Known {
    under_way: Cell<u32>,
    /// A moving mean: 1 where every attempt fails.
    errors: Fading,
    /// A moving mean of the seconds to the answer's head.
    latency_s: Fading,
}

/// A moving mean that fades while nothing comes.
#[derive(Debug, Default)]
struct Fading {
    mean: Cell<f64>,
    since: Cell<Option<Instant>>,
}

impl Fading {
    fn at(&self, now: Instant) -> f64 {
        self.since.get().map_or(0.0, |since| {
            let passed = now.saturating_duration_since(since).as_secs_f64();
            self.mean.get() * (-passed / HALF_LIFE.as_secs_f64()).exp2()
        })
    }

    fn add(&self, sample: f64, now: Instant) {
        let mean = match self.since.replace(Some(now)) {
            None => sample,
            Some(_) => self.mean.get() * (1.0 - SAMPLE) + sample * SAMPLE,
        };
        self.mean.set(mean);
    }
}

impl Keys {
    /// `first` is the key to begin with.
    pub(crate) fn new(count: usize, first: usize) -> Self {
        Self {
            next: Cell::new(first),
            keys: (0..count).map(|_| Rc::default()).collect(),
        }
    }

    /// The keys of the same provider under the next plan: for each the place of the same
    /// key among these, where it was there.
    pub(crate) fn succeeded_by(&self, same: impl Iterator<Item = Option<usize>>) -> Self {
        let known = |at: Option<usize>| at.map_or_else(Rc::default, |at| Rc::clone(&self.keys[at]));
        Self {
            next: self.next.clone(),
            keys: same.map(known).collect(),
        }
    }

    /// The key for the next request, among those that `is_usable` lets through.
    ///
    /// Keys that are alike are taken in turn.
    pub(crate) fn choose(
        &self,
        algorithm: Algorithm,
        now: Instant,
        is_usable: impl Fn(usize) -> bool,
    ) -> Option<usize> {
        let count = self.keys.len();
        let first = self.next.get();
        let mut in_turn = (0..count)
            .map(|step| (first + step) % count)
            .filter(|at| is_usable(*at));
        let chosen = match algorithm {
            Algorithm::RoundRobin => in_turn.next(),
            // The first of equals is the one whose turn it is.
            Algorithm::LeastLoaded => in_turn.min_by_key(|at| self.keys[*at].under_way.get()),
            Algorithm::Hybrid => self.lightest(in_turn, now),
        }?;
        self.next.set((chosen + 1) % count);
        Some(chosen)
    }

    /// The lowest sum of weighted parts, each from 0 to 1 of the most among the keys.
    fn lightest(&self, usable: impl Iterator<Item = usize> + Clone, now: Instant) -> Option<usize> {
        let facts = |at: usize| {
            let key = &self.keys[at];
            [
                f64::from(key.under_way.get()),
                key.errors.at(now),
                key.latency_s.at(now),
            ]
        };
        let mut most = [0.0_f64; 3];
        for at in usable.clone() {
            for (most, fact) in most.iter_mut().zip(facts(at)) {
                *most = most.max(fact);
            }
        }
        // An error rate is from 0 to 1 by itself: few errors weigh little.
        most[1] = 1.0;
        let weight = |at: usize| -> f64 {
            let parts = facts(at).into_iter().zip(most).zip(WEIGHTS);
            parts
                .filter(|((_, most), _)| *most > 0.0)
                .map(|((fact, most), weight)| weight * fact / most)
                .sum()
        };
        usable.min_by(|a, b| weight(*a).total_cmp(&weight(*b)))
    }

    /// Whether a key is usable.
    pub(crate) fn any(&self, is_usable: impl Fn(usize) -> bool) -> bool {
        (0..self.keys.len()).any(is_usable)
    }

    /// A request begins with this key.
    pub(crate) fn begins(&self, at: usize) {
        let under_way = &self.keys[at].under_way;
        under_way.set(under_way.get() + 1);
    }

    /// It ends.
    pub(crate) fn ends(&self, at: usize) {
        let under_way = &self.keys[at].under_way;
        under_way.set(under_way.get().saturating_sub(1));
    }

    /// An answer's head came after this time.
    pub(crate) fn succeeded(&self, at: usize, latency: Duration, now: Instant) {
        self.keys[at].errors.add(0.0, now);
        self.keys[at].latency_s.add(latency.as_secs_f64(), now);
    }

    /// The attempt failed.
    pub(crate) fn failed(&self, at: usize, now: Instant) {
        self.keys[at].errors.add(1.0, now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: fn(usize) -> bool = |_| true;

    fn choose(keys: &Keys, algorithm: Algorithm, now: Instant) -> usize {
        keys.choose(algorithm, now, ALL).expect("all are usable")
    }

    #[test]
    fn round_robin_goes_in_turn_past_what_is_not_usable() {
        let (keys, now) = (Keys::new(3, 1), Instant::now());
        let turn = |usable: fn(usize) -> bool| keys.choose(Algorithm::RoundRobin, now, usable);
        let turns: Vec<_> = (0..4).map(|_| turn(ALL)).collect();
        assert_eq!(turns, [Some(1), Some(2), Some(0), Some(1)]);
        assert_eq!(turn(|at| at != 2), Some(0));
        assert_eq!(turn(|_| false), None);
        assert_eq!(turn(ALL), Some(1));
        assert!(keys.any(|at| at == 2) && !keys.any(|_| false));
    }

    #[test]
    fn the_least_loaded_takes_it_and_equals_take_turns() {
        let (keys, now) = (Keys::new(3, 0), Instant::now());
        let take = || {
            let at = choose(&keys, Algorithm::LeastLoaded, now);
            keys.begins(at);
            at
        };
        assert_eq!([take(), take(), take(), take()], [0, 1, 2, 0]);
        keys.ends(2);
        assert_eq!([take(), take(), take()], [2, 1, 2]);
    }

    #[test]
    fn hybrid_weighs_load_errors_and_latency() {
        let start = Instant::now();
        let ms = Duration::from_millis;
        let chosen = |keys: &Keys, now| choose(keys, Algorithm::Hybrid, now);
        // All alike: in turn.
        let keys = Keys::new(2, 0);
        assert_eq!([chosen(&keys, start), chosen(&keys, start)], [0, 1]);
        // The slower one is passed over, until the other has more under way.
        keys.succeeded(0, ms(900), start);
        keys.succeeded(1, ms(300), start);
        assert_eq!([chosen(&keys, start), chosen(&keys, start)], [1, 1]);
        keys.begins(1);
        assert_eq!(chosen(&keys, start), 0);
        keys.ends(1);
        // Errors outweigh latency: 0.3 against 0.2 * (1 - 1/3).
        for _ in 0..20 {
            keys.failed(1, start);
        }
        assert_eq!([chosen(&keys, start), chosen(&keys, start)], [0, 0]);
        // They fade: after 10 s half of them are left, and after 20 s the latency decides.
        assert_eq!(chosen(&keys, start + 2 * HALF_LIFE), 1);
    }
}
