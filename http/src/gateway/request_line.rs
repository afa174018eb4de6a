//! The log line of a finished request, before anything is formatted.

use crate::wire::request_id::RequestId;
use coo_llm_core::record::ErrorType;
use coo_llm_core::{Micros, NanoUsd, UnixMillis};
use std::sync::Arc;

/// What is logged of a request. It holds no secret: the client's key appears as a digest.
#[derive(Clone, Debug)]
pub struct RequestLine {
    /// When the request ended.
    pub finished: UnixMillis,
    /// The id that the client saw as `x-request-id`.
    pub request_id: RequestId,
    /// The provider, or `none`.
    pub provider: Arc<str>,
    /// The model at the provider, or `none`.
    pub model: Arc<str>,
    /// The client, or `none`.
    pub client_id: Arc<str>,
    /// The first 8 hex digits of the SHA-256 of the client's key; `none` without a client.
    pub client_key: Arc<str>,
    /// The status that the client saw; 499 where it went away.
    pub status: u16,
    /// From arrival to the answer's end.
    pub latency: Micros,
    /// All tokens.
    pub tokens_used: u64,
    /// What it cost; `None` where that is not known.
    pub cost: Option<NanoUsd>,
    /// Whether the answer was streamed.
    pub stream: bool,
    /// Why it failed.
    pub error: Option<ErrorType>,
}

/// Takes request lines; must not wait.
pub type RequestLog = Arc<dyn Fn(RequestLine) + Send + Sync>;
