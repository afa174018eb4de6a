//! `GET /admin/v1/metrics/global`: everything in one row.
//!
//! It is the one question that the meter can answer too: without a history it does, for
//! everything since the start, and says so.

use super::span::Span;
use super::summary::{Latency, Summary};
use super::{DAY_S, Failure, Question};
use crate::control::Shared;
use crate::control::answer::{self, ErrorAnswer};
use crate::control::figures::success_rate;
use crate::control::parameters::{Asked, Parameters, Scope, Times, names};
use crate::control::questions::{NoAnswer, now};
use axum::extract::{RawQuery, State};
use axum::response::Response;
use coo_llm_exporters::history::{Filter, Query, Usage};
use serde::Serialize;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};
use utoipa::ToSchema;

pub(in crate::control) const PATH: &str = "/admin/v1/metrics/global";

/// Everything in one row.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Global {
    #[serde(flatten)]
    span: Span,
    /// Clients there are: configured now, or with a request since the start. Whatever the window.
    total_clients: usize,
    /// Providers there are, likewise.
    total_providers: usize,
    #[serde(flatten)]
    summary: Summary,
    /// The fraction of requests that did not fail; null where there was none.
    overall_success_rate: Option<f64>,
}

/// Totals of everything; the last 24 hours without `start`.
#[utoipa::path(
    get, path = PATH, tag = "metrics",
    params(Times, Scope),
    responses(
        (status = 200, description = "The totals.", body = Global),
        (status = 400, description = "A parameter is wrong.", body = ErrorAnswer),
    )
)]
pub(in crate::control) async fn global(
    State(shared): State<Arc<Shared>>,
    RawQuery(query): RawQuery,
) -> Result<Response, Failure> {
    let known = [names::<Times>(), names::<Scope>()].concat();
    let parameters = Parameters::read(query.as_deref(), &known)?;
    let Question { asked, window, .. } = Question::read(&parameters, DAY_S)?;
    if !shared.questions.has_history() {
        return since_start(&shared, asked);
    }
    let query = Query {
        window,
        step_s: None,
        filter: Filter::default(),
        group_by: Vec::new(),
    };
    let ask = shared
        .questions
        .ask(move |history, now| history.query(&query, now));
    let found = ask.await?;
    let mut all = Usage::default();
    for (_, usage) in found.groups.iter().flat_map(|group| &group.points) {
        all.add(usage);
    }
    let span = Span::new(asked, window, found.window);
    let (total_clients, total_providers) = shared.known();
    Ok(answer::value(&Global {
        total_clients,
        total_providers,
        summary: Summary::of(&all, span.is_unknown()),
        overall_success_rate: success_rate(all.totals.requests, all.totals.errors),
        span,
    }))
}

/// Unix seconds, and whether there is a rest.
fn unix(time: SystemTime) -> (u64, bool) {
    // Before 1970 the clock is not set: 0 is as good as any.
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    (since.as_secs(), since.subsec_nanos() > 0)
}

/// What the meter knows, where that is all that was asked for.
fn since_start(shared: &Shared, asked: Asked) -> Result<Response, Failure> {
    let (start, _) = unix(shared.started);
    let now_s = now().0 / 1000;
    if !asked.covers(start, now_s) {
        return Err(NoAnswer::Off.into());
    }
    let (total_clients, total_providers) = shared.known();
    let reason = "no history is kept (storage.history.enabled is false): these are the numbers \
                  since the start of the process";
    let global = shared.meter.read(|snapshot| {
        let total = snapshot.total();
        let latency = snapshot.total_latency();
        Global {
            span: Span {
                start,
                end: (now_s + 1).max(start + 1),
                partial: true,
                reason: Some(reason.to_owned()),
            },
            total_clients,
            total_providers,
            summary: Summary::new(&total, Latency::from(latency.whole())),
            overall_success_rate: success_rate(total.requests, total.errors),
        }
    });
    Ok(answer::value(&global))
}
