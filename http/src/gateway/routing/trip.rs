//! A request's attempts: how many there may be, and until when.

use coo_llm_config::Retry;
use std::time::{Duration, Instant};

/// Attempts of one request over all providers. The meter counts on it:
/// `ADDITIONS_MAX` of the core's shard.
pub(crate) const ATTEMPTS_MAX: u32 = 10;

#[derive(Clone, Copy, Debug)]
pub(crate) struct Trip {
    arrived: Instant,
    retry: Retry,
    /// At this provider.
    here: u32,
    all: u32,
}

impl Trip {
    pub(crate) fn new(retry: Retry, arrived: Instant) -> Self {
        Self {
            arrived,
            retry,
            here: 0,
            all: 0,
        }
    }

    /// An attempt begins.
    pub(crate) fn begins(&mut self) {
        self.here += 1;
        self.all += 1;
    }

    /// The next attempt goes to another provider.
    pub(crate) fn moves_on(&mut self) {
        self.here = 0;
    }

    /// Attempts at this provider so far.
    pub(crate) fn here(&self) -> u32 {
        self.here
    }

    /// Attempts so far.
    pub(crate) fn all(&self) -> u32 {
        self.all
    }

    /// Whether another attempt may begin at another provider.
    pub(crate) fn goes_on(&self, now: Instant) -> bool {
        self.all < ATTEMPTS_MAX && now.saturating_duration_since(self.arrived) < self.retry.timeout
    }

    /// Whether another attempt may begin here after a pause.
    pub(crate) fn repeats(&self, now: Instant, pause: Duration) -> bool {
        let passed = now.saturating_duration_since(self.arrived);
        self.has_more_here() && passed.saturating_add(pause) < self.retry.timeout
    }

    /// Whether the count alone allows another attempt here.
    pub(crate) fn has_more_here(&self) -> bool {
        self.here < self.retry.max_attempts && self.all < ATTEMPTS_MAX
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attempts_end_by_count_and_by_time() {
        let retry = Retry {
            max_attempts: 3,
            timeout: Duration::from_secs(30),
            interval: Duration::from_secs(1),
        };
        let start = Instant::now();
        let after = |seconds| start + Duration::from_secs(seconds);
        let mut trip = Trip::new(retry, start);
        trip.begins();
        assert!(trip.repeats(after(29), Duration::from_millis(999)));
        assert!(!trip.repeats(after(29), Duration::from_secs(1)));
        assert!(!trip.repeats(start, Duration::MAX));
        assert!(trip.goes_on(after(29)) && !trip.goes_on(after(30)));
        trip.begins();
        trip.begins();
        assert!(!trip.repeats(start, Duration::ZERO), "three are made");
        for _ in 0..3 {
            trip.moves_on();
            assert!(trip.goes_on(start));
            trip.begins();
            trip.begins();
        }
        assert_eq!((trip.here(), trip.all()), (2, 9));
        trip.begins();
        assert!(!trip.goes_on(start), "ten are made");
    }
}
