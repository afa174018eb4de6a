//! A sign of life from each worker, a store a second: a worker that hangs is named.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// When each worker last came round, for the control plane to read. Clones share it.
#[derive(Clone, Debug)]
pub struct Heartbeats {
    began: Instant,
    workers: Arc<[Beat]>,
}

/// Milliseconds since the begin. The alignment keeps two workers off one pair of cache lines.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Beat(AtomicU64);

impl Heartbeats {
    /// Of so many workers, all of which are taken to be well at first.
    #[must_use]
    pub fn new(workers: usize) -> Self {
        Self {
            began: Instant::now(),
            workers: (0..workers).map(|_| Beat::default()).collect(),
        }
    }

    /// Says that a worker is well.
    pub(crate) fn beat(&self, worker: usize, now: Instant) {
        let since = now.saturating_duration_since(self.began);
        if let Some(beat) = self.workers.get(worker) {
            let ms = u64::try_from(since.as_millis()).unwrap_or(u64::MAX);
            beat.0.store(ms, Ordering::Relaxed);
        }
    }

    /// How long ago each worker was well.
    #[must_use]
    pub fn ages(&self, now: Instant) -> Vec<Duration> {
        let now = now.saturating_duration_since(self.began);
        let age = |beat: &Beat| {
            let then = Duration::from_millis(beat.0.load(Ordering::Relaxed));
            now.saturating_sub(then)
        };
        self.workers.iter().map(age).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_worker_that_does_not_come_round_grows_old() {
        let beats = Heartbeats::new(2);
        let at = |s| beats.began + Duration::from_secs(s);
        beats.beat(0, at(3));
        beats.beat(1, at(10));
        beats.beat(2, at(10));
        let ages = |s| -> Vec<u64> { beats.ages(at(s)).iter().map(Duration::as_secs).collect() };
        assert_eq!(ages(12), [9, 2]);
        assert_eq!(ages(0), [0, 0]);
    }
}
