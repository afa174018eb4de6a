//! Other meters at the same work, behind the feature `peers`.
//!
//! Each gets its own best use: resolved handles in an array by id. Tokens and nano-USD are
//! integers where the peer has integer counters.

pub mod metrics;
pub mod prometheus;
pub mod prometheus_client;
mod text;

use coo_llm_core::histogram::LATENCY;

/// The classic bounds in seconds.
fn bounds() -> Vec<f64> {
    LATENCY.bounds().iter().map(|us| seconds(*us)).collect()
}

/// Microseconds in seconds; the same division for bounds and values, so that both are exact.
#[inline]
fn seconds(us: u64) -> f64 {
    us as f64 / 1e6
}
