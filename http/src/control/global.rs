//! `GET /admin/v1/metrics/global`: everything in one row, since the start of the process.

use super::answer::ErrorAnswer;
use super::figures::{Usd, cost, millis, success_rate};
use super::parameters::{Parameters, Times, names};
use super::{Shared, answer};
use axum::extract::{RawQuery, State};
use axum::response::Response;
use coo_llm_core::Snapshot;
use serde::Serialize;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};
use utoipa::ToSchema;

pub(super) const PATH: &str = "/admin/v1/metrics/global";

/// Everything in one row. What is not known is `null`: an average of nothing, a cost of which
/// no part has a price.
#[derive(Debug, Serialize, ToSchema)]
struct Global {
    total_clients: usize,
    total_providers: usize,
    total_requests: u64,
    total_tokens: u64,
    total_cost: Option<Usd>,
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
    fn new(snapshot: &Snapshot, known: (usize, usize), start: u64, end: u64) -> Self {
        let total = snapshot.total();
        let latency = snapshot.total_latency();
        let latency = latency.whole();
        let requests = total.requests;
        Self {
            total_clients: known.0,
            total_providers: known.1,
            total_requests: requests,
            total_tokens: total.tokens.total(),
            total_cost: cost(total.cost, requests, total.unpriced),
            overall_success_rate: success_rate(requests, total.errors),
            avg_latency: millis(latency.mean()),
            p50_latency: millis(latency.quantile(0.5)),
            p95_latency: millis(latency.quantile(0.95)),
            p99_latency: millis(latency.quantile(0.99)),
            errors: total.errors,
            unpriced_requests: total.unpriced,
            start,
            end,
        }
    }
}

/// Unix seconds, and whether there is a rest.
fn unix(time: SystemTime) -> (u64, bool) {
    // Before 1970 the clock is not set: 0 is as good as any.
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    (since.as_secs(), since.subsec_nanos() > 0)
}

/// Totals of everything since the start of the process.
#[utoipa::path(
    get, path = PATH, tag = "metrics",
    params(Times),
    responses(
        (status = 200, description = "The totals.", body = Global),
        (status = 400, description = "A parameter is wrong.", body = ErrorAnswer),
    )
)]
pub(super) async fn global(
    State(shared): State<Arc<Shared>>,
    RawQuery(query): RawQuery,
) -> Response {
    let (start, _) = unix(shared.started);
    let (now, rest) = unix(SystemTime::now());
    let end = now + u64::from(rest);
    let read = Parameters::read(query.as_deref(), &names::<Times>());
    match read.and_then(|parameters| parameters.times()) {
        Ok(asked) if asked.covers(start, end) => {}
        Ok(_) => {
            let message = "Only the numbers since the start of the process are known here.";
            return answer::bad_request(message);
        }
        Err(error) => return answer::bad_request(&error.to_string()),
    }
    let known = shared.known();
    let global = shared
        .meter
        .read(|snapshot| Global::new(snapshot, known, start, end));
    answer::value(&global)
}
