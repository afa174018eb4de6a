//! What a request tells the upstream to do with it: the body's `upstream` field.

use serde::{Deserialize, Serialize};

/// The directives of one request; the default is a plain, correct reply.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq, Eq)]
#[serde(default, deny_unknown_fields)]
pub struct Script {
    /// Token counts to report, in OpenAI's shape.
    pub usage: Usage,
    /// Of `usage.cache_write`, what is kept for an hour; only Anthropic's answers say so.
    pub cache_write_1h: u64,
    /// The tier that the answer says it had, in the words of its dialect.
    pub service_tier: Option<String>,
    /// When usage is reported.
    pub usage_mode: UsageMode,
    /// Content chunks of a stream.
    pub chunks: u32,
    /// Pause before each content chunk but the first, in milliseconds.
    pub chunk_delay_ms: u64,
    /// Pause before the response headers, in milliseconds.
    pub headers_delay_ms: u64,
    /// Cut the body into pieces of so many bytes, each flushed alone; 0 = one piece an event.
    pub split: usize,
    /// End SSE lines with `\r\n` instead of `\n`.
    pub crlf: bool,
    /// Send an SSE comment line before each event.
    pub comments: bool,
    /// The text of the answer; a stream spreads it over its chunks.
    pub content: Option<String>,
    /// Answer with a tool call instead of text.
    pub tool_call: bool,
    /// Encode the body with gzip.
    pub gzip: bool,
    /// Answer with this error status and OpenAI's error shape.
    pub status: Option<u16>,
    /// Seconds for a `Retry-After` header.
    pub retry_after_secs: Option<u32>,
    /// Further headers of the answer, whatever its status.
    pub headers: Vec<(String, String)>,
    /// Make the answer's text longer by so many bytes.
    pub pad_bytes: usize,
    /// Misbehave.
    pub fault: Option<Fault>,
    /// Wait for this gate to be opened by the test.
    pub gate: Option<String>,
    /// Content chunks to send before waiting at the gate; 0 = wait before the headers, more than
    /// `chunks` = wait after `[DONE]`, before the end of the body.
    pub gate_after_chunks: u32,
    /// Wait before each content chunk of a stream, and once after the last: at the gates of this
    /// name with `-0`, `-1`, ... after it.
    pub steps: Option<String>,
    /// Send the first content chunk of a stream so many times more.
    pub flood: u32,
}

impl Default for Script {
    fn default() -> Self {
        Self {
            usage: Usage::default(),
            cache_write_1h: 0,
            service_tier: None,
            usage_mode: UsageMode::OpenAi,
            chunks: 4,
            chunk_delay_ms: 0,
            headers_delay_ms: 0,
            split: 0,
            crlf: false,
            comments: false,
            content: None,
            tool_call: false,
            gzip: false,
            status: None,
            retry_after_secs: None,
            headers: Vec::new(),
            pad_bytes: 0,
            fault: None,
            gate: None,
            gate_after_chunks: 0,
            steps: None,
            flood: 0,
        }
    }
}

/// Token counts as OpenAI reports them: `prompt` and `completion` include their details.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, PartialEq, Eq)]
#[serde(default, deny_unknown_fields)]
pub struct Usage {
    /// All input tokens.
    pub prompt: u64,
    /// All output tokens.
    pub completion: u64,
    /// Input tokens read from the cache, part of `prompt`.
    pub cached: u64,
    /// Input tokens written to the cache, part of `prompt`; only Anthropic's answers say so.
    pub cache_write: u64,
    /// Audio tokens of the input, part of `prompt`.
    pub audio_in: u64,
    /// Reasoning tokens, part of `completion`.
    pub reasoning: u64,
    /// Audio tokens of the output, part of `completion`.
    pub audio_out: u64,
}

impl Default for Usage {
    fn default() -> Self {
        Self {
            prompt: 11,
            completion: 7,
            cached: 0,
            cache_write: 0,
            audio_in: 0,
            reasoning: 0,
            audio_out: 0,
        }
    }
}

/// When the upstream reports usage.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub enum UsageMode {
    /// Always in JSON; in a stream if `include_usage` asks for it, in a last chunk without choices.
    #[serde(rename = "openai")]
    OpenAi,
    /// As `openai`, but in streams whether it was asked for or not.
    Always,
    /// Never.
    Never,
    /// In every chunk of a stream, growing; the last chunk has the total.
    Cumulative,
}

/// Ways to misbehave.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub enum Fault {
    /// Take the request and say nothing.
    HangBeforeHeaders,
    /// Send half of the body and say nothing more.
    HangMidBody,
    /// Close the connection instead of answering.
    CloseBeforeHeaders,
    /// Close the connection after half of the body.
    CloseMidBody,
    /// Answer with bytes that are not HTTP.
    GarbageHttp,
    /// Answer 200 with a body that is not JSON.
    GarbageJson,
    /// Send an error event in the middle of a stream, then end it.
    ErrorEvent,
}
