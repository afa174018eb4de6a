//! Disjoint counts as OpenAI's `usage`.

use coo_llm_core::record::Tokens;
use serde::Serialize;

/// OpenAI counts what was cached inside of the prompt, and reasoning inside of the
/// completion.
#[derive(Debug, Serialize)]
pub(super) struct ChatUsage {
    prompt_tokens: u64,
    completion_tokens: u64,
    total_tokens: u64,
    prompt_tokens_details: PromptDetails,
    completion_tokens_details: CompletionDetails,
}

#[derive(Debug, Serialize)]
struct PromptDetails {
    cached_tokens: u64,
    cache_write_tokens: u64,
}

#[derive(Debug, Serialize)]
struct CompletionDetails {
    reasoning_tokens: u64,
}

impl ChatUsage {
    pub(super) fn of(tokens: &Tokens) -> Self {
        let prompt_tokens = tokens
            .input
            .saturating_add(tokens.cached_input)
            .saturating_add(tokens.cache_write);
        let completion_tokens = tokens.output.saturating_add(tokens.reasoning);
        Self {
            prompt_tokens,
            completion_tokens,
            total_tokens: prompt_tokens.saturating_add(completion_tokens),
            prompt_tokens_details: PromptDetails {
                cached_tokens: tokens.cached_input,
                cache_write_tokens: tokens.cache_write,
            },
            completion_tokens_details: CompletionDetails {
                reasoning_tokens: tokens.reasoning,
            },
        }
    }
}
