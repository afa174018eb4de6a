//! OpenAI's chat request as a request of the Messages API, or why it cannot be one.
//!
//! What has a counterpart is translated, what changes nothing is left out
//! ([`IGNORED`]), and everything else is refused by its name: nothing that a client
//! asked for is dropped in silence. docs/translation.md is the table for users.

mod blocks;
mod fields;
mod messages;
mod tools;

use std::borrow::Cow;
use std::fmt;

use bytes::Bytes;
use serde::Serialize;
use serde_json::value::RawValue;

use self::blocks::{Block, Message};
use self::fields::{Fields, read};
use self::tools::{Tool, ToolChoice};

#[cfg(test)]
mod tests;

/// The `max_tokens` where a client sets none, since Anthropic requires one: what the
/// oldest models can write at most.
pub const MAX_TOKENS_DEFAULT: u64 = 4096;

/// Members of a request that are left out: they label, store or hint, and change nothing
/// of what the model says.
pub const IGNORED: &[&str] = &[
    "metadata",
    "prediction",
    "prompt_cache_key",
    "prompt_cache_options",
    "prompt_cache_retention",
    "store",
    "stream_options",
];

/// Why a request cannot be put into Anthropic's words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Untranslatable {
    /// The member at fault, such as `messages[2].content[0].type`.
    pub param: String,
    /// What is wrong with it.
    pub message: String,
}

impl Untranslatable {
    fn new(param: impl Into<String>, message: impl fmt::Display) -> Self {
        let param = param.into();
        let message = format!("{param} {message}");
        Self { param, message }
    }

    /// A member that Anthropic has nothing for.
    fn unknown(param: impl Into<String>) -> Self {
        Self::new(
            param,
            "has no counterpart in Anthropic's Messages API; remove it, or send the request to /v1/messages in Anthropic's shape",
        )
    }
}

impl fmt::Display for Untranslatable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Untranslatable {}

/// Translates the body of a chat request, for `model`.
///
/// # Errors
/// [`Untranslatable`] with the first member that has no counterpart.
///
/// # Cost
/// One parse of the body and one writing of the new one; texts and images are borrowed
/// from the body unless they contain escapes.
pub fn translate(body: &[u8], model: &str) -> Result<Bytes, Untranslatable> {
    let fields = Fields::read(body, "")?;
    let mut asked = Asked::default();
    for (name, value) in fields.known() {
        asked.take(name, value)?;
    }
    let request = asked.into_request(model)?;
    let json = serde_json::to_vec(&request).expect("texts, numbers and raw JSON are JSON");
    Ok(json.into())
}

/// What a client asked for, member by member.
#[derive(Default)]
struct Asked<'a> {
    messages: Option<messages::Conversation<'a>>,
    max_tokens: Option<u64>,
    max_completion_tokens: Option<u64>,
    temperature: Option<&'a RawValue>,
    top_p: Option<&'a RawValue>,
    stop_sequences: Vec<Cow<'a, str>>,
    stream: bool,
    tools: Vec<Tool<'a>>,
    tool_choice: Option<ToolChoice<'a>>,
    one_tool_at_a_time: bool,
    user: Option<Cow<'a, str>>,
    safety_identifier: Option<Cow<'a, str>>,
    effort: Option<&'static str>,
    schema: Option<&'a RawValue>,
    service_tier: Option<&'static str>,
}

impl<'a> Asked<'a> {
    fn take(&mut self, name: &str, value: &'a RawValue) -> Result<(), Untranslatable> {
        match name {
            "model" => {}
            ignored if IGNORED.contains(&ignored) => {}
            "messages" => self.messages = Some(messages::read_all(value)?),
            "max_tokens" => self.max_tokens = Some(read(name, value, "a number of tokens")?),
            "max_completion_tokens" => {
                self.max_completion_tokens = Some(read(name, value, "a number of tokens")?);
            }
            "temperature" => {
                let temperature: f64 = read(name, value, "a number")?;
                if temperature > 1.0 {
                    return Err(Untranslatable::new(
                        name,
                        "is above 1, which is the most that Anthropic's models take",
                    ));
                }
                self.temperature = Some(value);
            }
            "top_p" => {
                read::<f64>(name, value, "a number")?;
                self.top_p = Some(value);
            }
            "stop" => self.stop_sequences = stop(value)?,
            "stream" => self.stream = read(name, value, "a boolean")?,
            "tools" => self.tools = tools::read_all(value)?,
            "tool_choice" => self.tool_choice = Some(tools::read_choice(value)?),
            "parallel_tool_calls" => {
                self.one_tool_at_a_time = !read::<bool>(name, value, "a boolean")?;
            }
            "user" => self.user = Some(fields::text(name, value)?),
            "safety_identifier" => self.safety_identifier = Some(fields::text(name, value)?),
            "reasoning_effort" => self.effort = effort(name, value)?,
            "response_format" => self.schema = response_format(value)?,
            "service_tier" => self.service_tier = Some(service_tier(name, value)?),
            _ => return harmless(name, value),
        }
        Ok(())
    }

    fn into_request(self, model: &'a str) -> Result<Request<'a>, Untranslatable> {
        let conversation = self
            .messages
            .ok_or_else(|| Untranslatable::new("messages", "is missing"))?;
        let max_tokens = match (self.max_completion_tokens, self.max_tokens) {
            (Some(new), Some(old)) if new != old => {
                return Err(Untranslatable::new(
                    "max_tokens",
                    "differs from max_completion_tokens; send one of them",
                ));
            }
            (new, old) => new.or(old),
        };
        let tool_choice = tools::choice(&self.tools, self.tool_choice, self.one_tool_at_a_time)?;
        let format = self.schema.map(|schema| Format {
            kind: "json_schema",
            schema,
        });
        let effort = self.effort;
        let is_configured = effort.is_some() || format.is_some();
        let output_config = is_configured.then_some(OutputConfig { effort, format });
        Ok(Request {
            model,
            max_tokens: max_tokens.unwrap_or(MAX_TOKENS_DEFAULT),
            system: conversation.system,
            messages: conversation.messages,
            temperature: self.temperature,
            top_p: self.top_p,
            stop_sequences: self.stop_sequences,
            stream: self.stream,
            tools: self.tools,
            tool_choice,
            metadata: self
                .user
                .or(self.safety_identifier)
                .map(|user_id| Metadata { user_id }),
            output_config,
            service_tier: self.service_tier,
        })
    }
}

/// A member that has no counterpart, which is fine where it asks for nothing.
fn harmless(name: &str, value: &RawValue) -> Result<(), Untranslatable> {
    let is_harmless = match name {
        "n" => value.get() == "1",
        "logprobs" => value.get() == "false",
        "top_logprobs" => value.get() == "0",
        "frequency_penalty" | "presence_penalty" => {
            serde_json::from_str::<f64>(value.get()).is_ok_and(|penalty| penalty == 0.0)
        }
        "logit_bias" | "functions" => fields::is_empty(value),
        "modalities" => {
            serde_json::from_str::<Vec<Cow<'_, str>>>(value.get()).is_ok_and(|all| all == ["text"])
        }
        "verbosity" => value.get() == r#""medium""#,
        _ => false,
    };
    if is_harmless {
        Ok(())
    } else {
        Err(Untranslatable::unknown(name))
    }
}

fn stop(value: &RawValue) -> Result<Vec<Cow<'_, str>>, Untranslatable> {
    if value.get().starts_with('"') {
        return Ok(vec![fields::text("stop", value)?]);
    }
    fields::items("stop", value)?
        .into_iter()
        .enumerate()
        .map(|(at, item)| fields::text(&format!("stop[{at}]"), item))
        .collect()
}

/// Anthropic's effort; `None` where nothing is to be said of it.
///
/// It is not a budget of thinking: models since 2026 refuse that.
fn effort(name: &str, value: &RawValue) -> Result<Option<&'static str>, Untranslatable> {
    Ok(match &*fields::text(name, value)? {
        "none" => None,
        "minimal" | "low" => Some("low"),
        "medium" => Some("medium"),
        "high" => Some("high"),
        "xhigh" => Some("xhigh"),
        "max" => Some("max"),
        _ => {
            return Err(Untranslatable::new(
                name,
                "must be none, minimal, low, medium, high, xhigh or max",
            ));
        }
    })
}

/// The schema of a `json_schema`; `None` for text.
fn response_format(value: &RawValue) -> Result<Option<&RawValue>, Untranslatable> {
    const NAME: &str = "response_format";
    let fields = Fields::read(value.get().as_bytes(), NAME)?;
    let kind_at = format!("{NAME}.type");
    match &*fields.required_text("type")? {
        "text" => Ok(None),
        "json_schema" => {
            let inner = fields.required("json_schema")?;
            let inner_at = format!("{NAME}.json_schema");
            let schema = Fields::read(inner.get().as_bytes(), &inner_at)?.required("schema")?;
            Ok(Some(schema))
        }
        _ => Err(Untranslatable::new(
            kind_at,
            "must be text or json_schema: Anthropic has no other format",
        )),
    }
}

fn service_tier(name: &str, value: &RawValue) -> Result<&'static str, Untranslatable> {
    match &*fields::text(name, value)? {
        "auto" => Ok("auto"),
        "default" => Ok("standard_only"),
        _ => Err(Untranslatable::new(
            name,
            "must be auto or default: Anthropic has no other tier to choose",
        )),
    }
}

/// A request of the Messages API.
#[derive(Serialize)]
struct Request<'a> {
    model: &'a str,
    max_tokens: u64,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    system: Vec<Block<'a>>,
    messages: Vec<Message<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    temperature: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    top_p: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    stop_sequences: Vec<Cow<'a, str>>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    stream: bool,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tools: Vec<Tool<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_choice: Option<tools::WrittenChoice<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    metadata: Option<Metadata<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    output_config: Option<OutputConfig<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    service_tier: Option<&'static str>,
}

#[derive(Serialize)]
struct Metadata<'a> {
    user_id: Cow<'a, str>,
}

#[derive(Serialize)]
struct OutputConfig<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    effort: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    format: Option<Format<'a>>,
}

#[derive(Serialize)]
struct Format<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    schema: &'a RawValue,
}
