//! `GET /admin/v1/session`: who I am. `POST /admin/logout`: the end of a session.

use super::login::User;
use super::{Identity, cookie};
use crate::control::answer::ErrorAnswer;
use crate::control::front::IsSecure;
use crate::control::{Shared, answer};
use axum::extract::{Extension, State};
use axum::response::Response;
use http::header::{CACHE_CONTROL, SET_COOKIE};
use http::{HeaderValue, StatusCode};
use serde::Serialize;
use std::sync::Arc;
use utoipa::ToSchema;

pub(in crate::control) const PATH: &str = "/admin/v1/session";
pub(in crate::control) const LOGOUT: &str = "/admin/logout";

/// Whose session it is.
#[derive(Debug, Serialize, ToSchema)]
struct Session {
    user: User,
    /// Unix seconds; `null` for the admin key, which does not end.
    expires: Option<u64>,
    /// As in the answer of the login: a page that was loaded anew needs it again.
    csrf: Option<String>,
}

/// A session has ended.
#[derive(Debug, Serialize, ToSchema)]
struct LoggedOut {
    /// `logged_out`.
    status: &'static str,
}

/// Who I am.
#[utoipa::path(
    get, path = PATH, tag = "auth",
    responses((status = 200, description = "Who asks.", body = Session))
)]
pub(in crate::control) async fn session(
    State(shared): State<Arc<Shared>>,
    Extension(identity): Extension<Identity>,
) -> Response {
    let session = identity.session.as_ref();
    let mut response = answer::value(&Session {
        expires: session.map(|session| session.exp),
        csrf: session.map(|session| shared.auth.tokens.csrf(&session.jti)),
        user: User {
            id: identity.actor.clone(),
            username: identity.actor,
            role: identity.role.as_str(),
        },
    });
    let no_store = HeaderValue::from_static("no-store");
    response.headers_mut().insert(CACHE_CONTROL, no_store);
    response
}

/// Ends the session of the token that asks.
#[utoipa::path(
    post, path = LOGOUT, tag = "auth",
    responses(
        (status = 200, description = "It has ended.", body = LoggedOut),
        (status = 400, description = "The admin key is no session.", body = ErrorAnswer),
        (status = 503, description = "It has ended, but this could not be written down.", body = ErrorAnswer),
    )
)]
pub(in crate::control) async fn logout(
    State(shared): State<Arc<Shared>>,
    Extension(identity): Extension<Identity>,
    Extension(secure): Extension<IsSecure>,
) -> Response {
    let Some(session) = identity.session else {
        let message = "The admin key is no session; there is nothing to log out of.";
        return answer::admin_error(StatusCode::BAD_REQUEST, "invalid_request_error", message);
    };
    let mut response = match shared.auth.revoke(session.jti, session.exp).await {
        Ok(()) => answer::value(&LoggedOut {
            status: "logged_out",
        }),
        Err(error) => {
            tracing::error!(%error, "the end of a session could not be written down");
            let message = "The session has ended, but this could not be written down: \
                           its token is good again after a restart.";
            answer::admin_error(StatusCode::SERVICE_UNAVAILABLE, "store_error", message)
        }
    };
    let cookie = cookie::set("", secure.0, 0);
    response.headers_mut().insert(SET_COOKIE, cookie);
    response
}
