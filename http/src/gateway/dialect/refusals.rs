//! The gateway's own errors, in the shape that the client of an endpoint understands.

use crate::gateway::error::Refusal;
use crate::wire::{anthropic, gemini};
use bytes::Bytes;
use coo_llm_core::record::Endpoint;

/// The body of a refusal to a client of this endpoint.
pub(crate) fn in_the_shape_of(endpoint: Endpoint, refusal: &Refusal) -> Bytes {
    match endpoint {
        Endpoint::Messages | Endpoint::CountTokens => {
            anthropic::error::refusal(refusal.kind, &refusal.body)
        }
        Endpoint::GenerateContent | Endpoint::StreamGenerateContent => {
            gemini::error::refusal(refusal.kind, &refusal.body)
        }
        _ => refusal.body.clone(),
    }
}
