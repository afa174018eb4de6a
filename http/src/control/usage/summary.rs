//! What some requests used, in one row.

use crate::control::figures::{Usd, cost, millis, success_rate};
use coo_llm_core::histograms::HistogramView;
use coo_llm_core::record::Tokens;
use coo_llm_core::snapshot::Totals;
use coo_llm_exporters::history::{Latencies, Usage};
use serde::Serialize;
use std::collections::BTreeMap;
use utoipa::ToSchema;

/// Latencies in milliseconds; null where no request was timed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, ToSchema)]
pub(super) struct Latency {
    pub(super) avg_latency: Option<f64>,
    pub(super) p50_latency: Option<f64>,
    pub(super) p95_latency: Option<f64>,
    pub(super) p99_latency: Option<f64>,
}

impl From<&Latencies> for Latency {
    fn from(latencies: &Latencies) -> Self {
        let at = |q| millis(latencies.quantile_us(q));
        Self {
            avg_latency: millis(latencies.mean_us()),
            p50_latency: at(0.5),
            p95_latency: at(0.95),
            p99_latency: at(0.99),
        }
    }
}

impl From<HistogramView<'_>> for Latency {
    fn from(latencies: HistogramView<'_>) -> Self {
        let at = |q| millis(latencies.quantile(q));
        Self {
            avg_latency: millis(latencies.mean()),
            p50_latency: at(0.5),
            p95_latency: at(0.95),
            p99_latency: at(0.99),
        }
    }
}

/// Totals. Where nothing is known of the window, each of them is null.
#[derive(Debug, Default, Serialize, ToSchema)]
pub(super) struct Summary {
    /// Finished requests, failed ones among them.
    total_requests: Option<u64>,
    total_tokens: Option<u64>,
    /// Tokens that went in: plain, cached, written to a cache, audio.
    input_tokens: Option<u64>,
    /// Tokens that came out: plain, of reasoning, audio.
    output_tokens: Option<u64>,
    /// The same by the types of `coo_llm_tokens_total`, disjoint; a type that was never seen is
    /// left out, but for `input` and `output`.
    tokens_by_type: Option<BTreeMap<&'static str, u64>>,
    /// USD; null too where no request has a price.
    total_cost: Option<Usd>,
    /// Requests that `total_cost` leaves out, as their price is not known.
    unpriced_requests: Option<u64>,
    /// Requests that failed.
    errors: Option<u64>,
    #[serde(flatten)]
    latency: Latency,
}

impl Summary {
    pub(super) fn new(totals: &Totals, latency: Latency) -> Self {
        let tokens = totals.tokens;
        let output = tokens.total_output();
        let by_type = Tokens::KINDS.into_iter().zip(tokens.by_kind());
        let is_shown = |(kind, n): &(&str, u64)| *n > 0 || matches!(*kind, "input" | "output");
        Self {
            total_requests: Some(totals.requests),
            total_tokens: Some(tokens.total()),
            input_tokens: Some(tokens.total().saturating_sub(output)),
            output_tokens: Some(output),
            tokens_by_type: Some(by_type.filter(is_shown).collect()),
            total_cost: cost(totals.cost, totals.requests, totals.unpriced),
            unpriced_requests: Some(totals.unpriced),
            errors: Some(totals.errors),
            latency,
        }
    }

    /// Of usage; nothing but null where `is_unknown`.
    pub(super) fn of(usage: &Usage, is_unknown: bool) -> Self {
        if is_unknown {
            return Self::default();
        }
        Self::new(&usage.totals, Latency::from(&usage.latency))
    }
}

/// One of the parts that a total is made of.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Part {
    /// Finished requests, failed ones among them.
    requests: u64,
    errors: u64,
    tokens: u64,
    /// USD; null where no request has a price.
    cost: Option<Usd>,
    unpriced_requests: u64,
    success_rate: Option<f64>,
    #[serde(flatten)]
    latency: Latency,
}

impl From<&Usage> for Part {
    fn from(usage: &Usage) -> Self {
        let totals = &usage.totals;
        Self {
            requests: totals.requests,
            errors: totals.errors,
            tokens: totals.tokens.total(),
            cost: cost(totals.cost, totals.requests, totals.unpriced),
            unpriced_requests: totals.unpriced,
            success_rate: success_rate(totals.requests, totals.errors),
            latency: Latency::from(&usage.latency),
        }
    }
}

/// Parts by name.
pub(super) type Parts = BTreeMap<String, Part>;

/// The usage of an answer's groups by one of their names, and of all.
pub(super) fn by_name<'a>(groups: impl Iterator<Item = (&'a str, &'a Usage)>) -> (Parts, Usage) {
    let mut sums: BTreeMap<&str, Usage> = BTreeMap::new();
    let mut all = Usage::default();
    for (name, usage) in groups {
        sums.entry(name).or_default().add(usage);
        all.add(usage);
    }
    let parts = sums.iter();
    let parts = parts.map(|(name, usage)| ((*name).to_owned(), Part::from(usage)));
    (parts.collect(), all)
}

/// When the last request ended, in unix seconds; null where there was none.
pub(super) fn last_request(usage: &Usage) -> Option<u64> {
    usage.totals.last_request.map(|last| last.0 / 1000)
}
