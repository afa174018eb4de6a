//! What the gateway must know of a request body before it forwards it.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, Visitor};

use super::span::{Raw, Span};

#[cfg(test)]
mod tests;

/// The envelope of a request body: what routing and metering need, with the
/// places of these members in the body, so that [`rewrite`](super::rewrite) can
/// splice them. Everything else of the body is validated as JSON and left alone.
#[derive(Clone, Debug)]
pub struct Envelope<'a> {
    /// The model that the client asks for, unescaped; never empty.
    pub model: Cow<'a, str>,
    /// Whether the answer is to be streamed. Absent and `null` mean no.
    pub stream: bool,
    /// `stream_options.include_usage`; `None` where it is absent or no boolean.
    pub include_usage: Option<bool>,
    /// The output tokens that the request allows at most, over all its choices; `None`
    /// where it names no number.
    pub output_tokens_max: Option<u64>,
    pub(super) model_span: Span,
    pub(super) usage_place: UsagePlace,
}

/// Where the wish for usage goes into the body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum UsagePlace {
    /// `include_usage` is already true.
    Asked,
    /// No `stream_options`: a whole member goes in behind the outer `{`, at this offset.
    Body { at: usize },
    /// `stream_options` is `null`: the object replaces it.
    Null { value: Span },
    /// An object without `include_usage`: a member goes in behind its `{`.
    Options { at: usize, is_empty: bool },
    /// `include_usage` is `false` or `null`: `true` replaces it.
    Value { value: Span },
    /// Something that the upstream will refuse; it shall see it as it is.
    Invalid,
}

/// Why a request body is refused.
#[derive(Debug)]
#[non_exhaustive]
pub enum EnvelopeError {
    /// The body is not UTF-8, which JSON must be.
    NotUtf8 {
        /// Offset of the first bad byte.
        offset_bytes: usize,
    },
    /// The body is not JSON.
    Malformed {
        /// Line of the fault, from 1.
        line: usize,
        /// Column of the fault in bytes, from 1; 0 before the first byte of a line.
        column: usize,
        /// What the parser says; it never quotes the body.
        source: serde_json::Error,
    },
    /// The body is JSON, but not an object.
    NotAnObject,
    /// There is no `model`.
    ModelMissing,
    /// `model` is not a string.
    ModelNotString,
    /// `model` is the empty string.
    ModelEmpty,
    /// `stream` is neither a boolean nor `null`.
    StreamNotBool,
    /// A member that decides routing or metering stands there twice.
    ///
    /// Parsers disagree on which one counts, so a gateway that picks one can be
    /// made to bill another model than the upstream runs.
    DuplicateMember {
        /// The name of the member.
        name: &'static str,
    },
}

impl EnvelopeError {
    /// The member at fault, for the `param` of an OpenAI error.
    #[must_use]
    pub fn param(&self) -> Option<&'static str> {
        match self {
            Self::ModelMissing | Self::ModelNotString | Self::ModelEmpty => Some("model"),
            Self::StreamNotBool => Some("stream"),
            Self::DuplicateMember { name } => Some(name),
            Self::NotUtf8 { .. } | Self::Malformed { .. } | Self::NotAnObject => None,
        }
    }

    fn malformed(source: serde_json::Error) -> Self {
        Self::Malformed {
            line: source.line(),
            column: source.column(),
            source,
        }
    }
}

impl fmt::Display for EnvelopeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotUtf8 { offset_bytes } => {
                write!(f, "the request body is not UTF-8 (byte {offset_bytes})")
            }
            // serde_json's text ends with the line and the column.
            Self::Malformed { source, .. } => write!(f, "the request body is not JSON: {source}"),
            Self::NotAnObject => f.write_str("the request body must be a JSON object"),
            Self::ModelMissing => f.write_str("you must provide a model parameter"),
            Self::ModelNotString => f.write_str("model must be a string"),
            Self::ModelEmpty => f.write_str("model must not be empty"),
            Self::StreamNotBool => f.write_str("stream must be a boolean"),
            Self::DuplicateMember { name } => write!(f, "{name} is given twice"),
        }
    }
}

impl std::error::Error for EnvelopeError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Malformed { source, .. } => Some(source),
            _ => None,
        }
    }
}

impl<'a> Envelope<'a> {
    /// Reads the envelope of a whole request body.
    ///
    /// # Errors
    /// [`EnvelopeError`]: not JSON, not an object, no usable `model`, `stream` no
    /// boolean, or one of `model`, `stream`, `stream_options` and
    /// `stream_options.include_usage` given twice.
    ///
    /// # Cost
    /// Two passes over the body (UTF-8, JSON) and one over `stream_options`. Nothing
    /// is allocated unless keys or the model contain escapes.
    pub fn parse(body: &'a [u8]) -> Result<Self, EnvelopeError> {
        let text = std::str::from_utf8(body).map_err(|error| EnvelopeError::NotUtf8 {
            offset_bytes: error.valid_up_to(),
        })?;
        let open = body.len() - text.trim_ascii_start().len();
        if body.get(open) != Some(&b'{') {
            serde_json::from_str::<IgnoredAny>(text).map_err(EnvelopeError::malformed)?;
            return Err(EnvelopeError::NotAnObject);
        }
        let members: Members<'a> = serde_json::from_str(text).map_err(EnvelopeError::malformed)?;
        if let Some(name) = members.duplicate {
            return Err(EnvelopeError::DuplicateMember { name });
        }

        let model_json = members.model.text().ok_or(EnvelopeError::ModelMissing)?;
        let model = string(model_json)?.ok_or(EnvelopeError::ModelNotString)?;
        if model.is_empty() {
            return Err(EnvelopeError::ModelEmpty);
        }
        let stream = match members.stream.some() {
            None | Some("false") => false,
            Some("true") => true,
            Some(_) => return Err(EnvelopeError::StreamNotBool),
        };
        let (include_usage, usage_place) = usage_place(members.options, body, open + 1)?;
        Ok(Self {
            model,
            stream,
            include_usage,
            output_tokens_max: members.output_tokens_max(),
            model_span: Span::of(model_json, body),
            usage_place,
        })
    }

    /// That of a request whose path names the model; there is nothing to splice in its
    /// body, which is left alone.
    #[must_use]
    pub fn of_path(model: String, stream: bool, output_tokens_max: Option<u64>) -> Self {
        Self {
            model: Cow::Owned(model),
            stream,
            include_usage: None,
            output_tokens_max,
            model_span: Span { start: 0, end: 0 },
            usage_place: UsagePlace::Invalid,
        }
    }

    /// Whether [`rewrite`](super::rewrite) can make this request ask for the usage
    /// of its stream: it streams, does not ask yet, and `stream_options` is sound.
    #[must_use]
    pub fn can_ask_usage(&self) -> bool {
        self.stream && !matches!(self.usage_place, UsagePlace::Asked | UsagePlace::Invalid)
    }
}

/// The value of a JSON string; `None` for any other value.
fn string(json: &str) -> Result<Option<Cow<'_, str>>, EnvelopeError> {
    let Some(inner) = json
        .strip_prefix('"')
        .and_then(|rest| rest.strip_suffix('"'))
    else {
        return Ok(None);
    };
    if memchr::memchr(b'\\', inner.as_bytes()).is_none() {
        return Ok(Some(Cow::Borrowed(inner)));
    }
    // A lone surrogate is found only here; its place in the body is not known.
    serde_json::from_str(json)
        .map(|s: String| Some(Cow::Owned(s)))
        .map_err(EnvelopeError::malformed)
}

fn usage_place(
    options: Raw<'_>,
    body: &[u8],
    body_open: usize,
) -> Result<(Option<bool>, UsagePlace), EnvelopeError> {
    let json = match options.text() {
        None => return Ok((None, UsagePlace::Body { at: body_open })),
        Some(null @ "null") => {
            return Ok((
                None,
                UsagePlace::Null {
                    value: Span::of(null, body),
                },
            ));
        }
        Some(json) if json.starts_with('{') => json,
        Some(_) => return Ok((None, UsagePlace::Invalid)),
    };
    let members: OptionMembers<'_> =
        serde_json::from_str(json).map_err(EnvelopeError::malformed)?;
    if members.is_duplicate {
        return Err(EnvelopeError::DuplicateMember {
            name: "stream_options.include_usage",
        });
    }
    Ok(match members.include_usage.text() {
        None => {
            let is_empty = json[1..].trim_ascii_start().starts_with('}');
            (
                None,
                UsagePlace::Options {
                    at: Span::of(json, body).start + 1,
                    is_empty,
                },
            )
        }
        Some("true") => (Some(true), UsagePlace::Asked),
        Some(value @ "false") => (
            Some(false),
            UsagePlace::Value {
                value: Span::of(value, body),
            },
        ),
        Some(value @ "null") => (
            None,
            UsagePlace::Value {
                value: Span::of(value, body),
            },
        ),
        Some(_) => (None, UsagePlace::Invalid),
    })
}

#[derive(serde::Deserialize)]
#[serde(field_identifier, rename_all = "snake_case")]
enum Name {
    Model,
    Stream,
    StreamOptions,
    MaxTokens,
    MaxCompletionTokens,
    MaxOutputTokens,
    N,
    #[serde(other)]
    Other,
}

#[derive(Default)]
struct Members<'a> {
    model: Raw<'a>,
    stream: Raw<'a>,
    options: Raw<'a>,
    duplicate: Option<&'static str>,
    /// The largest of the members that bound the output.
    output_max: Option<u64>,
    choices: Option<u64>,
}

impl Members<'_> {
    fn output_tokens_max(&self) -> Option<u64> {
        Some(
            self.output_max?
                .saturating_mul(self.choices.unwrap_or(1).max(1)),
        )
    }
}

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(MembersVisitor)
    }
}

/// A whole number; `None` for what the upstream has to judge.
fn whole(value: &Raw<'_>) -> Option<u64> {
    value.text()?.parse().ok()
}

struct MembersVisitor;

impl<'de> Visitor<'de> for MembersVisitor {
    type Value = Members<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut members = Members::default();
        while let Some(name) = map.next_key()? {
            let (slot, name) = match name {
                Name::Model => (&mut members.model, "model"),
                Name::Stream => (&mut members.stream, "stream"),
                Name::StreamOptions => (&mut members.options, "stream_options"),
                Name::MaxTokens | Name::MaxCompletionTokens | Name::MaxOutputTokens => {
                    members.output_max = members.output_max.max(whole(&map.next_value()?));
                    continue;
                }
                Name::N => {
                    members.choices = members.choices.max(whole(&map.next_value()?));
                    continue;
                }
                Name::Other => {
                    map.next_value::<IgnoredAny>()?;
                    continue;
                }
            };
            if slot.text().is_some() {
                members.duplicate = Some(name);
            }
            *slot = map.next_value()?;
        }
        Ok(members)
    }
}

#[derive(serde::Deserialize)]
#[serde(field_identifier, rename_all = "snake_case")]
enum OptionName {
    IncludeUsage,
    #[serde(other)]
    Other,
}

#[derive(Default)]
struct OptionMembers<'a> {
    include_usage: Raw<'a>,
    is_duplicate: bool,
}

impl<'de> Deserialize<'de> for OptionMembers<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(OptionMembersVisitor)
    }
}

struct OptionMembersVisitor;

impl<'de> Visitor<'de> for OptionMembersVisitor {
    type Value = OptionMembers<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut members = OptionMembers::default();
        while let Some(name) = map.next_key()? {
            match name {
                OptionName::IncludeUsage => {
                    members.is_duplicate |= members.include_usage.text().is_some();
                    members.include_usage = map.next_value()?;
                }
                OptionName::Other => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(members)
    }
}
