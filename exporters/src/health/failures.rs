//! Error rates: do more requests fail than usual?

use super::input::Sum;
use super::robust::weighted_median;
use super::sensitivity::Sensitivity;
use super::tail::{failure_tail, wilson};

/// A client of which nothing is known is taken to fail at this rate, as if that many of its
/// requests had been seen.
const PRIOR_RATE: f64 = 0.01;
const PRIOR_REQUESTS: f64 = 100.0;
/// Failures of one hour go together: so much where nothing is known, and how many hours' worth.
const PRIOR_CORRELATION: f64 = 0.01;
const PRIOR_HOURS: f64 = 24.0;
/// Hours that are read.
const LONG_H: usize = 14 * 24;
const RECENT_H: usize = 48;
const BLOCK_H: usize = 6;
/// What leaving them out takes from the variance, where none of them was wild: of rates that are
/// spread like an exponential variate, whose three largest of a hundred have a fifth and more.
const WITHOUT_WILD: f64 = 1.25;
/// Requests below which the last two days say nothing of their own.
const RECENT_REQUESTS_MIN: f64 = 100.0;
/// The part of the hours that is left out as wild.
const WILD: f64 = 0.03;
/// A finding has at least so many failures, and its rate is surely (Wilson, three standard
/// deviations) above twice the usual rate and two percent more than it.
const FAILURES_MIN: u64 = 5;
const WILSON_Z: f64 = 3.0;
const TIMES: f64 = 2.0;
const ABOVE: f64 = 0.02;

/// A finding is so unlikely: less in short windows, of which a month has more, and in two hours,
/// whose failures may go together more than those of one hour say.
const fn p_max(window_min: usize) -> f64 {
    match window_min {
        60 => 1e-5,
        _ => 1e-6,
    }
}

/// How a client's requests usually fail.
#[derive(Clone, Copy, Debug)]
pub(super) struct Failures {
    /// Of the last two weeks.
    long: f64,
    /// Of the last two days, where known.
    recent: Option<f64>,
    /// Of requests within an hour.
    correlation: f64,
}

/// More failures than usual.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rise {
    pub(super) rate: f64,
    pub(super) usual: f64,
    pub(super) lower: f64,
    pub(super) upper: f64,
    pub(super) p: f64,
}

impl Failures {
    /// From hours, the last ones last; `None` is one of which nothing is known.
    pub(super) fn learn(hours: &[Option<Sum>]) -> Self {
        let long = &hours[hours.len().saturating_sub(LONG_H)..];
        let seen = |hours: &[Option<Sum>]| -> Vec<(f64, f64)> {
            let some = hours.iter().flatten().filter(|hour| hour.requests > 0);
            some.map(|hour| (hour.errors.min(hour.requests) as f64, hour.requests as f64))
                .collect()
        };
        let mut some = seen(long);
        let first = rate(&some);
        // The wildest hours, by how far they are above the rate of all.
        let excess = |(errors, n): (f64, f64)| {
            (errors - n * first) / (n * first * (1.0 - first)).max(1e-9).sqrt()
        };
        let kept = some.len() - (some.len() as f64 * WILD).ceil() as usize;
        if kept > 0 && kept < some.len() {
            some.select_nth_unstable_by(kept, |a, b| excess(*a).total_cmp(&excess(*b)));
            some.truncate(kept);
        }
        let long_rate = rate(&some);
        let (mut over, mut pairs) = (0.0, 0.0);
        for (errors, n) in &some {
            let variance = long_rate * (1.0 - long_rate);
            over += WITHOUT_WILD * (errors - n * long_rate).powi(2) - n * variance;
            pairs += n * (n - 1.0) * variance;
        }
        let found = if pairs > 0.0 { over / pairs } else { 0.0 };
        let hours_seen = some.len() as f64;
        let drawn = hours_seen * found + PRIOR_HOURS * PRIOR_CORRELATION;
        let correlation = (drawn / (hours_seen + PRIOR_HOURS)).clamp(1e-3, 0.1);
        Self {
            long: long_rate,
            recent: recent(hours),
            correlation,
        }
    }

    /// The rate that explains most: that of the weeks or that of the last two days.
    pub(super) fn usual(&self) -> f64 {
        self.recent
            .map_or(self.long, |recent| recent.max(self.long))
    }

    /// Looks at a window. That the last two days had failed as much is no news.
    pub(super) fn judge(
        &self,
        failures: u64,
        requests: u64,
        window_min: usize,
        sensitivity: Sensitivity,
    ) -> Option<Rise> {
        if failures < FAILURES_MIN || requests == 0 {
            return None;
        }
        let usual = self.usual();
        let (lower, upper) = wilson(failures, requests, WILSON_Z);
        if lower < TIMES * usual || lower < usual + ABOVE {
            return None;
        }
        // Failures go together within an hour: of two hours half as much.
        let hours = (window_min as f64 / 60.0).max(1.0);
        let p = failure_tail(failures, requests, usual, self.correlation / hours);
        (p <= sensitivity.p(p_max(window_min))).then_some(Rise {
            rate: failures as f64 / requests as f64,
            usual,
            lower,
            upper,
            p,
        })
    }
}

/// Drawn towards the prior where there are few.
fn rate(hours: &[(f64, f64)]) -> f64 {
    let errors: f64 = hours.iter().map(|(errors, _)| errors).sum();
    let requests: f64 = hours.iter().map(|(_, n)| n).sum();
    (errors + PRIOR_RATE * PRIOR_REQUESTS) / (requests + PRIOR_REQUESTS)
}

/// The rate of the block in which half of the requests of the last two days are reached.
fn recent(hours: &[Option<Sum>]) -> Option<f64> {
    let last = &hours[hours.len().saturating_sub(RECENT_H)..];
    let mut requests = 0.0;
    let mut blocks = Vec::with_capacity(RECENT_H / BLOCK_H);
    for block in last.rchunks(BLOCK_H) {
        let mut sum = Sum::default();
        block.iter().flatten().for_each(|hour| sum.plus(hour));
        let n = sum.requests as f64;
        requests += n;
        if n > 0.0 {
            blocks.push((sum.errors as f64 / n, n));
        }
    }
    if requests < RECENT_REQUESTS_MIN {
        return None;
    }
    weighted_median(&mut blocks)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NORMAL: Sensitivity = Sensitivity::Normal;

    fn hours(n: usize, requests: u64, errors: impl Fn(usize) -> u64) -> Vec<Option<Sum>> {
        let hour = |at| Sum {
            requests,
            errors: errors(at),
            ..Sum::default()
        };
        (0..n).map(|at| Some(hour(at))).collect()
    }

    #[test]
    fn fifteen_percent_after_one_is_a_rise_and_two_of_ten_requests_are_not() {
        let failures = Failures::learn(&hours(336, 100, |at| (at % 2) as u64 * 2));
        let rise = failures.judge(30, 200, 60, NORMAL).expect("a rise");
        assert!((rise.usual - 0.01).abs() < 0.003 && rise.lower > 0.05 && rise.p < 1e-5);
        assert!(failures.judge(2, 10, 60, NORMAL).is_none());
        assert!(failures.judge(5, 400, 60, NORMAL).is_none());
        assert!(failures.judge(0, 0, 60, NORMAL).is_none());
    }

    #[test]
    fn a_new_client_is_taken_to_fail_at_one_percent() {
        let failures = Failures::learn(&[]);
        assert!(failures.judge(30, 60, 60, NORMAL).is_some());
        assert!(failures.judge(4, 60, 60, NORMAL).is_none());
    }

    #[test]
    fn a_client_that_fails_in_bursts_needs_a_larger_one() {
        let even = Failures::learn(&hours(336, 200, |_| 4));
        let bursts = Failures::learn(&hours(336, 200, |at| if at % 10 == 0 { 40 } else { 0 }));
        assert!(even.judge(24, 200, 60, NORMAL).is_some());
        assert!(bursts.judge(24, 200, 60, NORMAL).is_none());
    }

    #[test]
    fn a_rate_that_lasts_is_no_news_after_a_day() {
        let rate_from = |from| hours(336, 100, move |at| if at >= from { 15 } else { 1 });
        assert!(
            Failures::learn(&rate_from(336 - 8))
                .judge(15, 100, 60, NORMAL)
                .is_some()
        );
        assert!(
            Failures::learn(&rate_from(336 - 30))
                .judge(15, 100, 60, NORMAL)
                .is_none()
        );
    }
}
