//! Families that are not in a snapshot: gauges and counters of the rest of the program.

use coo_llm_core::{Micros, NanoUsd, UnixMillis};
use std::borrow::Cow;

/// The type of a family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Only goes up; `_total` is added to the name.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Facts as labels of the value 1; `_info` is added to the name.
    Info,
}

/// A sample's value, rendered exactly.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Value {
    /// A count.
    Count(u64),
    /// An integer that may be negative.
    Signed(i64),
    /// Money, in USD.
    Usd(NanoUsd),
    /// A time, in seconds.
    Seconds(Micros),
    /// What is a float by nature.
    Float(f64),
}

impl Value {
    /// As formats have it that know nothing but doubles: the nearest one, exact below 2^53
    /// of the smallest unit (1, a nano-USD, a microsecond).
    pub(super) fn as_f64(self) -> f64 {
        match self {
            Self::Count(n) => n as f64,
            Self::Signed(n) => n as f64,
            Self::Usd(amount) => amount.as_usd_f64(),
            Self::Seconds(time) => time.as_secs_f64(),
            Self::Float(x) => x,
        }
    }
}

/// Label names and values of one sample.
pub type LabelSet = Vec<(&'static str, String)>;

/// A family that the caller of [`Renderer::render`](super::Renderer::render) adds.
#[derive(Clone, Debug, PartialEq)]
pub struct Extra {
    /// The name without namespace and without `_total` or `_info`. One that ends in
    /// `_seconds` or `_bytes` has that unit.
    pub name: Cow<'static, str>,
    /// Whether the namespace goes before the name; `process_*` has none.
    pub namespaced: bool,
    /// The help text.
    pub help: Cow<'static, str>,
    /// The type.
    pub kind: Kind,
    /// The samples, in any order. Where a number is not known there is no sample.
    pub samples: Vec<(LabelSet, Value)>,
}

impl Extra {
    /// A family without samples.
    #[must_use]
    pub const fn new(kind: Kind, name: &'static str, help: &'static str) -> Self {
        Self {
            name: Cow::Borrowed(name),
            namespaced: true,
            help: Cow::Borrowed(help),
            kind,
            samples: Vec::new(),
        }
    }

    /// The same with one sample more.
    #[must_use]
    pub fn with(mut self, labels: &[(&'static str, &str)], value: Value) -> Self {
        let labels = labels.iter().map(|&(name, value)| (name, value.to_owned()));
        self.samples.push((labels.collect(), value));
        self
    }

    /// `build_info`: the version that runs, and what else is known of it.
    #[must_use]
    pub fn build_info(facts: &[(&'static str, &str)]) -> Self {
        Self::new(Kind::Info, "build", "The build that runs.").with(facts, Value::Count(1))
    }

    /// `scrape_duration_seconds`: of the scrape before this one.
    #[must_use]
    pub fn scrape_duration(last: Option<Micros>) -> Self {
        let mut family = Self::new(
            Kind::Gauge,
            "scrape_duration_seconds",
            "Time to merge the shards and render the previous scrape.",
        );
        family
            .samples
            .extend(last.map(|last| (Vec::new(), Value::Seconds(last))));
        family
    }

    /// `config_last_reload_success`: whether the last load of the configuration worked.
    #[must_use]
    pub fn config_last_reload_success(success: bool) -> Self {
        Self::new(
            Kind::Gauge,
            "config_last_reload_success",
            "Whether the last load of the configuration succeeded (1) or changed nothing (0).",
        )
        .with(&[], Value::Count(u64::from(success)))
    }

    /// `config_last_reload_timestamp_seconds`: since when the configuration in use is used.
    #[must_use]
    pub fn config_last_reload_timestamp(at: UnixMillis) -> Self {
        Self::new(
            Kind::Gauge,
            "config_last_reload_timestamp_seconds",
            "When the configuration in use was loaded, in Unix time.",
        )
        .with(&[], Value::Seconds(Micros(at.0.saturating_mul(1000))))
    }
}
