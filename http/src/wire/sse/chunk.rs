//! What one event of a completion stream says.

use std::fmt;

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use crate::wire::lenient::Lenient;
use crate::wire::span::{Raw, Span};
use crate::wire::terms::ToldTier;

/// Why a choice ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FinishReason {
    /// A natural end, or a stop sequence.
    Stop,
    /// The limit of tokens.
    Length,
    /// The model calls tools.
    ToolCalls,
    /// The model calls a function (the older form).
    FunctionCall,
    /// A filter took content out.
    ContentFilter,
    /// Any other text.
    Other,
}

impl FinishReason {
    fn read(json: &str) -> Self {
        match json {
            r#""stop""# => Self::Stop,
            r#""length""# => Self::Length,
            r#""tool_calls""# => Self::ToolCalls,
            r#""function_call""# => Self::FunctionCall,
            r#""content_filter""# => Self::ContentFilter,
            _ => Self::Other,
        }
    }
}

/// The facts of one chunk, borrowed from its data.
#[derive(Debug, Default)]
pub(super) struct ChunkFacts<'a> {
    /// Non-empty deltas over all choices.
    pub(super) deltas: u32,
    pub(super) finish_reason: Option<FinishReason>,
    pub(super) has_error: bool,
    /// Whether `choices` is an empty array.
    pub(super) has_no_choices: bool,
    /// The usage, if it is not `null`.
    pub(super) usage: Option<&'a str>,
    pub(super) tier: ToldTier,
    /// Where a top-level `"usage":null` stands, with the comma that goes with it.
    pub(super) null_usage: Option<Span>,
}

impl<'a> ChunkFacts<'a> {
    /// Reads the data of an event; `None` if it is not a JSON object.
    pub(super) fn read(data: &'a [u8]) -> Option<Self> {
        let parsed: Lenient<ChunkWire<'a>> = serde_json::from_slice(data).ok()?;
        if parsed.is_wrong_type {
            return None;
        }
        let chunk = parsed.value;
        let is_response_delta = chunk
            .kind
            .text()
            .is_some_and(|kind| kind.ends_with(".delta\""));
        let null_usage = match chunk.usage.text() {
            Some(null @ "null") => member_span(data, Span::of(null, data)),
            _ => None,
        };
        Some(Self {
            deltas: chunk.choices.deltas + u32::from(is_response_delta && chunk.delta.is_filled()),
            finish_reason: chunk.choices.finish_reason,
            has_error: chunk.error.some().is_some(),
            has_no_choices: chunk.choices.is_empty_array,
            usage: chunk.usage.some().or(chunk.response.value.usage.some()),
            tier: chunk
                .service_tier
                .some()
                .or(chunk.response.value.service_tier.some())
                .map_or(ToldTier::Untold, |json| ToldTier::read(json.as_bytes())),
            null_usage,
        })
    }
}

/// The span of the member `"usage": null`, with a comma before or else behind it, by
/// the span of its value; `None` if its name is written with escapes.
fn member_span(data: &[u8], value: Span) -> Option<Span> {
    let before = data[..value.start].trim_ascii_end().strip_suffix(b":")?;
    let before = before.trim_ascii_end().strip_suffix(b"\"usage\"")?;
    if let Some(start) = before.trim_ascii_end().strip_suffix(b",") {
        return Some(Span {
            start: start.len(),
            end: value.end,
        });
    }
    let start = before.len();
    let behind = data[value.end..].trim_ascii_start();
    match behind.strip_prefix(b",") {
        Some(next) => Some(Span {
            start,
            end: data.len() - next.trim_ascii_start().len(),
        }),
        None => Some(Span {
            start,
            end: value.end,
        }),
    }
}

#[derive(Default, serde::Deserialize)]
#[serde(default)]
struct ChunkWire<'a> {
    #[serde(borrow)]
    usage: Raw<'a>,
    #[serde(borrow)]
    error: Raw<'a>,
    #[serde(borrow)]
    service_tier: Raw<'a>,
    choices: Choices,
    /// Responses API: the type of the event, its delta, and the response at its end.
    #[serde(borrow, rename = "type")]
    kind: Raw<'a>,
    #[serde(borrow)]
    delta: Raw<'a>,
    #[serde(borrow)]
    response: Lenient<ResponseWire<'a>>,
}

#[derive(Default, serde::Deserialize)]
#[serde(default)]
struct ResponseWire<'a> {
    #[serde(borrow)]
    usage: Raw<'a>,
    #[serde(borrow)]
    service_tier: Raw<'a>,
}

#[derive(Default, serde::Deserialize)]
#[serde(default)]
struct ChoiceWire<'a> {
    #[serde(borrow)]
    delta: Lenient<DeltaWire<'a>>,
    #[serde(borrow)]
    text: Raw<'a>,
    #[serde(borrow)]
    finish_reason: Raw<'a>,
}

#[derive(Default, serde::Deserialize)]
#[serde(default)]
struct DeltaWire<'a> {
    #[serde(borrow)]
    content: Raw<'a>,
    #[serde(borrow)]
    reasoning_content: Raw<'a>,
    #[serde(borrow)]
    reasoning: Raw<'a>,
    #[serde(borrow)]
    refusal: Raw<'a>,
    #[serde(borrow)]
    tool_calls: Raw<'a>,
    #[serde(borrow)]
    function_call: Raw<'a>,
    #[serde(borrow)]
    audio: Raw<'a>,
}

impl ChoiceWire<'_> {
    fn is_filled(&self) -> bool {
        let delta = &self.delta.value;
        let parts = [
            delta.content,
            delta.tool_calls,
            delta.reasoning_content,
            delta.reasoning,
            delta.refusal,
            delta.function_call,
            delta.audio,
            self.text,
        ];
        parts.into_iter().any(Raw::is_filled)
    }
}

/// The sum over the choices of a chunk.
#[derive(Debug, Default)]
struct Choices {
    is_empty_array: bool,
    deltas: u32,
    finish_reason: Option<FinishReason>,
}

impl<'de> Deserialize<'de> for Choices {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ChoicesVisitor)
    }
}

struct ChoicesVisitor;

impl<'de> Visitor<'de> for ChoicesVisitor {
    type Value = Choices;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any JSON value")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Choices, A::Error> {
        let mut choices = Choices {
            is_empty_array: true,
            ..Choices::default()
        };
        while let Some(choice) = seq.next_element::<Lenient<ChoiceWire<'de>>>()? {
            let choice = choice.value;
            choices.is_empty_array = false;
            choices.deltas += u32::from(choice.is_filled());
            let reason = choice.finish_reason.some().map(FinishReason::read);
            choices.finish_reason = reason.or(choices.finish_reason);
        }
        Ok(choices)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Choices, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Choices::default())
    }

    fn visit_unit<E>(self) -> Result<Choices, E> {
        Ok(Choices::default())
    }

    fn visit_bool<E>(self, _: bool) -> Result<Choices, E> {
        Ok(Choices::default())
    }

    fn visit_i64<E>(self, _: i64) -> Result<Choices, E> {
        Ok(Choices::default())
    }

    fn visit_u64<E>(self, _: u64) -> Result<Choices, E> {
        Ok(Choices::default())
    }

    fn visit_f64<E>(self, _: f64) -> Result<Choices, E> {
        Ok(Choices::default())
    }

    fn visit_str<E>(self, _: &str) -> Result<Choices, E> {
        Ok(Choices::default())
    }
}
