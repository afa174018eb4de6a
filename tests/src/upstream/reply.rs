//! The texts of OpenAI's replies: fields, order and errors as its API reference has them.
//!
//! Nothing here is random: the same request gets the same bytes, so a reply
//! through the gateway can be compared with a direct one.

use super::ledger::Kind;
use super::script::{Script, Usage};
use std::fmt::Write as _;

/// `created` of every reply.
const CREATED_UNIX_SECS: u64 = 1_700_000_000;

/// The answer where the script gives none.
const CONTENT: &str = "Hello! How can I assist you today?";

/// The one embedding vector `[0.0, 0.5, -1.0]`, as JSON and as base64 of little-endian f32.
const VECTOR: (&str, &str) = ("[0.0,0.5,-1.0]", "\"AAAAAAAAAD8AAIC/\"");

/// A JSON string literal.
pub(super) fn quoted(text: &str) -> String {
    serde_json::to_string(text).expect("a string is always JSON")
}

/// The `usage` object of chat and completions.
pub(super) fn usage(u: &Usage) -> String {
    format!(
        "{{\"prompt_tokens\":{},\"completion_tokens\":{},\"total_tokens\":{},\
         \"prompt_tokens_details\":{{\"cached_tokens\":{},\"audio_tokens\":{}}},\
         \"completion_tokens_details\":{{\"reasoning_tokens\":{},\"audio_tokens\":{},\
         \"accepted_prediction_tokens\":0,\"rejected_prediction_tokens\":0}}}}",
        u.prompt,
        u.completion,
        u.prompt + u.completion,
        u.cached,
        u.audio_in,
        u.reasoning,
        u.audio_out
    )
}

/// The text of the answer.
pub(super) fn content(script: &Script) -> String {
    let mut text = script.content.clone().unwrap_or_else(|| CONTENT.to_owned());
    text.extend(std::iter::repeat_n('x', script.pad_bytes));
    text
}

/// The tier that was given, as JSON.
fn tier(script: &Script) -> String {
    quoted(script.service_tier.as_deref().unwrap_or("default"))
}

/// The whole reply to a chat or completion request without `stream`.
pub(super) fn whole(kind: Kind, model: &str, script: &Script, with_usage: bool) -> String {
    let text = quoted(&content(script));
    let (id, object, choice) = match kind {
        Kind::Completion => (
            "cmpl-1",
            "text_completion",
            format!("{{\"text\":{text},\"index\":0,\"logprobs\":null,\"finish_reason\":\"stop\"}}"),
        ),
        _ if script.tool_call => (
            "chatcmpl-1",
            "chat.completion",
            format!(
                "{{\"index\":0,\"message\":{{\"role\":\"assistant\",\"content\":null,\"tool_calls\":[\
                 {{\"id\":\"call_1\",\"type\":\"function\",\"function\":{{\"name\":\"lookup\",\
                 \"arguments\":{text}}}}}],\"refusal\":null}},\"logprobs\":null,\
                 \"finish_reason\":\"tool_calls\"}}"
            ),
        ),
        _ => (
            "chatcmpl-1",
            "chat.completion",
            format!(
                "{{\"index\":0,\"message\":{{\"role\":\"assistant\",\"content\":{text},\
                 \"refusal\":null,\"annotations\":[]}},\"logprobs\":null,\"finish_reason\":\"stop\"}}"
            ),
        ),
    };
    let usage = if with_usage {
        format!(",\"usage\":{}", usage(&script.usage))
    } else {
        String::new()
    };
    format!(
        "{{\"id\":\"{id}\",\"object\":\"{object}\",\"created\":{CREATED_UNIX_SECS},\
         \"model\":{},\"choices\":[{choice}]{usage},\"service_tier\":{},\
         \"system_fingerprint\":\"fp_upstream\"}}",
        quoted(model),
        tier(script)
    )
}

/// The reply to an embeddings request with `inputs` inputs.
pub(super) fn embeddings(
    model: &str,
    script: &Script,
    inputs: usize,
    base64: bool,
    with_usage: bool,
) -> String {
    let vector = if base64 { VECTOR.1 } else { VECTOR.0 };
    let mut data = String::new();
    for index in 0..inputs {
        let comma = if index == 0 { "" } else { "," };
        write!(
            data,
            "{comma}{{\"object\":\"embedding\",\"index\":{index},\"embedding\":{vector}}}"
        )
        .expect("writing to a String cannot fail");
    }
    let usage = if with_usage {
        let prompt = script.usage.prompt;
        format!(",\"usage\":{{\"prompt_tokens\":{prompt},\"total_tokens\":{prompt}}}")
    } else {
        String::new()
    };
    let model = quoted(model);
    format!("{{\"object\":\"list\",\"data\":[{data}],\"model\":{model}{usage}}}")
}

/// One entry of the model list.
pub(super) fn model(id: &str) -> String {
    format!(
        "{{\"id\":{},\"object\":\"model\",\"created\":{CREATED_UNIX_SECS},\"owned_by\":\"upstream\"}}",
        quoted(id)
    )
}

/// The model list.
pub(super) fn models(ids: &[String]) -> String {
    let list: Vec<String> = ids.iter().map(|id| model(id)).collect();
    format!("{{\"object\":\"list\",\"data\":[{}]}}", list.join(","))
}

/// The error body that OpenAI sends with `status`.
pub(super) fn error(status: u16) -> String {
    let (message, kind, code) = match status {
        400 => ("Invalid request.", "invalid_request_error", "null"),
        401 => (
            "Incorrect API key provided.",
            "invalid_request_error",
            "\"invalid_api_key\"",
        ),
        404 => (
            "The model does not exist or you do not have access to it.",
            "invalid_request_error",
            "\"model_not_found\"",
        ),
        429 => (
            "Rate limit reached for requests.",
            "requests",
            "\"rate_limit_exceeded\"",
        ),
        _ => (
            "The server had an error while processing your request. Sorry about that!",
            "server_error",
            "null",
        ),
    };
    format!(
        "{{\"error\":{{\"message\":\"{message}\",\"type\":\"{kind}\",\"param\":null,\"code\":{code}}}}}"
    )
}

/// The JSON of the chunks of one stream.
pub(super) struct Chunks<'a> {
    kind: Kind,
    model: &'a str,
    script: &'a Script,
    /// Appended to each chunk that has no usage of its own.
    no_usage: &'static str,
}

impl<'a> Chunks<'a> {
    /// `nulls`: the client asked for usage, so chunks without it say `"usage":null`.
    pub(super) fn new(kind: Kind, model: &'a str, script: &'a Script, nulls: bool) -> Self {
        let no_usage = if nulls { ",\"usage\":null" } else { "" };
        Self {
            kind,
            model,
            script,
            no_usage,
        }
    }

    fn chunk(&self, choices: &str, usage: Option<&Usage>) -> String {
        let (id, object) = match self.kind {
            Kind::Completion => ("cmpl-1", "text_completion"),
            _ => ("chatcmpl-1", "chat.completion.chunk"),
        };
        let counts = match usage {
            Some(counts) => format!(",\"usage\":{}", self::usage(counts)),
            None => self.no_usage.to_owned(),
        };
        format!(
            "{{\"id\":\"{id}\",\"object\":\"{object}\",\"created\":{CREATED_UNIX_SECS},\
             \"model\":{},\"service_tier\":{},\"system_fingerprint\":\"fp_upstream\",\
             \"choices\":[{choices}]{counts}}}",
            quoted(self.model),
            tier(self.script)
        )
    }

    fn delta(delta: &str, finish: &str) -> String {
        format!("{{\"index\":0,\"delta\":{delta},\"logprobs\":null,\"finish_reason\":{finish}}}")
    }

    /// The first chunk of a chat: a role and no content. Completions have none.
    pub(super) fn role(&self, usage: Option<&Usage>) -> Option<String> {
        let delta = match self.kind {
            Kind::Completion => return None,
            _ if self.script.tool_call => {
                "{\"role\":\"assistant\",\"content\":null,\"tool_calls\":[{\"index\":0,\
                 \"id\":\"call_1\",\"type\":\"function\",\"function\":{\"name\":\"lookup\",\
                 \"arguments\":\"\"}}],\"refusal\":null}"
            }
            _ => "{\"role\":\"assistant\",\"content\":\"\",\"refusal\":null}",
        };
        Some(self.chunk(&Self::delta(delta, "null"), usage))
    }

    /// A chunk with a piece of the answer.
    pub(super) fn piece(&self, text: &str, usage: Option<&Usage>) -> String {
        let text = quoted(text);
        let choice = match self.kind {
            Kind::Completion => {
                format!("{{\"text\":{text},\"index\":0,\"logprobs\":null,\"finish_reason\":null}}")
            }
            _ if self.script.tool_call => Self::delta(
                &format!(
                    "{{\"tool_calls\":[{{\"index\":0,\"function\":{{\"arguments\":{text}}}}}]}}"
                ),
                "null",
            ),
            _ => Self::delta(&format!("{{\"content\":{text}}}"), "null"),
        };
        self.chunk(&choice, usage)
    }

    /// The chunk with the finish reason.
    pub(super) fn finish(&self, usage: Option<&Usage>) -> String {
        let choice = match self.kind {
            Kind::Completion => {
                "{\"text\":\"\",\"index\":0,\"logprobs\":null,\"finish_reason\":\"stop\"}"
                    .to_owned()
            }
            _ if self.script.tool_call => Self::delta("{}", "\"tool_calls\""),
            _ => Self::delta("{}", "\"stop\""),
        };
        self.chunk(&choice, usage)
    }

    /// The last chunk of OpenAI's `include_usage`: no choices.
    pub(super) fn usage_only(&self) -> String {
        self.chunk("", Some(&self.script.usage))
    }
}
