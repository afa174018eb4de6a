//! `GET /admin/v1/audit?start&end&after&limit`: the trail, a page at a time.

use super::Trail;
use super::read::{self, Asked};
use crate::control::answer::ErrorAnswer;
use crate::control::auth::{Identity, Role};
use crate::control::parameters::{BadParameter, Parameters, Times, names};
use crate::control::{Shared, answer};
use axum::extract::{Extension, RawQuery, State};
use axum::response::Response;
use coo_llm_runtime::unix_ms;
use http::StatusCode;
use serde::Serialize;
use serde_json::value::RawValue;
use std::sync::Arc;
use utoipa::ToSchema;

pub(in crate::control) const PATH: &str = "/admin/v1/audit";

/// What is shown where `start` is left out.
const DEFAULT_S: u64 = 24 * 3600;
const LIMIT_DEFAULT: usize = 100;
const LIMIT_MAX: usize = 1000;

/// A page of the audit trail.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = AuditPage)]
struct Answer {
    /// Unix seconds, half-open.
    start: u64,
    end: u64,
    /// Rows as they stand in the trail, the oldest first.
    #[schema(value_type = Vec<Object>)]
    entries: Vec<Box<RawValue>>,
    /// Where there are more: `after` for the next page.
    next: Option<u64>,
    /// Whether rows of requests that are done may not be there yet.
    partial: bool,
}

/// Which page of it.
#[derive(utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(
    dead_code,
    reason = "for the document and for the names; values are read by hand"
)]
struct Page {
    /// The number of the row after which the page begins: `next` of the page before.
    #[param(maximum = 9_223_372_036_854_775_807i64)]
    after: Option<u64>,
    /// Rows of a page; 100 without it.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<usize>,
}

fn asked(query: Option<&str>, now_ms: u64) -> Result<(u64, u64, Asked), BadParameter> {
    let known = [names::<Times>(), names::<Page>()].concat();
    let parameters = Parameters::read(query, &known)?;
    let (start, end) = parameters.times()?.seconds(DEFAULT_S, now_ms / 1000)?;
    let limit = parameters.number("limit", 1, LIMIT_MAX as u64)?;
    let asked = Asked {
        start_ms: start.saturating_mul(1000),
        end_ms: end.saturating_mul(1000),
        after: parameters.number("after", 0, i64::MAX as u64)?.unwrap_or(0),
        limit: limit.map_or(LIMIT_DEFAULT, |limit| limit as usize),
    };
    Ok((start, end, asked))
}

/// The audit trail: who did what, the oldest row first; the last 24 hours without `start`.
#[utoipa::path(
    get, path = PATH, tag = "audit",
    params(Times, Page),
    responses(
        (status = 200, description = "A page of it.", body = Answer),
        (status = 400, description = "A parameter is wrong.", body = ErrorAnswer),
        (status = 403, description = "Only admins may read it.", body = ErrorAnswer),
    )
)]
pub(in crate::control) async fn audit(
    State(shared): State<Arc<Shared>>,
    Extension(identity): Extension<Identity>,
    RawQuery(query): RawQuery,
) -> Response {
    // It tells who did what from where: not for those who only read numbers.
    if identity.role != Role::Admin {
        return answer::forbidden("Only an admin may read the audit trail.");
    }
    let (start, end, asked) = match asked(query.as_deref(), unix_ms()) {
        Ok(asked) => asked,
        Err(error) => return answer::bad_request(&error.to_string()),
    };
    let Some(trail) = &shared.audit else {
        let message = "No audit trail is kept: server.data_dir is none. The log has it.";
        return answer::admin_error(StatusCode::SERVICE_UNAVAILABLE, "store_error", message);
    };
    page(trail, start, end, asked).await
}

async fn page(trail: &Trail, start: u64, end: u64, asked: Asked) -> Response {
    let is_flushed = trail.flush().await;
    let folder = trail.folder();
    let work = move || read::page(&folder, &asked).map_err(|error| error.to_string());
    let read = tokio::task::spawn_blocking(work).await;
    let page = match read.unwrap_or_else(|error| Err(error.to_string())) {
        Ok(page) => page,
        Err(error) => {
            tracing::error!(error, "the audit trail cannot be read");
            let message = "The audit trail cannot be read; the log says why.";
            return answer::admin_error(StatusCode::SERVICE_UNAVAILABLE, "store_error", message);
        }
    };
    let rows = page.rows.into_iter().map(RawValue::from_string);
    answer::value(&Answer {
        start,
        end,
        // What is no JSON has no valid hash either, and is not read.
        entries: rows.filter_map(Result::ok).collect(),
        next: page.next,
        partial: !is_flushed,
    })
}
