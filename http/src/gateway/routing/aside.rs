//! A key that is not used for a while, because its provider refused it.

use coo_llm_config::KeyCooldown;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

/// A provider's `Retry-After` is believed up to here.
const ASIDE_MAX: Duration = Duration::from_secs(24 * 3600);
/// Answers with 403 in a row after which a key is set aside: one alone may be about the
/// model or the place that was asked for, and a client could close a provider for all.
const FORBIDDEN_MAX: u32 = 3;

/// Why a key is set aside.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Why {
    /// 429.
    RateLimit,
    /// 401 or 403.
    Auth,
}

/// The news of one key, for all workers. Times are milliseconds of the plan's clock.
///
/// Every load and store is relaxed: each word says all there is to know, and a worker
/// that learns it a moment later makes one attempt more.
#[derive(Debug, Default)]
pub(crate) struct Aside {
    /// Not before this time, doubled; the lowest bit says [`Why::Auth`]. 0: never set aside.
    not_before: AtomicU64,
    /// 429 without a `Retry-After`, one after the other.
    strikes: AtomicU32,
    /// 403, one after the other.
    forbidden: AtomicU32,
}

impl Aside {
    /// Until when and why it is set aside, if it is at `now_ms`.
    pub(crate) fn until(&self, now_ms: u64) -> Option<(u64, Why)> {
        let word = self.not_before.load(Ordering::Relaxed);
        let why = if word & 1 == 0 {
            Why::RateLimit
        } else {
            Why::Auth
        };
        (word >> 1 > now_ms).then_some((word >> 1, why))
    }

    /// The provider took the key.
    pub(crate) fn worked(&self) {
        // Loads first: a store would take the cache line from the other workers.
        for count in [&self.strikes, &self.forbidden] {
            if count.load(Ordering::Relaxed) != 0 {
                count.store(0, Ordering::Relaxed);
            }
        }
    }

    /// The provider answered 429.
    pub(crate) fn limited(&self, now_ms: u64, retry_after: Option<Duration>, rule: &KeyCooldown) {
        let time = match retry_after {
            Some(time) => time,
            // Requests that were under way when it was set aside say nothing new.
            None if self.until(now_ms).is_some() => return,
            None => {
                let before = self.strikes.fetch_add(1, Ordering::Relaxed).min(31);
                let time = rule.rate_limit.saturating_mul(1 << before);
                time.min(rule.rate_limit_max)
            }
        };
        self.set(now_ms, time, Why::RateLimit);
    }

    /// The provider answered 401 or 403.
    pub(crate) fn refused(&self, status: u16, now_ms: u64, rule: &KeyCooldown) {
        let is_sure =
            status == 401 || self.forbidden.fetch_add(1, Ordering::Relaxed) + 1 >= FORBIDDEN_MAX;
        if is_sure {
            self.set(now_ms, rule.auth, Why::Auth);
        }
    }

    fn set(&self, now_ms: u64, time: Duration, why: Why) {
        let ms = time.min(ASIDE_MAX).as_nanos().div_ceil(1_000_000);
        let until = now_ms.saturating_add(u64::try_from(ms).unwrap_or(u64::MAX));
        let word = until << 1 | u64::from(why == Why::Auth);
        // The later time stands.
        self.not_before.fetch_max(word, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULE: KeyCooldown = KeyCooldown {
        enabled: true,
        rate_limit: Duration::from_secs(1),
        rate_limit_max: Duration::from_secs(5),
        auth: Duration::from_secs(600),
    };

    #[test]
    fn a_429_says_how_long_or_it_grows() {
        let aside = Aside::default();
        assert_eq!(aside.until(0), None);
        aside.limited(10, Some(Duration::from_micros(1_500)), &RULE);
        assert_eq!(aside.until(11), Some((12, Why::RateLimit)));
        assert_eq!(aside.until(12), None);
        let mut now = 100;
        for time in [1000, 2000, 4000, 5000, 5000] {
            aside.limited(now, None, &RULE);
            aside.limited(now + 1, None, &RULE);
            assert_eq!(aside.until(now), Some((now + time, Why::RateLimit)));
            now += time;
        }
        aside.worked();
        aside.limited(now, None, &RULE);
        assert_eq!(aside.until(now), Some((now + 1000, Why::RateLimit)));
        aside.limited(now, Some(Duration::ZERO), &RULE);
        assert_eq!(aside.until(now), Some((now + 1000, Why::RateLimit)));
        aside.limited(now, Some(Duration::MAX), &RULE);
        assert_eq!(aside.until(now), Some((now + 86_400_000, Why::RateLimit)));
    }

    #[test]
    fn a_401_is_sure_and_a_403_at_the_third_time() {
        let aside = Aside::default();
        aside.refused(401, 0, &RULE);
        assert_eq!(aside.until(0), Some((600_000, Why::Auth)));
        let aside = Aside::default();
        for _ in 0..3 {
            aside.refused(403, 0, &RULE);
            aside.refused(403, 0, &RULE);
            assert_eq!(aside.until(0), None);
            aside.worked();
        }
        for _ in 0..3 {
            aside.refused(403, 5, &RULE);
        }
        assert_eq!(aside.until(5), Some((600_005, Why::Auth)));
    }
}
