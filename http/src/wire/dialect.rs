//! The languages in which providers say what was used.

use super::terms::Terms;
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

    /// The name of the member that holds the service tier, where it is not in the usage.
    #[must_use]
    pub const fn tier_member(self) -> Option<&'static str> {
        match self {
            Self::OpenAi => Some("service_tier"),
            Self::Anthropic | Self::Gemini => None,
        }
    }

    /// Reads the JSON text of the usage, and puts what it says of its price into `terms`.
    #[must_use]
    pub fn read(self, json: &[u8], terms: &mut Terms) -> UsageOutcome {
        match self {
            Self::OpenAi => UsageOutcome::read(json),
            Self::Anthropic => anthropic::usage::read(json, terms),
            Self::Gemini => gemini::usage::read(json, terms),
        }
    }
}
