//! `GET /admin/v1/clients/health`: what is unusual for whom, with its figures, in words.
//!
//! It shows what [`watch`](coo_llm_exporters::watch) found in its last run, which is at most a
//! minute old, and what began and ended before. Nothing is computed when it is asked.

mod shown;

pub(super) use shown::Anomaly;
use shown::ClientHealth;

use super::answer::ErrorAnswer;
use super::parameters::{BadParameter, Parameters, Times, names, quoted};
use super::questions::now;
use super::{Shared, answer};
use axum::extract::{RawQuery, State};
use axum::response::Response;
use coo_llm_exporters::health::Kind;
use coo_llm_exporters::history::Window;
use coo_llm_exporters::watch::{Report, View};
use http::header::RETRY_AFTER;
use http::{HeaderValue, StatusCode};
use serde::Serialize;
use std::sync::Arc;
use utoipa::ToSchema;

pub(super) const PATH: &str = "/admin/v1/clients/health";

/// What is shown where `start` is left out: a day.
const DEFAULT_S: u64 = 24 * 3600;
/// Clients of an answer.
const LIMIT: u64 = 100;
const LIMIT_MAX: u64 = 1000;

/// Of whom, and what.
#[derive(utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(
    dead_code,
    reason = "for the document and for the names; values are read by hand"
)]
struct Wanted {
    /// Only this client.
    #[param(min_length = 1)]
    client: Option<String>,
    /// Only this kind, and only clients for which it was found: `usage_spike`, `error_rate_rise`,
    /// `cost_spike`, `cost_drift`, `budget_overrun` or `provider_shift`.
    #[param(
        pattern = "^(usage_spike|error_rate_rise|cost_spike|cost_drift|budget_overrun|provider_shift)$"
    )]
    kind: Option<String>,
    /// `true`: only clients for which anything was found.
    #[param(pattern = "^(true|false)$")]
    unusual: Option<String>,
    /// Clients of an answer, 1 to 1000; without it 100.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<u64>,
    /// Only clients after this one, by their ids: `next` of the answer before.
    #[param(min_length = 1)]
    after: Option<String>,
}

/// How clients are.
#[derive(Debug, Serialize, ToSchema)]
struct ClientsHealth {
    /// What was found within this time is shown, as unix seconds, half-open.
    start: u64,
    end: u64,
    /// There, and true, where what ended in a part of that time is not known.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    partial: bool,
    /// Of which part, and why.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    /// When clients were looked at last, unix seconds.
    judged: u64,
    /// Clients that fit, on all pages.
    total: usize,
    /// For `after`, where there are more; else null.
    next: Option<String>,
    /// By their ids.
    clients: Vec<ClientHealth>,
}

/// A question.
struct Question {
    window: Window,
    client: Option<String>,
    kind: Option<Kind>,
    unusual: bool,
    limit: usize,
    after: Option<String>,
}

impl Question {
    fn read(query: Option<&str>, now_s: u64) -> Result<Self, BadParameter> {
        let known = [names::<Times>(), names::<Wanted>()].concat();
        let parameters = Parameters::read(query, &known)?;
        // As it was asked for, and not as the history takes it: it is shown.
        let (start_s, end_s) = parameters.times()?.seconds(DEFAULT_S, now_s)?;
        let window = Window { start_s, end_s };
        let kind = match parameters.text("kind")? {
            None => None,
            Some(name) => {
                let known = Kind::ALL.into_iter().find(|kind| kind.name() == name);
                Some(known.ok_or_else(|| BadParameter::NotOneOf {
                    name: "kind",
                    value: quoted(name),
                    known: "usage_spike, error_rate_rise, cost_spike, cost_drift, budget_overrun, \
                            provider_shift",
                })?)
            }
        };
        let unusual = match parameters.text("unusual")? {
            None | Some("false") => false,
            Some("true") => true,
            Some(other) => {
                return Err(BadParameter::NotOneOf {
                    name: "unusual",
                    value: quoted(other),
                    known: "true, false",
                });
            }
        };
        let limit = parameters.number("limit", 1, LIMIT_MAX)?.unwrap_or(LIMIT);
        let owned = |name| Ok::<_, BadParameter>(parameters.text(name)?.map(ToOwned::to_owned));
        Ok(Self {
            window,
            client: owned("client")?,
            kind,
            unusual,
            limit: usize::try_from(limit).unwrap_or(usize::MAX),
            after: owned("after")?,
        })
    }

    /// Whether a client fits, whatever the page.
    fn fits(&self, report: &Report) -> bool {
        let is_client = |client: &String| **client == *report.client;
        let needs_finding = self.unusual || self.kind.is_some();
        self.client.as_ref().is_none_or(is_client)
            && (!needs_finding || shown::is_any(report, self.window, self.kind))
    }

    fn answer(&self, view: &View) -> ClientsHealth {
        let fitting = || view.clients.iter().filter(|report| self.fits(report));
        let is_after = |report: &&Arc<Report>| {
            let after = self.after.as_deref();
            after.is_none_or(|after| &*report.client > after)
        };
        let mut page: Vec<&Arc<Report>> = fitting().filter(is_after).take(self.limit + 1).collect();
        let next = (page.len() > self.limit).then(|| {
            page.truncate(self.limit);
            page.last().map(|report| report.client.to_string())
        });
        let clients = page
            .into_iter()
            .map(|report| ClientHealth::new(report, self.window, self.kind));
        let Window { start_s, end_s } = self.window;
        let partial = start_s < view.watched_s;
        let reason =
            "what was over before the gateway watched its clients is not known: it began at";
        ClientsHealth {
            start: start_s,
            end: end_s,
            partial,
            reason: partial.then(|| format!("{reason} {}", view.watched_s)),
            judged: view.judged_s,
            total: fitting().count(),
            next: next.flatten(),
            clients: clients.collect(),
        }
    }
}

/// How clients are: usage, errors, cost and providers, and what of it is unusual.
#[utoipa::path(
    get, path = PATH, tag = "clients",
    params(Times, Wanted),
    responses(
        (status = 200, description = "The clients.", body = ClientsHealth),
        (status = 400, description = "A parameter is wrong.", body = ErrorAnswer),
        (status = 404, description = "There is no such client.", body = ErrorAnswer),
    )
)]
pub(super) async fn client_health(
    State(shared): State<Arc<Shared>>,
    RawQuery(query): RawQuery,
) -> Response {
    let question = match Question::read(query.as_deref(), now().0 / 1000) {
        Ok(question) => question,
        Err(error) => return answer::bad_request(&error.to_string()),
    };
    let Some(board) = &shared.clients else {
        return unavailable(
            "Clients are not watched: client_health.enabled or storage.history.enabled is false.",
        );
    };
    let Some(view) = board.view() else {
        let message = "The history is being read for what is usual; try again.";
        let mut response = unavailable(message);
        let wait = HeaderValue::from_static("5");
        response.headers_mut().insert(RETRY_AFTER, wait);
        return response;
    };
    if let Some(client) = &question.client
        && view.of(client).is_none()
        && !shared.has_client(client)
    {
        let message = format!("Client not found: {}", quoted(client));
        return answer::admin_error(StatusCode::NOT_FOUND, "not_found", &message);
    }
    answer::value(&question.answer(&view))
}

fn unavailable(message: &str) -> Response {
    answer::admin_error(StatusCode::SERVICE_UNAVAILABLE, "store_error", message)
}

impl Shared {
    /// Whether a client is configured, or used something since the start.
    fn has_client(&self, name: &str) -> bool {
        let plan = &self.setups.current().plan;
        let is_used = || {
            self.meter
                .catalog()
                .clients()
                .any(|(_, known)| *known == *name)
        };
        plan.clients.iter().any(|client| *client.id == *name) || is_used()
    }

    /// What is unusual for a client in a window, the last ones first; `None` where nobody watches, or not yet.
    pub(super) fn anomalies(&self, client: &str, window: Window) -> Option<Vec<Anomaly>> {
        let view = self.clients.as_ref()?.view()?;
        let report = view.of(client);
        Some(report.map_or_else(Vec::new, |report| shown::within(report, window, None)))
    }
}
