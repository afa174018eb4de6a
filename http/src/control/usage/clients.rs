//! `GET /admin/v1/clients`: what every client used.

use super::span::Span;
use super::{DAY_S, Failure, Question};
use crate::control::Shared;
use crate::control::answer::{self, ErrorAnswer};
use crate::control::figures::Used;
use crate::control::parameters::{Filters, Parameters, Scope, Times, names};
use axum::extract::{RawQuery, State};
use axum::response::Response;
use coo_llm_core::snapshot::Totals;
use coo_llm_exporters::history::{Answer, Dimension, Query};
use serde::Serialize;
use std::collections::BTreeMap;
use std::sync::Arc;
use utoipa::ToSchema;

pub(in crate::control) const PATH: &str = "/admin/v1/clients";

/// What a client used.
#[derive(Debug, Serialize, ToSchema)]
struct OfClient {
    total: Used,
    by_provider: BTreeMap<String, Used>,
}

/// What every client used.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Clients {
    #[serde(flatten)]
    span: Span,
    /// By client: those that sent a request in the window. `none` is who had no valid key.
    client_stats: BTreeMap<String, OfClient>,
}

/// What each client used, by provider; the last 24 hours without `start`.
#[utoipa::path(
    get, path = PATH, tag = "clients",
    params(Times, Filters, Scope),
    responses(
        (status = 200, description = "The clients that sent a request.", body = Clients),
        (status = 400, description = "A parameter is wrong.", body = ErrorAnswer),
    )
)]
pub(in crate::control) async fn clients(
    State(shared): State<Arc<Shared>>,
    RawQuery(query): RawQuery,
) -> Result<Response, Failure> {
    let known = [names::<Times>(), names::<Filters>(), names::<Scope>()].concat();
    let parameters = Parameters::read(query.as_deref(), &known)?;
    let Question {
        asked,
        window,
        filter,
    } = Question::read(&parameters, DAY_S)?;
    let query = Query {
        window,
        step_s: None,
        filter,
        group_by: vec![Dimension::Client, Dimension::Provider],
    };
    // Made into JSON over there too: it may be of a hundred thousand clients.
    let ask = shared.questions.ask(move |history, now| {
        let found = history.query(&query, now)?;
        Ok(answer::value(&Clients {
            span: Span::new(asked, window, found.window),
            client_stats: by_client(&found),
        }))
    });
    Ok(ask.await?)
}

/// An answer by client and provider, as it is shown.
fn by_client(found: &Answer) -> BTreeMap<String, OfClient> {
    let mut sums: BTreeMap<&str, (Totals, BTreeMap<String, Used>)> = BTreeMap::new();
    for group in &found.groups {
        let of_client = sums.entry(&group.names[0]).or_default();
        let points = group.points.iter().map(|(_, usage)| &usage.totals);
        let totals = points.fold(Totals::default(), Totals::plus);
        of_client.0 = of_client.0.plus(&totals);
        let provider = group.names[1].to_string();
        of_client.1.insert(provider, Used::from(&totals));
    }
    let stats = sums.into_iter().map(|(client, (total, by_provider))| {
        let total = Used::from(&total);
        (client.to_owned(), OfClient { total, by_provider })
    });
    stats.collect()
}
