//! Errors of the Messages API: `{"type":"error","error":{"type","message"}}`.

use bytes::Bytes;

use super::chat_stream::{json_string, string};
use super::event::ErrorText;
use crate::wire::lenient::Lenient;
use crate::wire::openai_error::ErrorKind;
use crate::wire::span::Raw;

#[cfg(test)]
mod tests;

/// 529, which is Anthropic's own, becomes 503, which every client knows.
const OVERLOADED: u16 = 529;

/// An error answer of Anthropic's in OpenAI's shape, with its status.
///
/// The message stays as it is. A body that is no such error, as a proxy on the way may
/// send, becomes a message that names the status.
#[must_use]
pub fn to_openai(status: u16, body: &[u8]) -> (u16, Bytes) {
    let read = serde_json::from_slice::<Lenient<AnswerWire<'_>>>(body);
    let error = read.map_or_else(|_| ErrorText::default(), |read| read.value.error.value);
    let mut out = Vec::with_capacity(body.len() + 64);
    put_openai(&mut out, &error, Some(status));
    let status = if status == OVERLOADED { 503 } else { status };
    (status, out.into())
}

/// Writes OpenAI's error for one of Anthropic's; of an event in a stream there is no
/// status.
pub(super) fn put_openai(out: &mut Vec<u8>, error: &ErrorText<'_>, status: Option<u16>) {
    let is_ours = |text: &Raw<'_>| text.is_filled() && string(*text).len() > 2;
    let message = if is_ours(&error.message) {
        string(error.message).to_owned()
    } else {
        json_string(&match status {
            Some(status) => format!("The provider answered with status {status}."),
            None => "The provider ended the stream with an error.".to_owned(),
        })
    };
    let (kind, code) = openai_type(string(error.kind), status);
    let code = code.map_or_else(|| "null".to_owned(), |code| format!("\"{code}\""));
    out.extend_from_slice(
        format!(
            r#"{{"error":{{"message":{message},"type":"{kind}","param":null,"code":{code}}}}}"#
        )
        .as_bytes(),
    );
}

/// OpenAI's `type` and `code` for an error's type; by its status where the type is new.
fn openai_type(kind: &str, status: Option<u16>) -> (&'static str, Option<&'static str>) {
    match kind.trim_matches('"') {
        "invalid_request_error" => ("invalid_request_error", None),
        "authentication_error" => ("invalid_request_error", Some("invalid_api_key")),
        "billing_error" => ("insufficient_quota", Some("insufficient_quota")),
        "permission_error" => ("invalid_request_error", Some("permission_denied")),
        "not_found_error" => ("invalid_request_error", Some("model_not_found")),
        "request_too_large" => ("invalid_request_error", Some("request_too_large")),
        "rate_limit_error" => ("requests", Some("rate_limit_exceeded")),
        "overloaded_error" => ("server_error", Some("overloaded")),
        "timeout_error" => ("server_error", Some("upstream_timeout")),
        _ => match status {
            Some(429) => ("requests", Some("rate_limit_exceeded")),
            Some(400..500) => ("invalid_request_error", None),
            _ => ("server_error", None),
        },
    }
}

/// A refusal of the gateway in Anthropic's shape; `openai` is its body in OpenAI's.
#[must_use]
pub fn refusal(kind: ErrorKind, openai: &[u8]) -> Bytes {
    let read = serde_json::from_slice::<Lenient<AnswerWire<'_>>>(openai);
    let message = match &read {
        Ok(read) => string(read.value.error.value.message).to_owned(),
        Err(_) => json_string(kind.message()),
    };
    let error_type = error_type(kind.status());
    format!(r#"{{"type":"error","error":{{"type":"{error_type}","message":{message}}}}}"#).into()
}

/// Anthropic's type for a status of ours.
const fn error_type(status: u16) -> &'static str {
    match status {
        401 => "authentication_error",
        403 => "permission_error",
        404 => "not_found_error",
        413 => "request_too_large",
        429 => "rate_limit_error",
        503 => "overloaded_error",
        504 => "timeout_error",
        400..500 => "invalid_request_error",
        _ => "api_error",
    }
}

#[derive(Default, serde::Deserialize)]
#[serde(default)]
struct AnswerWire<'a> {
    #[serde(borrow)]
    error: Lenient<ErrorText<'a>>,
}
