//! `GET /v1/usage?start&end`: what the client that asks has used, and what is left to it.
//!
//! A worker finds the client by its key and reads its limits; the history is asked here. Who
//! asks is in the extension [`Caller`], which no request from outside can carry.

use super::DAY_S;
use super::span::Span;
use crate::control::figures::{Usd, cost};
use crate::control::parameters::{BadParameter, Parameters, Times, names};
use crate::control::questions::now;
use crate::control::{Shared, answer};
use crate::gateway::Account;
use crate::wire::openai_error::ErrorKind;
use axum::extract::{Extension, RawQuery, State};
use axum::response::Response;
use coo_llm_core::NanoUsd;
use coo_llm_core::limiter::{Level, Period, Spent, Terms};
use coo_llm_core::record::Tokens;
use coo_llm_core::snapshot::Totals;
use coo_llm_exporters::history::{Filter, Query};
use serde::Serialize;
use std::sync::Arc;
use utoipa::ToSchema;

pub(crate) const PATH: &str = "/v1/usage";

/// The client that a worker has found to ask, and what it has of its limits.
#[derive(Clone, Debug)]
pub(crate) struct Caller {
    pub(crate) client: Arc<str>,
    pub(crate) account: Account,
}

/// What a client has used, and what is left to it.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::control) struct OwnUsage {
    object: &'static str,
    client_id: String,
    #[serde(flatten)]
    span: Span,
    /// Finished requests; this one is not among them.
    requests: u64,
    /// Those of them that failed.
    errors: u64,
    tokens: TokensUsed,
    /// USD; null where no request has a price.
    cost: Option<Usd>,
    /// Requests that have none.
    unpriced_requests: u64,
    /// When the last one ended, in unix seconds; null where there is none.
    last_used: Option<u64>,
    limits: LimitsLeft,
    /// Null where it has none.
    budget: Option<BudgetLeft>,
}

/// Tokens, each counted once.
#[derive(Debug, Serialize, ToSchema)]
struct TokensUsed {
    total: u64,
    input: u64,
    cached_input: u64,
    cache_write: u64,
    output: u64,
    reasoning: u64,
    audio_input: u64,
    audio_output: u64,
}

/// The limits by the minute; null where there is none.
#[derive(Debug, Serialize, ToSchema)]
struct LimitsLeft {
    requests: Option<LimitLeft>,
    tokens: Option<LimitLeft>,
}

/// A limit by the minute.
#[derive(Debug, Serialize, ToSchema)]
struct LimitLeft {
    per_minute: u64,
    remaining: u64,
    /// When all of it is back.
    reset_ms: u64,
}

/// A budget.
#[derive(Debug, Serialize, ToSchema)]
struct BudgetLeft {
    usd: Usd,
    /// `day` or `month`, in UTC.
    per: &'static str,
    /// `warn` or `block`.
    action: &'static str,
    /// In this period, by requests that are over.
    spent: Usd,
    /// By those under way.
    reserved: Usd,
    /// What neither of them has.
    left: Usd,
    /// The unix second in which the next period begins.
    resets: u64,
}

impl From<Tokens> for TokensUsed {
    fn from(tokens: Tokens) -> Self {
        Self {
            total: tokens.total(),
            input: tokens.input,
            cached_input: tokens.cached_input,
            cache_write: tokens.cache_write,
            output: tokens.output,
            reasoning: tokens.reasoning,
            audio_input: tokens.audio_input,
            audio_output: tokens.audio_output,
        }
    }
}

impl From<(u64, Level)> for LimitLeft {
    fn from((per_minute, level): (u64, Level)) -> Self {
        Self {
            per_minute,
            remaining: level.remaining,
            reset_ms: level.reset_ms,
        }
    }
}

impl From<(Terms, Spent)> for BudgetLeft {
    fn from((terms, spent): (Terms, Spent)) -> Self {
        let taken = spent.spent.0.saturating_add(spent.reserved.0);
        Self {
            usd: Usd(terms.usd),
            per: match terms.per {
                Period::Day => "day",
                Period::Month => "month",
            },
            action: if terms.blocks { "block" } else { "warn" },
            spent: Usd(spent.spent),
            reserved: Usd(spent.reserved),
            left: Usd(NanoUsd(terms.usd.0.saturating_sub(taken))),
            resets: spent.resets.0 / 1000,
        }
    }
}

/// What the client whose key is sent has used, and what is left to it.
#[utoipa::path(
    get, path = PATH, tag = "clients",
    params(Times),
    responses(
        (status = 200, description = "On the data plane, with a client's key; also under `/api`.", body = OwnUsage),
        (status = 400, description = "The window is none.", body = Object),
        (status = 401, description = "No client has this key.", body = Object),
        (status = 404, description = "It is asked for on the control plane's own listener.", body = Object),
        (status = 503, description = "The history cannot be read now.", body = Object),
    )
)]
pub(in crate::control) async fn usage(
    State(shared): State<Arc<Shared>>,
    caller: Option<Extension<Caller>>,
    RawQuery(query): RawQuery,
) -> Response {
    let bad =
        |error: BadParameter| answer::openai_error(ErrorKind::InvalidRequest, &error.to_string());
    let read = || {
        let asked = Parameters::read(query.as_deref(), &names::<Times>())?.times()?;
        Ok((asked, asked.window(DAY_S, now().0 / 1000)?))
    };
    let (asked, window) = match read() {
        Ok(read) => read,
        Err(error) => return bad(error),
    };
    let Some(Extension(Caller { client, account })) = caller else {
        return answer::not_found(&http::Method::GET, PATH);
    };
    let query = Query {
        window,
        step_s: None,
        filter: Filter {
            client: Some(client.to_string()),
            ..Filter::default()
        },
        group_by: Vec::new(),
    };
    let found = shared
        .questions
        .ask(move |history, now| history.query(&query, now));
    let found = match found.await {
        Ok(found) => found,
        Err(error) => return error.to_client(),
    };
    let points = found.groups.iter().flat_map(|group| &group.points);
    let totals = points.fold(Totals::default(), |sum, (_, usage)| sum.plus(&usage.totals));
    answer::value(&OwnUsage {
        object: "usage",
        client_id: client.to_string(),
        span: Span::new(asked, window, found.window),
        requests: totals.requests,
        errors: totals.errors,
        tokens: totals.tokens.into(),
        cost: cost(totals.cost, totals.requests, totals.unpriced),
        unpriced_requests: totals.unpriced,
        last_used: totals.last_request.map(|at| at.0 / 1000),
        limits: LimitsLeft {
            requests: account.requests.map(LimitLeft::from),
            tokens: account.tokens.map(LimitLeft::from),
        },
        budget: account.budget.map(BudgetLeft::from),
    })
}
