//! The gate of the admin API: one layer before every route of it, known or not.
//!
//! ```text
//! address --> rate limit --> place in the trail --> CORS --> who --> may they --> route
//!                 429             503               204      401       403
//! ```
//! Whatever comes of a request, it is counted, logged, and has its row. A route finds who asks
//! in the extension [`Identity`].

use super::audit::{self, Note, Place, escaped};
use super::auth::{Identity, Refused, is_safe, login};
use super::front::{self, Client};
use super::rate_limit::Verdict;
use super::{Peer, Shared, answer, lock};
use axum::extract::{MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::Response;
use coo_llm_core::catalog::{Family, OTHER};
use http::{HeaderMap, Method, StatusCode};
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
    mut request: Request,
    next: Next,
) -> Response {
    let path = request.uri().path();
    if !is_admin(path) && path != login::ALIAS {
        return next.run(request).await;
    }
    let began = Instant::now();
    let peer = request
        .extensions()
        .get::<Peer>()
        .map(|Peer(peer)| peer.ip());
    let client = shared.front.client(peer, request.headers());
    let secure = shared.front.is_secure(peer, request.headers());
    let endpoint = endpoint(&request);
    let method = method_label(request.method());
    let what = escaped(&format!("{} {path}", request.method()));
    let verdict = shared.admits(client, began);
    let is_folded = matches!(verdict, Verdict::Refused { in_row, .. } if !in_row.is_power_of_two());
    if !is_folded {
        let from = client
            .0
            .map_or_else(|| "unknown".to_owned(), |ip| ip.to_string());
        tracing::info!(target: "audit", "[AUDIT] {what} from {from}");
    }
    let mut place = Place::take(
        shared.audit.as_ref(),
        audit::Request {
            method: request.method().to_string(),
            path: path.to_owned(),
            endpoint: endpoint.clone(),
            address: client.0,
            status: None,
            duration_ms: 0,
            note: Note::default(),
        },
    );
    let mut response = match verdict {
        Verdict::Refused { wait, in_row } => {
            shared.count(Family::AdminRateLimits, &[&endpoint]);
            place.note(Note {
                reason: Some("rate limit"),
                refusals: Some(in_row),
                ..Note::default()
            });
            login::too_many(
                "Too many requests from this address; try again later.",
                wait,
            )
        }
        Verdict::Admitted if place.is_missing() && !is_safe(request.method()) => {
            place.note(Note::refused("no place in the audit trail"));
            let message = "The audit trail takes no rows now: nothing may be changed without.";
            answer::admin_error(StatusCode::SERVICE_UNAVAILABLE, "store_error", message)
        }
        Verdict::Admitted => {
            request.extensions_mut().insert(client);
            request.extensions_mut().insert(secure);
            let headers = request.headers().clone();
            let mut response = shared.respond(request, &endpoint, next, &mut place).await;
            if shared.front.has_cors() {
                front::vary(response.headers_mut());
            }
            if let Some(origin) = shared.front.allowed_origin(&headers) {
                front::allow(origin, response.headers_mut());
            }
            response
        }
    };
    let status = response.status();
    shared.count(Family::AdminRequests, &[&endpoint, method, status.as_str()]);
    place.end(status.as_u16());
    if let Some(note) = response.extensions_mut().remove::<Note>() {
        place.note(note);
    }
    if is_folded {
        place.fold();
    } else {
        let ms = began.elapsed().as_millis();
        let status = status.as_u16();
        let actor = place.actor().unwrap_or("nobody");
        tracing::info!(target: "audit", status, actor, "[AUDIT] {what} completed in {ms}ms");
    }
    response
}

impl Shared {
    fn admits(&self, client: Client, now: Instant) -> Verdict {
        let Some(limit) = &self.rate_limit else {
            return Verdict::Admitted;
        };
        let uptime = now.saturating_duration_since(self.began);
        lock(limit).admit(client.0, uptime)
    }

    /// The answer to a request that is not one too many.
    async fn respond(
        &self,
        mut request: Request,
        endpoint: &str,
        next: Next,
        place: &mut Place,
    ) -> Response {
        let (method, headers) = (request.method(), request.headers());
        if front::is_preflight(method, headers)
            && let Some(_origin) = self.front.allowed_origin(headers)
        {
            let mut response = Response::default();
            *response.status_mut() = StatusCode::NO_CONTENT;
            front::allow_sending(response.headers_mut());
            return response;
        }
        if endpoint == login::PATH {
            return next.run(request).await;
        }
        match self.identify(&request) {
            Ok(identity) => {
                place.note(Note {
                    actor: Some(identity.actor.clone()),
                    method: Some(identity.method()),
                    ..Note::default()
                });
                if !identity.role.covers(request.method())
                    && endpoint != super::auth::session::LOGOUT
                {
                    place.refuse(Refused::Role.as_str());
                    return answer::forbidden("A viewer may read and change nothing.");
                }
                request.extensions_mut().insert(identity);
                next.run(request).await
            }
            Err(refused) => {
                place.note(Note::refused(refused.as_str()));
                match refused {
                    Refused::Csrf => answer::forbidden(
                        "A page's session needs the header X-CSRF-Token to change something.",
                    ),
                    Refused::Expired => {
                        answer::unauthorized_with("The token has expired: log in again.")
                    }
                    _ => answer::unauthorized(true),
                }
            }
        }
    }

    /// Who sends the request; counts the answer.
    fn identify(&self, request: &Request) -> Result<Identity, Refused> {
        let is_secure = request.extensions().get::<front::IsSecure>();
        let is_secure = is_secure.is_some_and(|secure| secure.0);
        let found = self
            .auth
            .identify(request.method(), request.headers(), is_secure);
        let labels = match &found {
            Ok(identity) => Some([identity.method(), "success"]),
            Err(refused) => refused.labels(),
        };
        if let Some(labels) = labels {
            self.count(Family::AuthAttempts, &labels);
        }
        found
    }

    /// Whether the headers carry the admin key; counts the answer.
    pub(super) fn admits_key(&self, headers: &HeaderMap) -> bool {
        let admitted = self.auth.has_admin_key(headers);
        let result = if admitted { "success" } else { "invalid" };
        self.count(Family::AuthAttempts, &["admin_key", result]);
        admitted
    }
}

/// The route's template; `other` where there is none.
fn endpoint(request: &Request) -> String {
    let template = request.extensions().get::<MatchedPath>();
    let template = template.map_or(OTHER, MatchedPath::as_str);
    if template == login::ALIAS {
        return login::PATH.to_owned();
    }
    template.strip_prefix(ALIAS).unwrap_or(template).to_owned()
}

/// The method as a label: a client may send any token, a label is one of these.
fn method_label(method: &Method) -> &'static str {
    const KNOWN: [&str; 9] = [
        "GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "CONNECT", "TRACE",
    ];
    let known = KNOWN.into_iter().find(|known| *known == method.as_str());
    known.unwrap_or(OTHER)
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
}
