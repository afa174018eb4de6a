//! `POST /admin/login`: a password against a token.

use super::{Auth, cookie, lock, unix_now};
use crate::control::answer::ErrorAnswer;
use crate::control::audit::Note;
use crate::control::front::{Client, IsSecure};
use crate::control::{Shared, answer};
use axum::body::{Body, to_bytes};
use axum::extract::{Extension, State};
use axum::response::Response;
use coo_llm_core::catalog::Family;
use http::header::{CONTENT_TYPE, RETRY_AFTER, SET_COOKIE};
use http::{HeaderMap, HeaderValue, StatusCode};
use serde::{Deserialize, Serialize};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;
use utoipa::ToSchema;

/// Its path; under `/api` too.
pub(in crate::control) const PATH: &str = "/admin/login";
/// The other name of it.
pub(in crate::control) const ALIAS: &str = "/api/login";

/// More than a name and a password have.
const BODY_BYTES_MAX: usize = 4096;
/// As much as `coo-llm hash-password` takes.
const PASSWORD_BYTES_MAX: usize = 1024;
/// When a login that found too many others may try again.
const BUSY: Duration = Duration::from_secs(1);

/// Who, under either name, and the password.
#[derive(Deserialize, ToSchema)]
struct Credentials {
    id: Option<String>,
    admin_id: Option<String>,
    #[schema(max_length = 1024, format = Password)]
    password: String,
}

impl Credentials {
    /// The name under which of the two it came; `None` where they differ or neither is there.
    fn id(&self) -> Option<&str> {
        match (&self.id, &self.admin_id) {
            (Some(id), None) | (None, Some(id)) => Some(id),
            (Some(id), Some(other)) if id == other => Some(id),
            _ => None,
        }
    }
}

/// A session begins.
#[derive(Debug, Serialize, ToSchema)]
struct LoggedIn {
    token: String,
    /// Unix seconds.
    expires: u64,
    user: User,
    /// For the header `X-CSRF-Token` of requests that go by the cookie and change something.
    csrf: String,
}

/// Who is logged in.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct User {
    pub(super) id: String,
    pub(super) username: String,
    /// `admin` or `viewer`.
    pub(super) role: &'static str,
}

/// What became of an attempt.
#[derive(Debug)]
enum Outcome {
    LoggedIn(LoggedIn),
    /// The name or the password is wrong; which one is not told.
    Wrong,
    /// Too many failures: how long to wait.
    Locked(Duration),
    /// Too many logins at a time.
    Busy,
    /// The gateway cannot make a token.
    Broken,
}

impl Auth {
    async fn log_in(&self, id: &str, password: String, address: Option<IpAddr>) -> Outcome {
        // First a turn, then the lock: attempts that came together are judged one by one.
        let Ok(turn) = self.passwords.turn().await else {
            return Outcome::Busy;
        };
        let now = self.uptime();
        {
            let mut lockout = lock(&self.lockout);
            if let Some(wait) = lockout.wait(id, address, now) {
                return Outcome::Locked(wait);
            }
            // Noted before the check, so that an attempt whose client leaves counts too.
            lockout.strike(id, address, now);
        }
        let rights = self.rights();
        let account = rights.accounts.find(id);
        // A name that nobody has takes as long as one that somebody has.
        let Some(asked) = account.or_else(|| rights.accounts.any()) else {
            return Outcome::Wrong;
        };
        let is_right = turn.check(password, asked.hash.clone()).await;
        let Some(account) = account.filter(|_| is_right) else {
            return Outcome::Wrong;
        };
        lock(&self.lockout).forgive(id, address);
        let made = self
            .tokens
            .make(id, &account.fingerprint, unix_now(), rights.lifetime);
        let (token, claims) = match made {
            Ok(made) => made,
            Err(error) => {
                tracing::error!(%error, "a login failed");
                return Outcome::Broken;
            }
        };
        Outcome::LoggedIn(LoggedIn {
            token,
            expires: claims.exp,
            user: User {
                id: account.id.clone(),
                username: account.id.clone(),
                role: account.role.as_str(),
            },
            csrf: self.tokens.csrf(&claims.jti),
        })
    }
}

/// A password for a token. JSON by its content type also sets the cookie of a page's session.
#[utoipa::path(
    post, path = PATH, tag = "auth", security(()),
    request_body = Credentials,
    responses(
        (status = 200, description = "A session begins.", body = LoggedIn),
        (status = 400, description = "No name and password in JSON.", body = ErrorAnswer),
        (status = 401, description = "The name or the password is wrong.", body = ErrorAnswer),
        (status = 500, description = "No token could be made; the log says why.", body = ErrorAnswer),
    )
)]
pub(in crate::control) async fn login(
    State(shared): State<Arc<Shared>>,
    Extension(client): Extension<Client>,
    Extension(secure): Extension<IsSecure>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let Some((id, password)) = credentials(body).await else {
        let message = "Send JSON such as {\"id\": \"admin\", \"password\": \"...\"}.";
        return answer::admin_error(StatusCode::BAD_REQUEST, "invalid_request_error", message);
    };
    let outcome = shared.auth.log_in(&id, password, client.0).await;
    let result = match &outcome {
        Outcome::LoggedIn(_) => "success",
        Outcome::Locked(_) | Outcome::Busy => "locked",
        Outcome::Wrong | Outcome::Broken => "invalid",
    };
    shared.count(Family::AuthAttempts, &["password", result]);
    let mut note = Note {
        // A name that nobody has may be a password in the wrong field.
        actor: shared
            .auth
            .rights()
            .accounts
            .find(&id)
            .map(|known| known.id.clone()),
        method: Some("password"),
        reason: None,
        refusals: None,
    };
    let mut response = match outcome {
        Outcome::LoggedIn(done) => {
            let mut response = answer::value(&done);
            // Only where a page of others could not have sent it without being asked by the
            // browser first: else it could log its visitor in as somebody else.
            if is_json(&headers) {
                let seconds = done.expires.saturating_sub(unix_now());
                let cookie = cookie::set(&done.token, secure.0, seconds);
                response.headers_mut().insert(SET_COOKIE, cookie);
            }
            response
        }
        Outcome::Wrong => {
            note.reason = Some("wrong name or password");
            answer::unauthorized_with("The name or the password is wrong.")
        }
        Outcome::Locked(wait) => {
            note.reason = Some("locked");
            let message = "Too many failed logins; try again later.";
            too_many(message, wait)
        }
        Outcome::Busy => {
            note.reason = Some("too many logins at a time");
            too_many("Too many logins at a time; try again.", BUSY)
        }
        Outcome::Broken => {
            note.reason = Some("no token could be made");
            let message = "No token could be made; the log says why.";
            answer::admin_error(StatusCode::INTERNAL_SERVER_ERROR, "internal_error", message)
        }
    };
    let no_store = HeaderValue::from_static("no-store");
    response
        .headers_mut()
        .insert(http::header::CACHE_CONTROL, no_store);
    response.extensions_mut().insert(note);
    response
}

async fn credentials(body: Body) -> Option<(String, String)> {
    let body = to_bytes(body, BODY_BYTES_MAX).await.ok()?;
    let credentials: Credentials = serde_json::from_slice(&body).ok()?;
    let id = credentials.id()?.to_owned();
    let fits = credentials.password.len() <= PASSWORD_BYTES_MAX && id.len() <= PASSWORD_BYTES_MAX;
    fits.then_some((id, credentials.password))
}

fn is_json(headers: &HeaderMap) -> bool {
    let kind = headers.get(CONTENT_TYPE).map(HeaderValue::as_bytes);
    let kind = kind.and_then(|kind| kind.split(|byte| *byte == b';').next());
    kind.is_some_and(|kind| kind.trim_ascii().eq_ignore_ascii_case(b"application/json"))
}

/// 429 with the seconds to wait, rounded up.
pub(in crate::control) fn too_many(message: &str, wait: Duration) -> Response {
    let mut response =
        answer::admin_error(StatusCode::TOO_MANY_REQUESTS, "rate_limit_error", message);
    let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
    let seconds = HeaderValue::from(seconds.max(1));
    response.headers_mut().insert(RETRY_AFTER, seconds);
    response
}
