//! A time that other processes on the machine do not blur.

use std::time::{Duration, Instant};

/// Records in a batch: tens of microseconds, so that few batches meet the scheduler.
const BATCH: u64 = 2048;

/// Calls `work` with 0, 1, .. `times` - 1 and returns the time that this takes at the pace of
/// the median batch.
///
/// On a machine that others use too, a mean over milliseconds is mostly their time. What
/// happens inside of most batches (cache misses, contended lines) stays in.
pub fn steady(times: u64, mut work: impl FnMut(u64)) -> Duration {
    let mut batches: Vec<f64> = Vec::with_capacity((times / BATCH + 1) as usize);
    let mut at = 0;
    while at < times {
        let end = times.min(at + BATCH);
        let start = Instant::now();
        for n in at..end {
            work(n);
        }
        batches.push(start.elapsed().as_secs_f64() / (end - at) as f64);
        at = end;
    }
    let pace = crate::stats::median(&batches);
    Duration::from_secs_f64(if pace.is_finite() {
        pace * times as f64
    } else {
        0.0
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_time_is_worked_once_and_in_order() {
        let mut seen = Vec::new();
        steady(BATCH * 2 + 3, |n| seen.push(n));
        assert!((0..BATCH * 2 + 3).eq(seen));
        assert_eq!(steady(0, |_| unreachable!("no work")), Duration::ZERO);
    }
}
