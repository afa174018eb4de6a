//! Errors in OpenAI's shape: `{"error":{"message","type","param","code"}}`.

use bytes::{BufMut, Bytes, BytesMut};

use super::envelope::EnvelopeError;

#[cfg(test)]
mod tests;

/// Bytes of a message that are written; the rest is cut off.
pub const MESSAGE_BYTES_MAX: usize = 512;

/// Why the gateway refuses a request, or cannot answer it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// 400: the body cannot be understood.
    InvalidRequest,
    /// 401: no key came.
    ApiKeyMissing,
    /// 401: the key is not known.
    ApiKeyInvalid,
    /// 403: the key may not use this provider or model.
    PermissionDenied,
    /// 404: no provider has this model.
    ModelNotFound,
    /// 404: there is no such endpoint.
    UnknownEndpoint,
    /// 405: the endpoint does not know this method.
    MethodNotAllowed,
    /// 408: the request did not come whole in time.
    RequestTimeout,
    /// 413: the body is above `server.limits.max_body_bytes`.
    BodyTooLarge,
    /// 415: the body is of a type or encoding that the endpoint does not read.
    UnsupportedMediaType,
    /// 429: too many requests in the window.
    RequestLimit,
    /// 429: too many tokens in the window.
    TokenLimit,
    /// 429: the budget is spent.
    BudgetExceeded,
    /// 500: a fault of the gateway.
    Internal,
    /// 502: the provider could not be reached.
    UpstreamConnect,
    /// 502: the provider's answer breaks the protocol.
    UpstreamProtocol,
    /// 503: no provider can take the request now, or the gateway drains.
    Unavailable,
    /// 504: the provider did not answer in time.
    UpstreamTimeout,
}

impl ErrorKind {
    /// Every kind.
    pub const ALL: [Self; 18] = [
        Self::InvalidRequest,
        Self::ApiKeyMissing,
        Self::ApiKeyInvalid,
        Self::PermissionDenied,
        Self::ModelNotFound,
        Self::UnknownEndpoint,
        Self::MethodNotAllowed,
        Self::RequestTimeout,
        Self::BodyTooLarge,
        Self::UnsupportedMediaType,
        Self::RequestLimit,
        Self::TokenLimit,
        Self::BudgetExceeded,
        Self::Internal,
        Self::UpstreamConnect,
        Self::UpstreamProtocol,
        Self::Unavailable,
        Self::UpstreamTimeout,
    ];

    /// The HTTP status.
    #[must_use]
    pub const fn status(self) -> u16 {
        match self {
            Self::InvalidRequest => 400,
            Self::ApiKeyMissing | Self::ApiKeyInvalid => 401,
            Self::PermissionDenied => 403,
            Self::ModelNotFound | Self::UnknownEndpoint => 404,
            Self::MethodNotAllowed => 405,
            Self::RequestTimeout => 408,
            Self::BodyTooLarge => 413,
            Self::UnsupportedMediaType => 415,
            Self::RequestLimit | Self::TokenLimit | Self::BudgetExceeded => 429,
            Self::Internal => 500,
            Self::UpstreamConnect | Self::UpstreamProtocol => 502,
            Self::Unavailable => 503,
            Self::UpstreamTimeout => 504,
        }
    }

    /// The `type`, as OpenAI writes it for the same status.
    #[must_use]
    pub const fn error_type(self) -> &'static str {
        match self {
            Self::RequestLimit => "requests",
            Self::TokenLimit => "tokens",
            Self::BudgetExceeded => "insufficient_quota",
            _ if self.status() < 500 => "invalid_request_error",
            _ => "server_error",
        }
    }

    /// The `code`; `null` where OpenAI has none.
    #[must_use]
    pub const fn code(self) -> Option<&'static str> {
        match self {
            Self::InvalidRequest | Self::Internal => None,
            Self::ApiKeyMissing | Self::ApiKeyInvalid => Some("invalid_api_key"),
            Self::PermissionDenied => Some("permission_denied"),
            Self::ModelNotFound => Some("model_not_found"),
            Self::UnknownEndpoint => Some("unknown_url"),
            Self::MethodNotAllowed => Some("method_not_supported"),
            Self::RequestTimeout => Some("request_timeout"),
            Self::BodyTooLarge => Some("request_too_large"),
            Self::UnsupportedMediaType => Some("unsupported_media_type"),
            Self::RequestLimit | Self::TokenLimit => Some("rate_limit_exceeded"),
            Self::BudgetExceeded => Some("budget_exceeded"),
            Self::UpstreamConnect => Some("upstream_unreachable"),
            Self::UpstreamProtocol => Some("upstream_protocol_error"),
            Self::Unavailable => Some("service_unavailable"),
            Self::UpstreamTimeout => Some("upstream_timeout"),
        }
    }

    /// The message where there is nothing more to say.
    #[must_use]
    pub const fn message(self) -> &'static str {
        match self {
            Self::InvalidRequest => "The request is invalid.",
            Self::ApiKeyMissing => {
                "You didn't provide an API key. Send it as 'Authorization: Bearer KEY'."
            }
            Self::ApiKeyInvalid => "Incorrect API key provided.",
            Self::PermissionDenied => "This API key may not use the requested model.",
            Self::ModelNotFound => "The model does not exist or you do not have access to it.",
            Self::UnknownEndpoint => "Unknown request URL.",
            Self::MethodNotAllowed => "The endpoint does not support this method.",
            Self::RequestTimeout => "The request did not arrive in time.",
            Self::BodyTooLarge => "The request body is too large.",
            Self::UnsupportedMediaType => "The content type has to be application/x-ndjson.",
            Self::RequestLimit => "Rate limit reached: too many requests.",
            Self::TokenLimit => "Rate limit reached: too many tokens.",
            Self::BudgetExceeded => "You exceeded your current budget.",
            Self::Internal => "The gateway had an internal error.",
            Self::UpstreamConnect => "The provider could not be reached.",
            Self::UpstreamProtocol => "The provider sent an invalid response.",
            Self::Unavailable => "No provider is available; try again later.",
            Self::UpstreamTimeout => "The provider did not answer in time.",
        }
    }

    /// The body with the kind's own message.
    #[must_use]
    pub fn body(self) -> Bytes {
        self.body_with(self.message(), None)
    }

    /// The body with a message and the name of the parameter at fault.
    ///
    /// The message is cut at [`MESSAGE_BYTES_MAX`]; control characters, and those that
    /// some readers take for line ends, are escaped; and each word that looks like a
    /// key (`sk-...`, or what follows `Bearer`) is masked, because a client may paste
    /// its key into the wrong field. That mask is the second line: no caller may put
    /// a header's value into a message.
    #[must_use]
    pub fn body_with(self, message: &str, param: Option<&str>) -> Bytes {
        let mut out = BytesMut::with_capacity(128 + message.len());
        out.put_slice(br#"{"error":{"message":"#);
        put_message(&mut out, cut(message));
        out.put_slice(br#","type":"#);
        put_quoted(&mut out, self.error_type());
        out.put_slice(br#","param":"#);
        put_optional(&mut out, param);
        out.put_slice(br#","code":"#);
        put_optional(&mut out, self.code());
        out.put_slice(b"}}");
        out.freeze()
    }

    /// The body of [`ErrorKind::ModelNotFound`] with the model's name.
    #[must_use]
    pub fn model_not_found(model: &str) -> Bytes {
        let message =
            format!("The model `{model}` does not exist or you do not have access to it.");
        Self::ModelNotFound.body_with(&message, None)
    }

    /// The body of [`ErrorKind::InvalidRequest`] for a faulty envelope.
    #[must_use]
    pub fn invalid_envelope(error: &EnvelopeError) -> Bytes {
        Self::InvalidRequest.body_with(&error.to_string(), error.param())
    }
}

fn cut(message: &str) -> &str {
    &message[..message.floor_char_boundary(MESSAGE_BYTES_MAX)]
}

fn put_optional(out: &mut BytesMut, text: Option<&str>) {
    match text {
        Some(text) => put_quoted(out, text),
        None => out.put_slice(b"null"),
    }
}

fn put_quoted(out: &mut BytesMut, text: &str) {
    out.put_u8(b'"');
    put_escaped(out, text);
    out.put_u8(b'"');
}

/// A message with its secrets masked.
fn put_message(out: &mut BytesMut, message: &str) {
    out.put_u8(b'"');
    let mut is_after_bearer = false;
    for piece in message.split_inclusive(is_between_words) {
        let word = piece.trim_end_matches(is_between_words);
        let between = &piece[word.len()..];
        if !word.is_empty() {
            match secret_head(word, is_after_bearer) {
                Some(head) => {
                    put_escaped(out, head);
                    out.put_slice(b"****");
                }
                None => put_escaped(out, word),
            }
            is_after_bearer = word.eq_ignore_ascii_case("bearer");
        }
        put_escaped(out, between);
    }
    out.put_u8(b'"');
}

fn is_between_words(c: char) -> bool {
    !(c.is_alphanumeric() || matches!(c, '-' | '_' | '.'))
}

/// The part of a secret that may be shown; `None` if the word is no secret.
fn secret_head(word: &str, is_after_bearer: bool) -> Option<&str> {
    const PREFIX: &str = "sk-";
    if is_after_bearer && word != "KEY" {
        return Some("");
    }
    // At the begin of a word or behind its `-`, `_` or `.`, so that `task-7` stays.
    let at = word.find(PREFIX)?;
    let is_at_edge = !word[..at].ends_with(char::is_alphanumeric);
    is_at_edge.then(|| &word[..at + PREFIX.len()])
}

fn put_escaped(out: &mut BytesMut, text: &str) {
    for c in text.chars() {
        match c {
            '"' => out.put_slice(br#"\""#),
            '\\' => out.put_slice(br"\\"),
            '\u{2028}' | '\u{2029}' => put_unicode(out, c as u32),
            c if c.is_control() => put_unicode(out, c as u32),
            c => out.put_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
}

/// An escape of a character below U+10000.
fn put_unicode(out: &mut BytesMut, code: u32) {
    out.put_slice(br"\u");
    for shift in [12, 8, 4, 0] {
        out.put_u8(b"0123456789abcdef"[(code >> shift & 15) as usize]);
    }
}
