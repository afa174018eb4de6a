//! Writes the JSON of completions.

use std::fmt::Write;

use bytes::Bytes;
use coo_llm_core::record::Tokens;

use crate::wire::prng::Prng;

/// What the answers are made of; a token each. Two of them are not ASCII.
const WORDS: [&str; 32] = [
    "the", "meter", "counts", "each", "token", "once", "and", "no", "request", "is", "lost",
    "when", "a", "stream", "ends", "early", "so", "that", "bills", "agree", "with", "metrics",
    "naïve", "clients", "wait", "less", "than", "before", "日本", "of", "quiet", "rivers",
];

/// The counts and names of one answer; its text comes from a random generator.
#[derive(Clone, Debug)]
pub(super) struct Answer {
    pub(super) is_chat: bool,
    pub(super) id: u64,
    pub(super) created_unix_s: u64,
    /// The model as a JSON string.
    pub(super) model_json: String,
    pub(super) prompt_tokens: u64,
    pub(super) cached_tokens: u64,
    pub(super) visible_tokens: u64,
    pub(super) reasoning_tokens: u64,
    /// Whether the limit of the request cut it short.
    pub(super) is_cut: bool,
}

impl Answer {
    pub(super) fn tokens(&self) -> Tokens {
        Tokens {
            input: self.prompt_tokens - self.cached_tokens,
            cached_input: self.cached_tokens,
            output: self.visible_tokens,
            reasoning: self.reasoning_tokens,
            ..Tokens::default()
        }
    }

    /// The whole answer as one body.
    pub(super) fn json(&self, prng: &mut Prng) -> Bytes {
        let mut out = self.head(if self.is_chat {
            "chat.completion"
        } else {
            "text_completion"
        });
        out.push_str(r#","choices":[{"index":0,"#);
        out.push_str(if self.is_chat {
            r#""message":{"role":"assistant","content":""#
        } else {
            r#""text":""#
        });
        for _ in 0..self.visible_tokens {
            out.push_str(word(prng));
            out.push(' ');
        }
        out.push_str(if self.is_chat {
            r#"","refusal":null}"#
        } else {
            r#"""#
        });
        out.push_str(r#","logprobs":null,"finish_reason":"#);
        out.push_str(self.finish_reason());
        out.push_str(r#"}],"usage":"#);
        self.put_usage(&mut out);
        out.push('}');
        out.into()
    }

    /// The members that every body and chunk begins with; the object stays open.
    pub(super) fn head(&self, object: &str) -> String {
        let mut out = String::with_capacity(512);
        let prefix = if self.is_chat { "chatcmpl" } else { "cmpl" };
        put(
            &mut out,
            format_args!(
                r#"{{"id":"{prefix}-{:016x}","object":"{object}","created":{},"model":{},"system_fingerprint":"fp_simulator""#,
                self.id, self.created_unix_s, self.model_json
            ),
        );
        out
    }

    /// The finish reason as a JSON string.
    pub(super) fn finish_reason(&self) -> &'static str {
        if self.is_cut {
            r#""length""#
        } else {
            r#""stop""#
        }
    }

    pub(super) fn put_usage(&self, out: &mut String) {
        let completion = self.visible_tokens + self.reasoning_tokens;
        put(
            out,
            format_args!(
                concat!(
                    r#"{{"prompt_tokens":{},"completion_tokens":{},"total_tokens":{},"#,
                    r#""prompt_tokens_details":{{"cached_tokens":{},"audio_tokens":0}},"#,
                    r#""completion_tokens_details":{{"reasoning_tokens":{},"audio_tokens":0,"#,
                    r#""accepted_prediction_tokens":0,"rejected_prediction_tokens":0}}}}"#
                ),
                self.prompt_tokens,
                completion,
                self.prompt_tokens + completion,
                self.cached_tokens,
                self.reasoning_tokens
            ),
        );
    }
}

/// A random word; it needs no escape in JSON.
pub(super) fn word(prng: &mut Prng) -> &'static str {
    WORDS[prng.below(WORDS.len() as u64) as usize]
}

/// A JSON string.
pub(super) fn quoted(text: &str) -> String {
    serde_json::to_string(text).expect("a str is JSON")
}

pub(super) fn put(out: &mut String, text: std::fmt::Arguments<'_>) {
    out.write_fmt(text).expect("a String grows");
}
