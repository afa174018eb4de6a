//! `policy`: which key and provider is chosen, and what happens when one fails.

use crate::reader::Section;
use crate::scalar::{boolean, integer, positive_duration};
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
}

/// How a key is chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    /// In turn.
    RoundRobin,
    /// The one with the fewest requests under way.
    LeastLoaded,
    /// By load, latency and cost.
    Hybrid,
}

/// When and how often a failed attempt is repeated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retry {
    /// Attempts in all, the first included; 1 means no retry.
    pub max_attempts: u32,
    /// For all attempts together.
    pub timeout: Duration,
    /// The pause between two attempts.
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

impl Default for Policy {
    fn default() -> Self {
        Self {
            algorithm: Algorithm::RoundRobin,
            retry: Retry::default(),
            fallback: Fallback::default(),
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
