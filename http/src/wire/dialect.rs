//! The languages in which providers say what was used.

use super::usage::UsageOutcome;
use super::{anthropic, gemini};

/// The language of an answer's usage, whole or streamed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum UsageDialect {
    /// `usage` of chat and text completions, embeddings and the Responses API.
    #[default]
    OpenAi,
    /// `usage` of Anthropic's Messages API.
    Anthropic,
    /// `usageMetadata` of Gemini's `generateContent`.
    Gemini,
}

impl UsageDialect {
    /// The name of the member that holds the usage of a JSON answer.
    #[must_use]
    pub const fn usage_member(self) -> &'static str {
        match self {
            Self::OpenAi | Self::Anthropic => "usage",
            Self::Gemini => "usageMetadata",
        }
    }

    /// The name of the member that holds the model that answered.
    #[must_use]
    pub const fn model_member(self) -> &'static str {
        match self {
            Self::OpenAi | Self::Anthropic => "model",
            Self::Gemini => "modelVersion",
        }
    }

    /// Reads the JSON text of that member's value.
    #[must_use]
    pub fn read(self, json: &[u8]) -> UsageOutcome {
        match self {
            Self::OpenAi => UsageOutcome::read(json),
            Self::Anthropic => anthropic::usage::read(json),
            Self::Gemini => gemini::usage::read(json),
        }
    }
}
