//! `GET /admin/v1/metrics/global`: everything in one row, since the start of the process.

use super::window::Window;
use super::{Shared, answer};
use axum::extract::{RawQuery, State};
use axum::response::Response;
use coo_llm_core::catalog::{NONE, OTHER};
use coo_llm_core::{Catalog, NanoUsd, Snapshot};
use coo_llm_exporters::decimal;
use http::StatusCode;
use serde::Serialize;
use serde_json::value::RawValue;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

pub(super) const PATH: &str = "/admin/v1/metrics/global";

/// The answer. What is not known is `null`: an average of nothing, a cost of which no part
/// has a price.
#[derive(Debug, Serialize)]
struct Global {
    total_clients: usize,
    total_providers: usize,
    total_requests: u64,
    total_tokens: u64,
    /// USD, every nano of it. Readers that take JSON numbers for `f64` are exact up to 9
    /// million USD.
    total_cost: Option<Box<RawValue>>,
    overall_success_rate: Option<f64>,
    /// Milliseconds, as are the percentiles.
    avg_latency: Option<f64>,
    p50_latency: Option<f64>,
    p95_latency: Option<f64>,
    p99_latency: Option<f64>,
    errors: u64,
    /// Requests that `total_cost` leaves out.
    unpriced_requests: u64,
    /// Unix seconds, half-open: the process's whole life.
    start: u64,
    end: u64,
}

impl Global {
    fn new(snapshot: &Snapshot, catalog: &Catalog, start: u64, end: u64) -> Self {
        let total = snapshot.total();
        let latency = snapshot.total_latency();
        let latency = latency.whole();
        let millis = |micros: f64| micros / 1e3;
        let requests = total.requests;
        let is_named = |name: &str| name != NONE && name != OTHER;
        let no_price_at_all = requests > 0 && total.unpriced == requests;
        Self {
            total_clients: catalog.clients().filter(|(_, id)| is_named(id)).count(),
            total_providers: catalog.providers().filter(|(_, id)| is_named(id)).count(),
            total_requests: requests,
            total_tokens: total.tokens.total(),
            total_cost: (!no_price_at_all).then(|| usd(total.cost)),
            overall_success_rate: (requests > 0)
                .then(|| requests.saturating_sub(total.errors) as f64 / requests as f64),
            avg_latency: latency.mean().map(millis),
            p50_latency: latency.quantile(0.5).map(millis),
            p95_latency: latency.quantile(0.95).map(millis),
            p99_latency: latency.quantile(0.99).map(millis),
            errors: total.errors,
            unpriced_requests: total.unpriced,
            start,
            end,
        }
    }
}

/// The amount as a JSON number.
fn usd(amount: NanoUsd) -> Box<RawValue> {
    let mut text = Vec::new();
    decimal::push_usd(&mut text, amount);
    let text = String::from_utf8(text).expect("a decimal is ASCII");
    RawValue::from_string(text).expect("a decimal is a JSON number")
}

/// Unix seconds, and whether there is a rest.
fn unix(time: SystemTime) -> (u64, bool) {
    // Before 1970 the clock is not set: 0 is as good as any.
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    (since.as_secs(), since.subsec_nanos() > 0)
}

pub(super) async fn global(
    State(shared): State<Arc<Shared>>,
    RawQuery(query): RawQuery,
) -> Response {
    let (start, _) = unix(shared.started);
    let (now, rest) = unix(SystemTime::now());
    let end = now + u64::from(rest);
    let window = Window::parse(query.as_deref().unwrap_or_default());
    if let Err(error) = window.and_then(|window| window.covers(start, end)) {
        let kind = "invalid_request_error";
        return answer::admin_error(StatusCode::BAD_REQUEST, kind, &error.to_string());
    }
    let catalog = shared.meter.catalog();
    let global = shared
        .meter
        .read(|snapshot| Global::new(snapshot, catalog, start, end));
    answer::value(&global)
}
