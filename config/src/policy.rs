//! `policy`: which key and provider is chosen, and what happens when one fails.

use crate::reader::Section;
use crate::scalar::{boolean, fraction, integer, positive_duration};
use std::time::Duration;

/// The `policy` section.
#[derive(Clone, Debug, PartialEq)]
pub struct Policy {
    /// How a key is chosen.
    pub algorithm: Algorithm,
    /// When and how often a failed attempt is repeated.
    pub retry: Retry,
    /// Where a request goes that its provider cannot serve.
    pub fallback: Fallback,
    /// How long a key is not used that its provider refused.
    pub key_cooldown: KeyCooldown,
    /// When a provider is left alone that fails.
    pub circuit_breaker: CircuitBreaker,
}

/// How a key is chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    /// In turn.
    RoundRobin,
    /// The one with the fewest requests under way.
    LeastLoaded,
    /// By load, recent errors and latency.
    Hybrid,
}

/// When and how often a failed attempt is repeated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retry {
    /// Attempts at one provider, the first included; 1 means no retry.
    pub max_attempts: u32,
    /// From the request's arrival: no attempt begins later.
    pub timeout: Duration,
    /// The longest pause before the second attempt; it doubles for each further one.
    pub interval: Duration,
}

/// Where a request goes that its provider cannot serve.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fallback {
    /// Whether it goes anywhere.
    pub enabled: bool,
    /// The ids of providers to try, in this order.
    pub providers: Vec<String>,
}

/// How long a key is not used that its provider refused, where the provider does not say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyCooldown {
    /// Whether keys are set aside at all.
    pub enabled: bool,
    /// After a 429 without `Retry-After`; it doubles with each further one.
    pub rate_limit: Duration,
    /// The longest of these.
    pub rate_limit_max: Duration,
    /// After a 401, or the third 403 in a row.
    pub auth: Duration,
}

/// When a provider is left alone that fails; each worker decides for itself.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CircuitBreaker {
    /// Whether it is ever left alone.
    pub enabled: bool,
    /// Failures in a row after which it is.
    pub failures: u32,
    /// The share of failures within `window` from which on it is, 0 to 1.
    pub error_rate: f64,
    /// Attempts within `window` below which the share says nothing.
    pub min_requests: u32,
    /// The time that the share is taken over.
    pub window: Duration,
    /// How long it is left alone before one request may try.
    pub open: Duration,
}

impl Default for KeyCooldown {
    fn default() -> Self {
        Self {
            enabled: true,
            rate_limit: Duration::from_secs(1),
            rate_limit_max: Duration::from_secs(60),
            auth: Duration::from_secs(600),
        }
    }
}

impl Default for CircuitBreaker {
    fn default() -> Self {
        Self {
            enabled: true,
            failures: 10,
            error_rate: 0.5,
            min_requests: 20,
            window: Duration::from_secs(10),
            open: Duration::from_secs(15),
        }
    }
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            algorithm: Algorithm::RoundRobin,
            retry: Retry::default(),
            fallback: Fallback::default(),
            key_cooldown: KeyCooldown::default(),
            circuit_breaker: CircuitBreaker::default(),
        }
    }
}

impl Default for Retry {
    fn default() -> Self {
        Self {
            max_attempts: 3,
            timeout: Duration::from_secs(30),
            interval: Duration::from_secs(1),
        }
    }
}

impl Default for Fallback {
    fn default() -> Self {
        Self {
            enabled: true,
            providers: Vec::new(),
        }
    }
}

impl Policy {
    pub(crate) fn read(s: &Section<'_>) -> Self {
        Self {
            algorithm: s.choice(
                "algorithm",
                Algorithm::RoundRobin,
                &[
                    ("round_robin", Algorithm::RoundRobin),
                    ("least_loaded", Algorithm::LeastLoaded),
                    ("hybrid", Algorithm::Hybrid),
                ],
            ),
            retry: s.section("retry", Retry::read),
            fallback: s.section("fallback", Fallback::read),
            key_cooldown: s.section("key_cooldown", KeyCooldown::read),
            circuit_breaker: s.section("circuit_breaker", CircuitBreaker::read),
        }
    }
}

impl KeyCooldown {
    fn read(s: &Section<'_>) -> Self {
        let default = Self::default();
        let time = |key, default| s.value(key, default, positive_duration);
        let rate_limit = time("rate_limit", default.rate_limit);
        Self {
            enabled: s.value("enabled", default.enabled, boolean),
            rate_limit,
            rate_limit_max: time("rate_limit_max", default.rate_limit_max.max(rate_limit)),
            auth: time("auth", default.auth),
        }
    }
}

impl CircuitBreaker {
    fn read(s: &Section<'_>) -> Self {
        let default = Self::default();
        let count = |key, default: u32| {
            let given = s.optional(key, integer(1, 1_000_000));
            given.and_then(|n| u32::try_from(n).ok()).unwrap_or(default)
        };
        Self {
            enabled: s.value("enabled", default.enabled, boolean),
            failures: count("failures", default.failures),
            error_rate: s.value("error_rate", default.error_rate, fraction(1.0)),
            min_requests: count("min_requests", default.min_requests),
            window: s.value("window", default.window, positive_duration),
            open: s.value("open", default.open, positive_duration),
        }
    }
}

impl Retry {
    fn read(s: &Section<'_>) -> Self {
        let default = Self::default();
        let attempts = s.optional("max_attempts", integer(1, 10));
        Self {
            max_attempts: attempts
                .and_then(|n| u32::try_from(n).ok())
                .unwrap_or(default.max_attempts),
            timeout: s.value("timeout", default.timeout, positive_duration),
            interval: s.value("interval", default.interval, positive_duration),
        }
    }
}

impl Fallback {
    fn read(s: &Section<'_>) -> Self {
        let providers = s.items("providers");
        let name = |text: &str| Ok(text.to_owned());
        Self {
            enabled: s.value("enabled", true, boolean),
            providers: providers
                .iter()
                .filter_map(|field| field.parse(name))
                .collect(),
        }
    }
}
