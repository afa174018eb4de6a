//! `GET /admin/v1/metrics/clients/{id}`: what one client used.

use super::span::Span;
use super::summary::{Parts, Summary, by_name, last_request};
use super::{DAY_S, Failure, Question, id};
use crate::control::Shared;
use crate::control::answer::{self, ErrorAnswer};
use crate::control::client_health::Anomaly;
use crate::control::figures::success_rate;
use crate::control::parameters::{Parameters, Scope, Times, names};
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, RawQuery, State};
use axum::response::Response;
use coo_llm_exporters::history::{Dimension, Filter, Query};
use serde::Serialize;
use std::sync::Arc;
use utoipa::ToSchema;

pub(in crate::control) const PATH: &str = "/admin/v1/metrics/clients/{id}";

/// What one client used.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ClientMetrics {
    client_id: String,
    #[serde(flatten)]
    span: Span,
    #[serde(flatten)]
    summary: Summary,
    /// The fraction of requests that did not fail; null where there was none.
    success_rate: Option<f64>,
    /// Unix seconds; null where there was no request in the window.
    last_request_time: Option<u64>,
    /// The same by provider; `none` is what was refused before one was chosen.
    providers: Parts,
    /// What was found unusual in the window, the last first, as in `clients/health`; null where
    /// clients are not watched, or not yet.
    anomalies: Option<Vec<Anomaly>>,
}

/// What a client used, by provider, and how fast it was served; the last 24 hours without
/// `start`.
#[utoipa::path(
    get, path = PATH, tag = "metrics",
    params(("id" = String, Path, description = "The client's id."), Times, Scope),
    responses(
        (status = 200, description = "Its numbers.", body = ClientMetrics),
        (status = 400, description = "A parameter is wrong.", body = ErrorAnswer),
        (status = 404, description = "Neither the configuration nor the history knows it.", body = ErrorAnswer),
    )
)]
pub(in crate::control) async fn client(
    State(shared): State<Arc<Shared>>,
    path: Result<Path<String>, PathRejection>,
    RawQuery(query): RawQuery,
) -> Result<Response, Failure> {
    let id = id(path)?;
    let known = [names::<Times>(), names::<Scope>()].concat();
    let parameters = Parameters::read(query.as_deref(), &known)?;
    let question = Question::read(&parameters, DAY_S)?;
    let is_configured = shared.configures_client(&id);
    let query = Query {
        window: question.window,
        step_s: None,
        filter: Filter {
            client: Some(id.clone()),
            ..Filter::default()
        },
        group_by: vec![Dimension::Provider],
    };
    let of_client = id.clone();
    let asked = shared.questions.ask(move |history, now| {
        let answer = history.query(&query, now)?;
        let is_known = is_configured || history.has_client(&of_client);
        Ok(is_known.then_some(answer))
    });
    let Some(answer) = asked.await? else {
        return Err(Failure::Unknown("client"));
    };
    let groups = answer.groups.iter();
    let groups = groups.flat_map(|group| {
        let points = group.points.iter();
        points.map(|(_, usage)| (&*group.names[0], usage))
    });
    let (providers, all) = by_name(groups);
    let span = Span::new(question.asked, question.window, answer.window);
    Ok(answer::value(&ClientMetrics {
        anomalies: shared.anomalies(&id, question.window),
        client_id: id,
        summary: Summary::of(&all, span.is_unknown()),
        success_rate: success_rate(all.totals.requests, all.totals.errors),
        last_request_time: last_request(&all),
        providers,
        span,
    }))
}
