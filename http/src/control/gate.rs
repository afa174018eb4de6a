//! The gate of the admin API: who comes in, what is written down, what is counted.

use super::{Peer, Shared, answer};
use axum::extract::{MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::Response;
use coo_llm_core::catalog::{Family, OTHER};
use http::Method;
use std::fmt::Write;
use std::sync::Arc;
use std::time::Instant;

/// What may stand before the path of any admin endpoint.
pub(super) const ALIAS: &str = "/api";

/// Whether a path is of the admin API, whether it exists or not.
pub(super) fn is_admin(path: &str) -> bool {
    let path = path.strip_prefix(ALIAS).unwrap_or(path);
    path.strip_prefix("/admin")
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

pub(super) async fn gate(
    State(shared): State<Arc<Shared>>,
    request: Request,
    next: Next,
) -> Response {
    if !is_admin(request.uri().path()) {
        return next.run(request).await;
    }
    let began = Instant::now();
    let method = method_label(request.method());
    let what = escaped(&format!("{} {}", request.method(), request.uri().path()));
    let peer = request.extensions().get::<Peer>();
    let from = peer.map_or_else(|| "unknown".to_owned(), |Peer(peer)| peer.ip().to_string());
    tracing::info!(target: "audit", "[AUDIT] {what} from {from}");
    let endpoint = request
        .extensions()
        .get::<MatchedPath>()
        .map_or(OTHER, MatchedPath::as_str);
    let endpoint = endpoint.strip_prefix(ALIAS).unwrap_or(endpoint).to_owned();
    let response = if shared.admits(request.headers()) {
        next.run(request).await
    } else {
        answer::unauthorized(true)
    };
    let status = response.status();
    let values = [&*endpoint, method, status.as_str()];
    shared.count(Family::AdminRequests, &values);
    let ms = began.elapsed().as_millis();
    tracing::info!(target: "audit", "[AUDIT] {what} completed in {ms}ms");
    response
}

/// The method as a label: a client may send any token, a label is one of these.
fn method_label(method: &Method) -> &'static str {
    const KNOWN: [&str; 9] = [
        "GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "CONNECT", "TRACE",
    ];
    let known = KNOWN.into_iter().find(|known| *known == method.as_str());
    known.unwrap_or(OTHER)
}

/// Text with its control characters escaped, so that no request can write a log line.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() {
            // Writing to a String cannot fail.
            let _infallible = write!(out, "{}", c.escape_default());
        } else {
            out.push(c);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn admin_paths_are_told_from_others() {
        for path in [
            "/admin",
            "/admin/",
            "/admin/v1/x",
            "/api/admin",
            "/api/admin/v1/x",
        ] {
            assert!(is_admin(path), "{path}");
        }
        for path in [
            "/administrator",
            "/api/adminx",
            "/x/admin",
            "/v1/admin",
            "/",
        ] {
            assert!(!is_admin(path), "{path}");
        }
    }

    #[test]
    fn a_log_line_cannot_be_broken() {
        assert_eq!(escaped("a\nb\r\u{1b}[0m"), r"a\nb\r\u{1b}[0m");
        assert_eq!(escaped("/\u{fc}"), "/\u{fc}");
    }
}
