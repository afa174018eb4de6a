//! The record of one finished request: what every output is made from.

use crate::catalog::{ClientId, Route};
use crate::units::{Micros, NanoUsd, UnixMillis};

/// Token counts of a request, disjoint: their sum is the number of tokens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tokens {
    /// Input that no other kind covers.
    pub input: u64,
    /// Output that no other kind covers.
    pub output: u64,
    /// Input that the provider read from its cache.
    pub cached_input: u64,
    /// Input that the provider wrote to its cache.
    pub cache_write: u64,
    /// Output spent on reasoning.
    pub reasoning: u64,
    /// Audio in the input.
    pub audio_input: u64,
    /// Audio in the output.
    pub audio_output: u64,
}

impl Tokens {
    /// The kinds in the order of [`Tokens::by_kind`], as the `type` label spells them.
    pub const KINDS: [&'static str; 7] = [
        "input",
        "cached_input",
        "cache_write",
        "output",
        "reasoning",
        "audio_input",
        "audio_output",
    ];

    /// The counts in the order of [`Tokens::KINDS`].
    #[must_use]
    pub const fn by_kind(&self) -> [u64; 7] {
        [
            self.input,
            self.cached_input,
            self.cache_write,
            self.output,
            self.reasoning,
            self.audio_input,
            self.audio_output,
        ]
    }

    /// All tokens; saturates.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.by_kind()
            .iter()
            .fold(0, |sum, n| sum.saturating_add(*n))
    }

    /// Output of every kind; saturates.
    #[must_use]
    pub const fn total_output(&self) -> u64 {
        self.output
            .saturating_add(self.reasoning)
            .saturating_add(self.audio_output)
    }
}

/// Declares a closed list of label values with its spelling.
macro_rules! closed_list {
    ($(#[$meta:meta])* $name:ident { $($(#[$doc:meta])* $variant:ident = $text:literal,)+ }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(u8)]
        pub enum $name { $($(#[$doc])* $variant,)+ }

        impl $name {
            /// Every value, in the order of their numbers.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// The label value.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text,)+ }
            }
        }
    };
}

closed_list! {
    /// Why a request failed: the `type` label of `coo_llm_errors_total`.
    ErrorType {
        /// A request or token limit, ours or the provider's (429).
        RateLimit = "rate_limit",
        /// A client's budget is spent.
        Budget = "budget",
        /// No answer in time.
        Timeout = "timeout",
        /// The provider could not be reached.
        Connect = "connect",
        /// The provider answered 4xx other than 429.
        Upstream4xx = "upstream_4xx",
        /// The provider answered 5xx.
        Upstream5xx = "upstream_5xx",
        /// The provider's answer was no HTTP, or ended before its end.
        UpstreamProtocol = "upstream_protocol",
        /// The client went away before the answer's end.
        ClientAbort = "client_abort",
        /// The request cannot be understood or names what does not exist.
        InvalidRequest = "invalid_request",
        /// No key, a wrong key, or a key without the right.
        Auth = "auth",
        /// A fault of the gateway.
        Internal = "internal",
    }
}

closed_list! {
    /// How an attempt at a provider ended: the `outcome` label of
    /// `coo_llm_upstream_attempts_total`.
    Outcome {
        /// An answer below 400, delivered whole.
        Success = "success",
        /// 429.
        RateLimit = "rate_limit",
        /// No answer in time.
        Timeout = "timeout",
        /// No connection.
        Connect = "connect",
        /// 4xx other than 429.
        Upstream4xx = "upstream_4xx",
        /// 5xx.
        Upstream5xx = "upstream_5xx",
        /// No HTTP, or it ended before its end.
        UpstreamProtocol = "upstream_protocol",
        /// Given up because the client went away.
        ClientAbort = "client_abort",
    }
}

closed_list! {
    /// Where the token counts come from.
    UsageSource {
        /// The provider's own `usage`.
        Provider = "provider",
        /// Counted by the gateway, because no usage came.
        Estimated = "estimated",
        /// Not known: no usage came and nothing could be counted.
        Missing = "missing",
    }
}

closed_list! {
    /// The kind of request: the `route` label of `coo_llm_overhead_seconds`.
    Endpoint {
        /// `/v1/chat/completions`.
        ChatCompletions = "/v1/chat/completions",
        /// `/v1/completions`.
        Completions = "/v1/completions",
        /// `/v1/embeddings`.
        Embeddings = "/v1/embeddings",
        /// `/v1/responses`.
        Responses = "/v1/responses",
        /// `/v1/messages`.
        Messages = "/v1/messages",
        /// `/v1/messages/count_tokens`, which counts and uses none.
        CountTokens = "/v1/messages/count_tokens",
        /// `/v1beta/models/{model}:generateContent`.
        GenerateContent = "/v1beta/models/{model}:generateContent",
        /// `/v1beta/models/{model}:streamGenerateContent`.
        StreamGenerateContent = "/v1beta/models/{model}:streamGenerateContent",
        /// `/v1/models` and `/v1/models/{id}`.
        Models = "/v1/models",
        /// `/v1/usage`.
        Usage = "/v1/usage",
        /// `/ingest/v1/records`.
        Ingest = "/ingest/v1/records",
        /// A path that the data plane does not know.
        Other = "other",
    }
}

closed_list! {
    /// What was limited: the `limit` label.
    Limit {
        /// Requests a minute.
        Requests = "requests",
        /// Tokens a minute.
        Tokens = "tokens",
    }
}

closed_list! {
    /// Who set the limit: the `origin` label of `coo_llm_rate_limits_total`.
    Origin {
        /// A limit of this gateway's configuration.
        Gateway = "gateway",
        /// The provider's own limit (it answered 429).
        Provider = "provider",
    }
}

/// One try at a provider. A request has none (refused before), one, or several (retries).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// The series it counts under.
    pub route: Route,
    /// How it ended.
    pub outcome: Outcome,
    /// From the start of the attempt to its end.
    pub latency: Micros,
    /// The limit that the provider named with a 429.
    pub limited: Option<Limit>,
}

/// One finished request.
#[derive(Clone, Copy, Debug)]
pub struct Record<'a> {
    /// The series it counts under: those of the last attempt, or the `none` route.
    pub route: Route,
    /// Who asked.
    pub client: ClientId,
    /// What was asked.
    pub endpoint: Endpoint,
    /// Its id, for exemplars; at most [`REQUEST_ID_BYTES_MAX`](crate::exemplar::REQUEST_ID_BYTES_MAX).
    pub request_id: Option<&'a str>,
    /// When it ended.
    pub finished: UnixMillis,
    /// From the request's arrival to the answer's last byte.
    pub latency: Micros,
    /// The part of `latency` in which no provider was waited for, where that is known.
    pub overhead: Option<Micros>,
    /// From the request's arrival to the first non-empty delta of a stream.
    pub time_to_first_token: Option<Micros>,
    /// Of a stream with two tokens or more, the mean time between them.
    pub time_per_output_token: Option<Micros>,
    /// What was used.
    pub tokens: Tokens,
    /// Where `tokens` comes from; `None` where no provider did work.
    pub usage: Option<UsageSource>,
    /// What it cost; `None` where the price is not known.
    pub cost: Option<NanoUsd>,
    /// Why it failed; `None` where it did not.
    pub error: Option<ErrorType>,
    /// The limit of the gateway that refused it.
    pub limited: Option<Limit>,
    /// Every try at a provider, in order.
    pub attempts: &'a [Attempt],
}

impl Record<'_> {
    /// A request of which only this is known: no tokens, no attempt, no failure.
    ///
    /// The rest is set by `Record { tokens, cost, ..Record::new(..) }`. Its cost is not
    /// known until it is set.
    #[must_use]
    pub const fn new(
        route: Route,
        client: ClientId,
        endpoint: Endpoint,
        finished: UnixMillis,
        latency: Micros,
    ) -> Self {
        Self {
            route,
            client,
            endpoint,
            request_id: None,
            finished,
            latency,
            overhead: None,
            time_to_first_token: None,
            time_per_output_token: None,
            tokens: Tokens {
                input: 0,
                output: 0,
                cached_input: 0,
                cache_write: 0,
                reasoning: 0,
                audio_input: 0,
                audio_output: 0,
            },
            usage: None,
            cost: None,
            error: None,
            limited: None,
            attempts: &[],
        }
    }
}
