//! `GET /admin/v1/audit?start&end&after&limit`: the trail, a page at a time.

use super::read::{self, Asked};
use super::{Trail, now_ms};
use crate::control::auth::{Identity, Role};
use crate::control::window::Window;
use crate::control::{Shared, answer};
use axum::extract::{Extension, RawQuery, State};
use axum::response::Response;
use http::StatusCode;
use serde::Serialize;
use serde_json::value::RawValue;
use std::sync::Arc;

pub(in crate::control) const PATH: &str = "/admin/v1/audit";

/// What is shown where `start` is left out.
const DEFAULT_S: u64 = 24 * 3600;
const LIMIT_DEFAULT: usize = 100;
const LIMIT_MAX: usize = 1000;

/// The answer.
#[derive(Debug, Serialize)]
struct Answer {
    /// Unix seconds, half-open.
    start: u64,
    end: u64,
    /// Rows as they stand in the trail, the oldest first.
    entries: Vec<Box<RawValue>>,
    /// Where there are more: `after` for the next page.
    next: Option<u64>,
    /// Whether rows of requests that are done may not be there yet.
    partial: bool,
}

/// The whole number of a parameter that may come once.
fn number(query: &str, name: &str) -> Result<Option<u64>, String> {
    let mut found = None;
    for (_, value) in form_urlencoded::parse(query.as_bytes()).filter(|(key, _)| key == name) {
        let is_plain = value.bytes().all(|byte| byte.is_ascii_digit());
        let number = value.parse().ok().filter(|_| is_plain);
        let number = number.ok_or_else(|| format!("{name} must be a whole number"))?;
        if found.replace(number).is_some() {
            return Err(format!("{name} was given more than once"));
        }
    }
    Ok(found)
}

fn asked(query: &str, now_ms: u64) -> Result<(u64, u64, Asked), String> {
    let window = Window::parse(query).map_err(|error| error.to_string())?;
    // Up to and with this second.
    let window = window.last(DEFAULT_S, now_ms / 1000 + 1);
    let (start, end) = window.map_err(|error| error.to_string())?;
    let limit = number(query, "limit")?.map_or(Ok(LIMIT_DEFAULT), |limit| {
        let limit = usize::try_from(limit).ok();
        let limit = limit.filter(|limit| (1..=LIMIT_MAX).contains(limit));
        limit.ok_or_else(|| format!("limit must be a whole number from 1 to {LIMIT_MAX}"))
    })?;
    let asked = Asked {
        start_ms: start.saturating_mul(1000),
        end_ms: end.saturating_mul(1000),
        after: number(query, "after")?.unwrap_or(0),
        limit,
    };
    Ok((start, end, asked))
}

pub(in crate::control) async fn audit(
    State(shared): State<Arc<Shared>>,
    Extension(identity): Extension<Identity>,
    RawQuery(query): RawQuery,
) -> Response {
    // It tells who did what from where: not for those who only read numbers.
    if identity.role != Role::Admin {
        return answer::forbidden("Only an admin may read the audit trail.");
    }
    let Some(trail) = &shared.audit else {
        let message = "No audit trail is kept: server.data_dir is none. The log has it.";
        return answer::admin_error(StatusCode::SERVICE_UNAVAILABLE, "store_error", message);
    };
    match asked(query.as_deref().unwrap_or_default(), now_ms()) {
        Ok((start, end, asked)) => page(trail, start, end, asked).await,
        Err(message) => {
            let kind = "invalid_request_error";
            answer::admin_error(StatusCode::BAD_REQUEST, kind, &message)
        }
    }
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
