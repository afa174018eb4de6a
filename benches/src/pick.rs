//! The standard work: a fixed, seeded sequence of records, Zipf over routes and clients.

use crate::set::Set;

/// Picks in a sequence; a power of two.
pub const PICKS: usize = 1 << 16;

/// The numbers of one record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pick {
    /// The route, by number.
    pub route: u32,
    /// The client, by number.
    pub client: u32,
    /// Input tokens.
    pub input: u32,
    /// Output tokens.
    pub output: u32,
    /// Nano-USD.
    pub cost: u32,
    /// Microseconds.
    pub latency: u32,
}

impl Pick {
    /// What the counters of its route get: requests, input, output, nano-USD.
    #[inline]
    #[must_use]
    pub fn of_route(&self) -> [u64; 4] {
        [1, self.input, self.output, self.cost].map(u64::from)
    }

    /// What the counters of its client get: requests, tokens, nano-USD.
    #[inline]
    #[must_use]
    pub fn of_client(&self) -> [u64; 3] {
        [1, self.input + self.output, self.cost].map(u64::from)
    }
}

/// Draws numbers below a bound, the one of rank `r` with weight 1/r; ranks are shuffled so
/// that hot numbers are no neighbours.
struct Zipf {
    below: Vec<f64>,
    numbers: Vec<u32>,
}

impl Zipf {
    fn new(n: usize, random: &mut fastrand::Rng) -> Self {
        let mut sum = 0.0;
        let weights = (1..=n).map(|rank| {
            sum += 1.0 / rank as f64;
            sum
        });
        let below = weights.collect();
        let mut numbers: Vec<u32> = (0..n as u32).collect();
        random.shuffle(&mut numbers);
        Self { below, numbers }
    }

    fn draw(&self, random: &mut fastrand::Rng) -> u32 {
        let sum = self.below.last().copied().unwrap_or_default();
        let at = random.f64() * sum;
        let rank = self.below.partition_point(|below| *below <= at);
        self.numbers[rank.min(self.numbers.len() - 1)]
    }
}

/// A heavy-tailed latency, median 400 ms.
fn latency(random: &mut fastrand::Rng) -> u32 {
    // The sum of twelve is close to normal.
    let normal = (0..12).map(|_| random.f64()).sum::<f64>() - 6.0;
    (400_000.0 * (normal * 0.9).exp()) as u32
}

fn pick(route: u32, client: u32, random: &mut fastrand::Rng) -> Pick {
    Pick {
        route,
        client,
        input: random.u32(1..4000),
        output: random.u32(1..1000),
        cost: random.u32(1..10_000_000),
        latency: latency(random),
    }
}

/// [`PICKS`] records, the same at every call.
#[must_use]
pub fn zipf(set: &Set) -> Vec<Pick> {
    let mut random = fastrand::Rng::with_seed(42);
    let routes = Zipf::new(set.routes(), &mut random);
    let clients = Zipf::new(set.clients, &mut random);
    let picks = (0..PICKS).map(|_| {
        let (route, client) = (routes.draw(&mut random), clients.draw(&mut random));
        pick(route, client, &mut random)
    });
    picks.collect()
}

/// Records that touch every route and every client at least `rounds` times.
#[must_use]
pub fn cover(set: &Set, rounds: usize) -> Vec<Pick> {
    let mut random = fastrand::Rng::with_seed(43);
    let n = set.routes().max(set.clients) * rounds;
    let picks = (0..n).map(|at| {
        let (route, client) = (at % set.routes(), at % set.clients);
        pick(route as u32, client as u32, &mut random)
    });
    picks.collect()
}
