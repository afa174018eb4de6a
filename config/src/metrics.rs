//! `metrics`: the names and the bound of what is exposed.

use crate::reader::Section;
use crate::scalar::{boolean, integer, metric_namespace};

/// The least number of series that leaves room for the gateway's own.
const SERIES_MIN: u64 = 100;

/// The most that the catalogue's lists are made for, with room for what is folded.
const SERIES_MAX: u64 = 10_000_000;

/// The `metrics` section.
#[derive(Clone, Debug, PartialEq)]
pub struct Metrics {
    /// What every metric's name starts with.
    pub namespace: String,
    /// How many series there may be; above it, label values fold into `other`.
    pub max_series: u64,
    /// Whether native histograms are offered.
    pub native_histograms: bool,
}

impl Default for Metrics {
    fn default() -> Self {
        Self {
            namespace: "coo_llm".into(),
            max_series: 100_000,
            native_histograms: true,
        }
    }
}

impl Metrics {
    pub(crate) fn read(s: &Section<'_>) -> Self {
        let default = Self::default();
        let series = integer(SERIES_MIN, SERIES_MAX);
        Self {
            namespace: s.value("namespace", default.namespace, metric_namespace),
            max_series: s.value("max_series", default.max_series, series),
            native_histograms: s.value("native_histograms", default.native_histograms, boolean),
        }
    }
}
