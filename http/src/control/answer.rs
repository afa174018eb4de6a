//! Answers: JSON, and the two shapes of errors.
//!
//! Admin errors are `{"error":{"message","type"}}`; outside of it they are OpenAI's.

use super::gate::is_admin;
use crate::wire::openai_error::ErrorKind;
use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use http::header::{CONTENT_TYPE, WWW_AUTHENTICATE};
use http::{HeaderValue, Method, StatusCode};
use serde::Serialize;
use utoipa::ToSchema;

const JSON: HeaderValue = HeaderValue::from_static("application/json");

pub(super) fn json(status: StatusCode, body: impl Into<Bytes>) -> Response {
    let mut response = Response::new(Body::from(body.into()));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, JSON);
    response
}

/// A value as JSON.
pub(super) fn value(value: &impl Serialize) -> Response {
    let body = serde_json::to_vec(value).expect("answers have string keys and no failing parts");
    json(StatusCode::OK, body)
}

/// The shape of every error of the admin API.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Error)]
pub(super) struct ErrorAnswer {
    error: ErrorFacts,
}

/// What went wrong.
#[derive(Debug, Serialize, ToSchema)]
struct ErrorFacts {
    /// For people: what is wrong, and the way out.
    message: String,
    /// For programs: a closed list for each status.
    #[serde(rename = "type")]
    kind: &'static str,
    /// Each fault of a configuration, where there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    errors: Option<Vec<String>>,
}

/// An error of the admin API.
pub(super) fn admin_error(status: StatusCode, kind: &'static str, message: &str) -> Response {
    error(status, kind, message, None)
}

/// An error of the admin API with a list of what is wrong.
pub(super) fn admin_errors(
    status: StatusCode,
    kind: &'static str,
    message: &str,
    errors: &[String],
) -> Response {
    error(status, kind, message, Some(errors.to_vec()))
}

fn error(
    status: StatusCode,
    kind: &'static str,
    message: &str,
    errors: Option<Vec<String>>,
) -> Response {
    let message = message.to_owned();
    let error = ErrorFacts {
        message,
        kind,
        errors,
    };
    let body = serde_json::to_vec(&ErrorAnswer { error }).expect("an error has string keys");
    json(status, body)
}

/// 400: the question cannot be answered as it was asked.
pub(super) fn bad_request(message: &str) -> Response {
    admin_error(StatusCode::BAD_REQUEST, "invalid_request_error", message)
}

/// An error in OpenAI's shape.
pub(super) fn openai_error(kind: ErrorKind, message: &str) -> Response {
    let status = StatusCode::from_u16(kind.status()).expect("kinds have valid statuses");
    json(status, kind.body_with(message, None))
}

/// 401 for want of the admin key.
pub(super) fn unauthorized(admin: bool) -> Response {
    const KEY: &str = "The admin key is missing or wrong: send it as 'Authorization: Bearer KEY'.";
    const EITHER: &str = "The admin key, or the token of a login, is missing or wrong: send it \
                          as 'Authorization: Bearer KEY'.";
    if admin {
        return unauthorized_with(EITHER);
    }
    challenged(openai_error(ErrorKind::ApiKeyInvalid, KEY))
}

/// 401 of the admin API, with this message.
pub(super) fn unauthorized_with(message: &str) -> Response {
    let status = StatusCode::UNAUTHORIZED;
    challenged(admin_error(status, "authentication_error", message))
}

/// 403 of the admin API.
pub(super) fn forbidden(message: &str) -> Response {
    admin_error(StatusCode::FORBIDDEN, "permission_error", message)
}

fn challenged(mut response: Response) -> Response {
    let challenge = HeaderValue::from_static("Bearer");
    response.headers_mut().insert(WWW_AUTHENTICATE, challenge);
    response
}

pub(super) fn not_found(method: &Method, path: &str) -> Response {
    let message = format!("Not found: {method} {path}");
    if is_admin(path) {
        admin_error(StatusCode::NOT_FOUND, "not_found", &message)
    } else {
        openai_error(ErrorKind::UnknownEndpoint, &message)
    }
}

/// 405; axum adds `Allow`.
pub(super) fn method_not_allowed(method: &Method, path: &str) -> Response {
    let message = format!("{path} does not support {method}");
    if is_admin(path) {
        admin_error(
            StatusCode::METHOD_NOT_ALLOWED,
            "method_not_allowed",
            &message,
        )
    } else {
        openai_error(ErrorKind::MethodNotAllowed, &message)
    }
}

/// 503: the control plane cannot take the request.
pub(super) fn unavailable(message: &str) -> http::Response<Bytes> {
    let mut response = http::Response::new(ErrorKind::Unavailable.body_with(message, None));
    *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, JSON);
    headers.insert(http::header::RETRY_AFTER, HeaderValue::from_static("1"));
    response
}
