//! The wire formats of the data plane, without any I/O.
//!
//! Plain structs that decide; the gateway moves the bytes and watches the clock.
//! ```text
//! request body -> envelope (model, stream, usage asked?) -> rewrite -> upstream
//! upstream JSON -> json_usage \
//! upstream SSE  -> sse         +-> usage -> core::record::Tokens
//! chat request -> anthropic::chat_request -> upstream -> anthropic::chat_answer | chat_stream
//! records of other gateways -> ingest
//! request -> http1 -> provider's bytes -> http1 -> head, body
//! refusal       -> openai_error;  each request -> request_id;  no provider -> simulator
//! ```
//! It is not a model of OpenAI's API: only what routing and metering need is read,
//! everything else passes as bytes.

pub mod anthropic;
mod count;
mod dialect;
pub mod envelope;
pub mod fuzz;
pub mod gemini;
pub mod http1;
pub mod ingest;
pub mod json_text;
pub mod json_usage;
mod lenient;
pub mod openai_error;
pub(crate) mod prng;
pub mod request_id;
pub mod retry_after;
mod rewrite;
pub mod simulator;
mod span;
pub mod sse;
pub mod terms;
pub mod usage;

#[cfg(test)]
mod arbitrary_json;

pub use dialect::UsageDialect;
pub use rewrite::rewrite;
pub use span::Span;
