//! What the simulator must know of a request.

use serde::Deserialize;

use crate::wire::envelope::{Envelope, EnvelopeError};
use crate::wire::lenient::Lenient;
use crate::wire::span::Raw;

/// The endpoints that the simulator speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SimEndpoint {
    /// `/v1/chat/completions`.
    ChatCompletions,
    /// `/v1/completions`.
    Completions,
    /// `/v1/embeddings`.
    Embeddings,
}

/// A request to the simulated provider.
#[derive(Debug)]
pub struct SimRequest<'a> {
    pub(super) endpoint: SimEndpoint,
    pub(super) envelope: Envelope<'a>,
    /// A quarter of the bytes of `messages`, `prompt` and `input` as they are written in
    /// JSON, rounded up, and at least 1: an estimate for English text, and stated so;
    /// every count that follows from it is exact.
    pub(super) prompt_tokens: u64,
    /// `max_completion_tokens`, else `max_tokens`.
    pub(super) completion_tokens_max: Option<u64>,
    /// Items of an embedding's `input`; 0 if it is no string and no array.
    pub(super) inputs: usize,
    pub(super) dimensions: Option<u64>,
    pub(super) is_base64: bool,
}

impl<'a> SimRequest<'a> {
    /// Reads a whole request body.
    ///
    /// # Errors
    /// As [`Envelope::parse`].
    pub fn parse(endpoint: SimEndpoint, body: &'a [u8]) -> Result<Self, EnvelopeError> {
        let envelope = Envelope::parse(body)?;
        // An envelope is an object, and members of odd types count as absent.
        let wire = serde_json::from_slice::<Lenient<RequestWire<'_>>>(body)
            .map(|parsed| parsed.value)
            .unwrap_or_default();
        let prompt = [wire.messages, wire.prompt, wire.input];
        let prompt_bytes: usize = prompt
            .iter()
            .filter_map(|raw| raw.text())
            .map(str::len)
            .sum();
        Ok(Self {
            endpoint,
            envelope,
            prompt_tokens: (prompt_bytes as u64).div_ceil(4).max(1),
            completion_tokens_max: number(wire.max_completion_tokens)
                .or_else(|| number(wire.max_tokens)),
            inputs: wire.input.text().map_or(0, inputs),
            dimensions: number(wire.dimensions),
            is_base64: wire.encoding_format.text() == Some(r#""base64""#),
        })
    }
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct RequestWire<'a> {
    #[serde(borrow)]
    max_tokens: Raw<'a>,
    #[serde(borrow)]
    max_completion_tokens: Raw<'a>,
    #[serde(borrow)]
    messages: Raw<'a>,
    #[serde(borrow)]
    prompt: Raw<'a>,
    #[serde(borrow)]
    input: Raw<'a>,
    #[serde(borrow)]
    dimensions: Raw<'a>,
    #[serde(borrow)]
    encoding_format: Raw<'a>,
}

/// A positive integer.
fn number(raw: Raw<'_>) -> Option<u64> {
    raw.text()?.parse().ok().filter(|number| *number > 0)
}

/// A string or an array of token numbers is one input; an array of those is many.
fn inputs(json: &str) -> usize {
    match json.as_bytes().first() {
        Some(b'"') => 1,
        Some(b'[') => match serde_json::from_str::<Vec<Raw<'_>>>(json) {
            Ok(items)
                if items
                    .iter()
                    .all(|item| number(*item).is_some() || is_zero(*item)) =>
            {
                usize::from(!items.is_empty())
            }
            Ok(items) => items.len(),
            Err(_) => 0,
        },
        _ => 0,
    }
}

fn is_zero(raw: Raw<'_>) -> bool {
    raw.text() == Some("0")
}
