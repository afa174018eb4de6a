//! The exact record of what the upstream served.

use super::script::Usage;
use bytes::Bytes;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::{Duration, Instant};

/// Token counts by kind, disjoint: their sum is the number of tokens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TokenCounts {
    /// Input that no other kind covers.
    pub input: u64,
    /// Input read from the cache.
    pub cached_input: u64,
    /// Input written to the cache.
    pub cache_write: u64,
    /// Audio in the input.
    pub audio_input: u64,
    /// Output that no other kind covers.
    pub output: u64,
    /// Output spent on reasoning.
    pub reasoning: u64,
    /// Audio in the output.
    pub audio_output: u64,
}

impl TokenCounts {
    /// Takes OpenAI's inclusive counts apart.
    #[must_use]
    pub fn from_usage(usage: &Usage) -> Self {
        Self {
            input: usage.prompt - usage.cached - usage.cache_write - usage.audio_in,
            cached_input: usage.cached,
            cache_write: usage.cache_write,
            audio_input: usage.audio_in,
            output: usage.completion - usage.reasoning - usage.audio_out,
            reasoning: usage.reasoning,
            audio_output: usage.audio_out,
        }
    }

    /// The counts under the names that the gateway's `type` label uses.
    #[must_use]
    pub fn by_type(&self) -> [(&'static str, u64); 7] {
        [
            ("input", self.input),
            ("cached_input", self.cached_input),
            ("cache_write", self.cache_write),
            ("audio_input", self.audio_input),
            ("output", self.output),
            ("reasoning", self.reasoning),
            ("audio_output", self.audio_output),
        ]
    }
}

impl std::ops::AddAssign for TokenCounts {
    fn add_assign(&mut self, other: Self) {
        self.input += other.input;
        self.cached_input += other.cached_input;
        self.cache_write += other.cache_write;
        self.audio_input += other.audio_input;
        self.output += other.output;
        self.reasoning += other.reasoning;
        self.audio_output += other.audio_output;
    }
}

/// What a request asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// `/v1/chat/completions`.
    Chat,
    /// `/v1/completions`.
    Completion,
    /// `/v1/embeddings`.
    Embedding,
    /// `/v1/responses`.
    Response,
    /// Anthropic's `/v1/messages`.
    Message,
    /// Anthropic's `/v1/messages/count_tokens`.
    CountTokens,
    /// Gemini's `/v1/models/{model}:generateContent`, or as a stream.
    Generate,
    /// `/v1/models` and below.
    Models,
    /// Anything else.
    Unknown,
}

/// How a response ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum End {
    /// Not yet.
    Open,
    /// All of it was handed to the socket.
    Finished,
    /// The peer went away first.
    CutByPeer,
    /// The script asked for it.
    CutByScript,
}

/// One request and what became of it.
#[derive(Clone, Debug)]
pub struct Served {
    /// What was asked for.
    pub kind: Kind,
    /// The request's path, as received.
    pub path: String,
    /// The `model` field, or nothing.
    pub model: String,
    /// The provider key, by whichever header the endpoint takes, or nothing.
    pub key: String,
    /// Status that was answered; 0 where none was.
    pub status: u16,
    /// Whether a stream was asked for.
    pub stream: bool,
    /// Whether `stream_options.include_usage` was set.
    pub include_usage: bool,
    /// Tokens that were reported; `None` where no usage was sent.
    pub tokens: Option<TokenCounts>,
    /// Content chunks that the stream has.
    pub chunks_planned: u32,
    /// Content chunks that were handed to the socket.
    pub chunks_delivered: u32,
    /// How it ended.
    pub end: End,
    /// The connection that it came on, counted from 1.
    pub connection: u64,
    /// The peer's address.
    pub peer: SocketAddr,
    /// Request headers as received, names in lower case.
    pub headers: Vec<(String, String)>,
    /// Request body as received.
    pub body: Bytes,
    /// Response body as handed to the socket.
    pub sent: Vec<u8>,
}

impl Served {
    /// The value of a request header.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(n, _)| n == name);
        found.map(|(_, value)| value.as_str())
    }
}

/// Sums for runs that are too long to keep each request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Requests.
    pub requests: u64,
    /// Tokens that were reported.
    pub tokens: TokenCounts,
}

/// (model, key, kind, status).
pub type Route = (String, String, Kind, u16);

/// Everything that was served so far.
#[derive(Clone, Debug, Default)]
pub struct Ledger {
    /// Connections accepted.
    pub connections: u64,
    /// Each request in order of arrival; empty where the upstream keeps totals only.
    pub served: Vec<Served>,
    /// Sums of finished requests.
    pub totals: BTreeMap<Route, Totals>,
}

impl Ledger {
    /// The last request.
    ///
    /// # Panics
    /// If there was none.
    #[must_use]
    pub fn last(&self) -> &Served {
        self.served.last().expect("the upstream served a request")
    }
}

/// The ledger as the server shares it with the test.
#[derive(Clone, Default)]
pub(super) struct Shared {
    inner: Arc<(Mutex<Ledger>, Condvar)>,
}

impl Shared {
    /// Looks at it or changes it.
    pub(super) fn lock(&self) -> MutexGuard<'_, Ledger> {
        self.inner.0.lock().expect("no holder of the ledger panics")
    }

    /// Wakes who waits for a change.
    pub(super) fn changed(&self) {
        self.inner.1.notify_all();
    }

    /// Waits until `done` says so; `false` after `bound`.
    pub(super) fn wait(&self, bound: Duration, mut done: impl FnMut(&Ledger) -> bool) -> bool {
        let deadline = Instant::now() + bound;
        let mut ledger = self.lock();
        while !done(&ledger) {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            let waited = self.inner.1.wait_timeout(ledger, left);
            ledger = waited.expect("no holder of the ledger panics").0;
        }
        true
    }
}
