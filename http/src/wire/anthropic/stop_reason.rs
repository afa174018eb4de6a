//! Why a message ended, in both languages.

use crate::wire::sse::FinishReason;

/// OpenAI's reason for the JSON text of a `stop_reason`; `None` where none is given.
///
/// A turn that Anthropic pauses, and what it may call new, is a natural end to a client
/// that knows five reasons.
pub(in crate::wire) fn finish_reason(json: &str) -> Option<FinishReason> {
    Some(match json {
        "null" => return None,
        r#""max_tokens""# | r#""model_context_window_exceeded""# => FinishReason::Length,
        r#""tool_use""# => FinishReason::ToolCalls,
        r#""refusal""# => FinishReason::ContentFilter,
        _ => FinishReason::Stop,
    })
}

/// As OpenAI spells it.
pub(super) const fn spelled(reason: FinishReason) -> &'static str {
    match reason {
        FinishReason::Length => "length",
        FinishReason::ToolCalls => "tool_calls",
        FinishReason::FunctionCall => "function_call",
        FinishReason::ContentFilter => "content_filter",
        FinishReason::Stop | FinishReason::Other => "stop",
    }
}
