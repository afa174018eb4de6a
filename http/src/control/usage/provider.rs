//! `GET /admin/v1/metrics/providers/{id}`: what was used of one provider.

use super::span::Span;
use super::summary::{Parts, Summary, by_name, last_request};
use super::{DAY_S, Failure, Question, id};
use crate::control::Shared;
use crate::control::answer::{self, ErrorAnswer};
use crate::control::figures::success_rate;
use crate::control::parameters::{Parameters, Scope, Times, names};
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, RawQuery, State};
use axum::response::Response;
use coo_llm_exporters::history::{self, Dimension, Filter, Query};
use serde::Serialize;
use std::collections::BTreeMap;
use std::sync::Arc;
use utoipa::ToSchema;

pub(in crate::control) const PATH: &str = "/admin/v1/metrics/providers/{id}";

/// What was used of one provider.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ProviderMetrics {
    provider_id: String,
    #[serde(flatten)]
    span: Span,
    #[serde(flatten)]
    summary: Summary,
    /// The fraction of requests that did not fail; null where there was none.
    success_rate: Option<f64>,
    /// As `errors`.
    error_count: Option<u64>,
    /// Unix seconds; null where there was no request in the window.
    last_request_time: Option<u64>,
    /// The same by model.
    models: Parts,
    /// The same by the public id of the provider's key.
    keys: Parts,
    /// Failed requests by the types of `coo_llm_errors_total`.
    error_types: BTreeMap<String, u64>,
}

/// What was used of a provider, by model and key, what failed, and how fast it was; the last 24
/// hours without `start`.
#[utoipa::path(
    get, path = PATH, tag = "metrics",
    params(
        ("id" = String, Path, description = "The provider's id; `none` is what was refused before one was chosen."),
        Times, Scope
    ),
    responses(
        (status = 200, description = "Its numbers.", body = ProviderMetrics),
        (status = 400, description = "A parameter is wrong.", body = ErrorAnswer),
        (status = 404, description = "Neither the configuration nor the history knows it.", body = ErrorAnswer),
    )
)]
pub(in crate::control) async fn provider(
    State(shared): State<Arc<Shared>>,
    path: Result<Path<String>, PathRejection>,
    RawQuery(query): RawQuery,
) -> Result<Response, Failure> {
    let id = id(path)?;
    let known = [names::<Times>(), names::<Scope>()].concat();
    let parameters = Parameters::read(query.as_deref(), &known)?;
    let question = Question::read(&parameters, DAY_S)?;
    let is_configured = shared.configures_provider(&id);
    let query = Query {
        window: question.window,
        step_s: None,
        filter: Filter {
            provider: Some(id.clone()),
            ..Filter::default()
        },
        group_by: vec![Dimension::Model, Dimension::Key],
    };
    let of_provider = id.clone();
    let asked = shared.questions.ask(move |history, now| {
        let found = history.query_with_errors(&query, now)?;
        let is_known = is_configured || history.has_provider(&of_provider);
        Ok(is_known.then_some(found))
    });
    let Some((answer, errors)) = asked.await? else {
        return Err(Failure::Unknown("provider"));
    };
    let by = |at: usize| {
        let groups = answer.groups.iter();
        by_name(groups.flat_map(move |history::Group { names, points }| {
            points.iter().map(move |(_, usage)| (&*names[at], usage))
        }))
    };
    let (models, all) = by(0);
    let (keys, _) = by(1);
    let of_this = errors
        .into_iter()
        .filter(|((provider, _), _)| **provider == *id);
    let error_types = of_this
        .map(|((_, kind), n)| (kind.to_string(), n))
        .collect();
    let span = Span::new(question.asked, question.window, answer.window);
    Ok(answer::value(&ProviderMetrics {
        provider_id: id,
        summary: Summary::of(&all, span.is_unknown()),
        success_rate: success_rate(all.totals.requests, all.totals.errors),
        error_count: (!span.is_unknown()).then_some(all.totals.errors),
        last_request_time: last_request(&all),
        models,
        keys,
        error_types,
        span,
    }))
}
