//! Gemini: its OpenAI-compatible endpoint, and its own API passed through.

use super::{Credential, Dialect, Hearing, Order, Service, openai};
use crate::gateway::error::Refusal;
use crate::wire::UsageDialect;
use bytes::Bytes;
use coo_llm_core::record::Endpoint;

pub(super) const DIALECT: Dialect = Dialect {
    name: "gemini",
    services: &[
        openai::CHAT_COMPLETIONS,
        openai::EMBEDDINGS,
        native(Endpoint::GenerateContent, ":generateContent", |order| {
            Ok((order.body.clone(), Hearing::Pass(UsageDialect::Gemini)))
        }),
        native(
            Endpoint::StreamGenerateContent,
            ":streamGenerateContent",
            |order| Ok((order.body.clone(), Hearing::Elements)),
        ),
    ],
};

/// The model stands in the path, and the body passes as it is.
const fn native(
    endpoint: Endpoint,
    verb: &'static str,
    make: fn(&Order<'_>) -> Result<(Bytes, Hearing), Refusal>,
) -> Service {
    Service {
        endpoint,
        path: |base| format!("{}/models", base.strip_suffix("/openai").unwrap_or(base)),
        verb: Some(verb),
        credential: Credential::Header("x-goog-api-key"),
        header: None,
        make,
    }
}
