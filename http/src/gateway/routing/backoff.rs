//! How long to wait before an attempt: exponential backoff with full jitter.

use std::time::Duration;

/// No pause is longer, however many attempts there were; a longer `interval` raises it.
const PAUSE_MAX: Duration = Duration::from_secs(10);

/// A uniform part of `interval` before the second attempt, of twice that before the
/// third, and so on, up to [`PAUSE_MAX`].
///
/// `attempts` were made so far, one at least; `unit` is chance, in [0, 1). Full jitter,
/// as in "Exponential Backoff and Jitter" (Brooker, AWS, 2015): clients that failed
/// together do not come back together.
pub(crate) fn pause(interval: Duration, attempts: u32, unit: f64) -> Duration {
    let doublings = attempts.saturating_sub(1).min(16);
    let longest = interval.saturating_mul(1 << doublings);
    longest.min(PAUSE_MAX.max(interval)).mul_f64(unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);
    const ALMOST_ONE: f64 = 1.0 - f64::EPSILON;

    fn longest_ms(interval: Duration, attempts: u32) -> u128 {
        (pause(interval, attempts, ALMOST_ONE) + Duration::from_nanos(100)).as_millis()
    }

    #[test]
    fn it_doubles_up_to_its_bound() {
        let longest: Vec<_> = (1..=7).map(|n| longest_ms(SECOND, n)).collect();
        assert_eq!(longest, [1000, 2000, 4000, 8000, 10_000, 10_000, 10_000]);
        assert_eq!(longest_ms(SECOND, u32::MAX), 10_000);
        assert_eq!(longest_ms(30 * SECOND, 1), 30_000);
        assert_eq!(longest_ms(30 * SECOND, 2), 30_000);
    }

    #[test]
    fn chance_covers_all_of_it() {
        assert_eq!(pause(SECOND, 1, 0.0), Duration::ZERO);
        assert_eq!(pause(SECOND, 2, 0.25), SECOND / 2);
        assert_eq!(pause(SECOND, 3, 0.75), 3 * SECOND);
    }
}
