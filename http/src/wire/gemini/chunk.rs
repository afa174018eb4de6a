//! What one chunk of a stream says.

use crate::wire::lenient::Lenient;
use crate::wire::span::Raw;
use crate::wire::sse::FinishReason;

/// The facts of one chunk, borrowed from its JSON.
#[derive(Debug, Default)]
pub(in crate::wire) struct ChunkFacts<'a> {
    /// Candidates with a part that is not empty.
    pub(in crate::wire) deltas: u32,
    pub(in crate::wire) finish_reason: Option<FinishReason>,
    pub(in crate::wire) has_error: bool,
    /// The usage, if it is not `null`.
    pub(in crate::wire) usage: Option<&'a str>,
}

impl<'a> ChunkFacts<'a> {
    /// Reads a chunk; `None` if it is not a JSON object.
    pub(in crate::wire) fn read(json: &'a [u8]) -> Option<Self> {
        let parsed: Lenient<ChunkWire<'a>> = serde_json::from_slice(json).ok()?;
        if parsed.is_wrong_type {
            return None;
        }
        let chunk = parsed.value;
        let mut facts = Self {
            has_error: chunk.error.some().is_some(),
            usage: chunk.usage_metadata.some(),
            ..Self::default()
        };
        for candidate in chunk.candidates.unwrap_or_default() {
            let candidate = candidate.value;
            let parts = candidate.content.value.parts.unwrap_or_default();
            facts.deltas += u32::from(parts.iter().any(|part| part.value.is_filled()));
            let reason = candidate.finish_reason.text().and_then(finish_reason);
            facts.finish_reason = reason.or(facts.finish_reason);
        }
        Some(facts)
    }
}

fn finish_reason(json: &str) -> Option<FinishReason> {
    Some(match json {
        "null" | r#""FINISH_REASON_UNSPECIFIED""# => return None,
        r#""STOP""# => FinishReason::Stop,
        r#""MAX_TOKENS""# => FinishReason::Length,
        r#""SAFETY""#
        | r#""RECITATION""#
        | r#""BLOCKLIST""#
        | r#""PROHIBITED_CONTENT""#
        | r#""SPII""#
        | r#""IMAGE_SAFETY""# => FinishReason::ContentFilter,
        _ => FinishReason::Other,
    })
}

#[derive(Default, serde::Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct ChunkWire<'a> {
    #[serde(borrow)]
    candidates: Option<Vec<Lenient<CandidateWire<'a>>>>,
    #[serde(borrow)]
    usage_metadata: Raw<'a>,
    #[serde(borrow)]
    error: Raw<'a>,
}

#[derive(Default, serde::Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct CandidateWire<'a> {
    #[serde(borrow)]
    content: Lenient<ContentWire<'a>>,
    #[serde(borrow)]
    finish_reason: Raw<'a>,
}

#[derive(Default, serde::Deserialize)]
#[serde(default)]
struct ContentWire<'a> {
    #[serde(borrow)]
    parts: Option<Vec<Lenient<PartWire<'a>>>>,
}

#[derive(Default, serde::Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct PartWire<'a> {
    #[serde(borrow)]
    text: Raw<'a>,
    #[serde(borrow)]
    function_call: Raw<'a>,
    #[serde(borrow)]
    inline_data: Raw<'a>,
    #[serde(borrow)]
    executable_code: Raw<'a>,
    #[serde(borrow)]
    code_execution_result: Raw<'a>,
}

impl PartWire<'_> {
    fn is_filled(&self) -> bool {
        [
            self.text,
            self.function_call,
            self.inline_data,
            self.executable_code,
            self.code_execution_result,
        ]
        .into_iter()
        .any(Raw::is_filled)
    }
}
