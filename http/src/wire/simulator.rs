//! The provider that needs no network: OpenAI's protocol with made-up content.
//!
//! Decides what a provider would answer and when; the gateway sleeps and sends. Equal
//! seeds and requests give equal answers. It is no model of a model: texts are random
//! words, a token is a word, and embeddings are noise.

mod embedding;
mod request;
mod stream;
mod writing;

use std::time::Duration;

use bytes::Bytes;
use coo_llm_core::record::Tokens;

pub use self::request::{SimEndpoint, SimRequest};
pub use self::stream::{SimFrame, SimStream};
use self::writing::Answer;
use super::openai_error::ErrorKind;
use super::prng::Prng;

#[cfg(test)]
mod tests;

/// How the simulated provider behaves. Times are log-normal: `median * e^(sigma * N(0, 1))`.
#[derive(Clone, Debug, PartialEq)]
pub struct SimProfile {
    /// Median of the time to the response, or to the first chunk of a stream.
    pub latency_median: Duration,
    /// Sigma of the latency; at 0.5 its p99 is 3.2 medians.
    pub latency_sigma: f64,
    /// Median of the time between two tokens of a stream.
    pub token_gap_median: Duration,
    /// Sigma of the gap.
    pub token_gap_sigma: f64,
    /// Median of the visible completion tokens.
    pub completion_tokens_median: f64,
    /// Sigma of the completion tokens.
    pub completion_tokens_sigma: f64,
    /// Completion tokens at most, whatever the request allows.
    pub completion_tokens_max: u32,
    /// Share of requests that fail, 0 to 1.
    pub error_rate: f64,
    /// Share of the failures that are 429, 0 to 1; the others are 500.
    pub rate_limit_share: f64,
    /// Share of requests, half of whose input counts as read from a cache, 0 to 1.
    pub cached_rate: f64,
    /// Share of chats that spend as many reasoning tokens as visible ones, 0 to 1.
    pub reasoning_rate: f64,
}

impl Default for SimProfile {
    /// Median 80 ms to the response and 5 ms between tokens, 24 tokens; 1 % of
    /// requests fail, half of them with 429.
    fn default() -> Self {
        Self {
            latency_median: Duration::from_millis(80),
            latency_sigma: 0.5,
            token_gap_median: Duration::from_millis(5),
            token_gap_sigma: 0.3,
            completion_tokens_median: 24.0,
            completion_tokens_sigma: 0.6,
            completion_tokens_max: 512,
            error_rate: 0.01,
            rate_limit_share: 0.5,
            cached_rate: 0.25,
            reasoning_rate: 0.1,
        }
    }
}

/// No simulated wait is longer, whatever the distribution says.
pub const SIM_WAIT_MAX: Duration = Duration::from_secs(60);

/// What the simulated provider answers.
#[derive(Debug)]
pub struct SimReply {
    /// The HTTP status.
    pub status: u16,
    /// How long to wait before the status goes out.
    pub after: Duration,
    /// The `retry-after` header of a 429, in seconds.
    pub retry_after_s: Option<u32>,
    /// The tokens that the body reports, or would at the end of its stream; `None` for
    /// an error.
    pub tokens: Option<Tokens>,
    /// The body.
    pub content: SimContent,
}

/// The body of a [`SimReply`].
#[derive(Debug)]
pub enum SimContent {
    /// `application/json`.
    Json(Bytes),
    /// `text/event-stream`.
    Stream(Box<SimStream>),
}

/// A simulated provider. Each worker has its own, with a seed of its own.
#[derive(Debug)]
pub struct Simulator {
    profile: SimProfile,
    prng: Prng,
}

impl Simulator {
    /// A provider with that behaviour.
    #[must_use]
    pub fn new(profile: SimProfile, seed: u64) -> Self {
        Self {
            profile,
            prng: Prng::new(seed),
        }
    }

    /// Decides the answer to a request that comes at `created_unix_s`.
    pub fn reply(&mut self, request: &SimRequest<'_>, created_unix_s: u64) -> SimReply {
        let after = wait(
            &mut self.prng,
            self.profile.latency_median,
            self.profile.latency_sigma,
        );
        if self.prng.unit() < self.profile.error_rate {
            let is_rate_limit = self.prng.unit() < self.profile.rate_limit_share;
            return if is_rate_limit {
                SimReply {
                    retry_after_s: Some(1),
                    ..refusal(
                        ErrorKind::RequestLimit,
                        "Rate limit reached (simulated).",
                        after,
                    )
                }
            } else {
                refusal(
                    ErrorKind::Internal,
                    "The server had an error (simulated).",
                    after,
                )
            };
        }
        match request.endpoint {
            SimEndpoint::Embeddings => self.embeddings(request, after),
            SimEndpoint::ChatCompletions | SimEndpoint::Completions => {
                self.completion(request, created_unix_s, after)
            }
        }
    }

    fn completion(
        &mut self,
        request: &SimRequest<'_>,
        created_unix_s: u64,
        after: Duration,
    ) -> SimReply {
        let answer = self.answer(request, created_unix_s);
        let tokens = Some(answer.tokens());
        let content = if request.envelope.stream {
            let prng = Prng::new(self.prng.bits());
            let gap = (self.profile.token_gap_median, self.profile.token_gap_sigma);
            let asks_usage = request.envelope.include_usage == Some(true);
            SimContent::Stream(Box::new(SimStream::new(answer, prng, gap, asks_usage)))
        } else {
            SimContent::Json(answer.json(&mut self.prng))
        };
        SimReply {
            status: 200,
            after,
            retry_after_s: None,
            tokens,
            content,
        }
    }

    fn answer(&mut self, request: &SimRequest<'_>, created_unix_s: u64) -> Answer {
        let profile = &self.profile;
        let drawn = self
            .prng
            .log_normal(
                profile.completion_tokens_median,
                profile.completion_tokens_sigma,
            )
            .round()
            .clamp(1.0, f64::from(profile.completion_tokens_max.max(1))) as u64;
        let is_chat = request.endpoint == SimEndpoint::ChatCompletions;
        let is_reasoning = self.prng.unit() < profile.reasoning_rate && is_chat;
        let is_cached = self.prng.unit() < profile.cached_rate;
        let wanted_reasoning = if is_reasoning { drawn } else { 0 };
        let room = request.completion_tokens_max.unwrap_or(u64::MAX);
        let reasoning = wanted_reasoning.min(room);
        let visible = drawn.min(room - reasoning);
        Answer {
            is_chat,
            id: self.prng.bits(),
            created_unix_s,
            model_json: writing::quoted(&request.envelope.model),
            prompt_tokens: request.prompt_tokens,
            cached_tokens: if is_cached {
                request.prompt_tokens / 2
            } else {
                0
            },
            visible_tokens: visible,
            reasoning_tokens: reasoning,
            is_cut: reasoning + visible < wanted_reasoning + drawn,
        }
    }

    fn embeddings(&mut self, request: &SimRequest<'_>, after: Duration) -> SimReply {
        let Some(body) = embedding::body(request, &mut self.prng) else {
            let message = "input must be a string or an array of 1 to 2048 items";
            return refusal(ErrorKind::InvalidRequest, message, after);
        };
        SimReply {
            status: 200,
            after,
            retry_after_s: None,
            tokens: Some(Tokens {
                input: request.prompt_tokens,
                ..Tokens::default()
            }),
            content: SimContent::Json(body),
        }
    }
}

fn refusal(kind: ErrorKind, message: &str, after: Duration) -> SimReply {
    SimReply {
        status: kind.status(),
        after,
        retry_after_s: None,
        tokens: None,
        content: SimContent::Json(kind.body_with(message, None)),
    }
}

/// A log-normal wait, bounded by [`SIM_WAIT_MAX`].
fn wait(prng: &mut Prng, median: Duration, sigma: f64) -> Duration {
    let secs = prng.log_normal(median.as_secs_f64(), sigma);
    Duration::try_from_secs_f64(secs).map_or(SIM_WAIT_MAX, |wait| wait.min(SIM_WAIT_MAX))
}
