//! Why a request did not succeed, as the gateway tells it apart.

use crate::wire::openai_error::ErrorKind;
use bytes::Bytes;
use coo_llm_core::record::{ErrorType, Outcome};

/// An answer that the gateway gives itself, in OpenAI's error shape.
#[derive(Clone, Debug)]
pub(crate) struct Refusal {
    pub(crate) kind: ErrorKind,
    pub(crate) error: ErrorType,
    pub(crate) body: Bytes,
}

impl Refusal {
    pub(crate) fn new(kind: ErrorKind) -> Self {
        Self::with_body(kind, kind.body())
    }

    pub(crate) fn with_body(kind: ErrorKind, body: Bytes) -> Self {
        Self {
            kind,
            error: error_type(kind),
            body,
        }
    }
}

fn error_type(kind: ErrorKind) -> ErrorType {
    match kind {
        ErrorKind::ApiKeyMissing | ErrorKind::ApiKeyInvalid | ErrorKind::PermissionDenied => {
            ErrorType::Auth
        }
        ErrorKind::RequestLimit | ErrorKind::TokenLimit => ErrorType::RateLimit,
        ErrorKind::BudgetExceeded => ErrorType::Budget,
        ErrorKind::UpstreamConnect | ErrorKind::Unavailable => ErrorType::Connect,
        ErrorKind::UpstreamProtocol => ErrorType::UpstreamProtocol,
        ErrorKind::UpstreamTimeout => ErrorType::Timeout,
        ErrorKind::Internal => ErrorType::Internal,
        _ => ErrorType::InvalidRequest,
    }
}

/// Why no answer came from a provider, or none to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum UpstreamFault {
    /// No connection: the name, TCP or TLS.
    Connect,
    /// Nothing came in time; the work may have been done and billed.
    Timeout,
    /// No HTTP, or less of it than was announced.
    Protocol,
    /// A connection that had been idle was closed just as it was used.
    Stale,
}

impl UpstreamFault {
    pub(crate) fn refusal(self) -> Refusal {
        Refusal::new(match self {
            Self::Connect => ErrorKind::UpstreamConnect,
            Self::Timeout => ErrorKind::UpstreamTimeout,
            Self::Protocol | Self::Stale => ErrorKind::UpstreamProtocol,
        })
    }

    pub(crate) const fn error(self) -> ErrorType {
        match self {
            Self::Connect => ErrorType::Connect,
            Self::Timeout => ErrorType::Timeout,
            Self::Protocol | Self::Stale => ErrorType::UpstreamProtocol,
        }
    }
}

impl std::fmt::Display for UpstreamFault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.error().as_str())
    }
}

impl std::error::Error for UpstreamFault {}

/// How an attempt ended, by what the request's error is.
pub(crate) const fn outcome(error: Option<ErrorType>) -> Outcome {
    match error {
        None => Outcome::Success,
        Some(ErrorType::RateLimit | ErrorType::Budget) => Outcome::RateLimit,
        Some(ErrorType::Timeout) => Outcome::Timeout,
        Some(ErrorType::Connect) => Outcome::Connect,
        Some(ErrorType::Upstream4xx | ErrorType::InvalidRequest | ErrorType::Auth) => {
            Outcome::Upstream4xx
        }
        Some(ErrorType::Upstream5xx | ErrorType::Internal) => Outcome::Upstream5xx,
        Some(ErrorType::UpstreamProtocol) => Outcome::UpstreamProtocol,
        Some(ErrorType::ClientAbort) => Outcome::ClientAbort,
    }
}

/// What the status of a provider's answer means; `None` below 400.
pub(crate) const fn of_status(status: u16) -> Option<ErrorType> {
    match status {
        0..400 => None,
        429 => Some(ErrorType::RateLimit),
        400..500 => Some(ErrorType::Upstream4xx),
        _ => Some(ErrorType::Upstream5xx),
    }
}
