//! Anthropic's replies: messages, their streams and errors, as its API reference has them.

use super::plan::{Cutter, Plan, piece};
use super::reply::{content, quoted};
use super::script::{Script, UsageMode};
use serde_json::{Value, json};

/// What is thought before the answer, where there is reasoning.
const THOUGHT: &str = "Let me see.";

/// The `usage` of a whole answer.
fn usage(script: &Script) -> Value {
    let (u, for_an_hour) = (&script.usage, script.cache_write_1h);
    json!({
        "input_tokens": u.prompt - u.cached - u.cache_write,
        "cache_creation_input_tokens": u.cache_write,
        "cache_read_input_tokens": u.cached,
        "cache_creation": {
            "ephemeral_5m_input_tokens": u.cache_write - for_an_hour,
            "ephemeral_1h_input_tokens": for_an_hour
        },
        "output_tokens": u.completion,
        "output_tokens_details": {"thinking_tokens": u.reasoning},
        "service_tier": script.service_tier.as_deref().unwrap_or("standard")
    })
}

/// The input of a tool: the script's content, which is the text of an object.
fn tool_input(script: &Script) -> Value {
    serde_json::from_str(&content(script)).expect("a tool call's content is JSON")
}

/// The reply to a request without `stream`.
pub(super) fn whole(model: &str, script: &Script, with_usage: bool) -> String {
    let mut blocks = Vec::new();
    if script.usage.reasoning > 0 {
        blocks.push(json!({"type": "thinking", "thinking": THOUGHT, "signature": "c2ln"}));
    }
    if script.tool_call {
        blocks.push(json!({"type": "tool_use", "id": "toolu_1", "name": "lookup", "input": tool_input(script)}));
    } else {
        blocks.push(json!({"type": "text", "text": content(script)}));
    }
    let stop_reason = if script.tool_call {
        "tool_use"
    } else {
        "end_turn"
    };
    let mut message = json!({
        "id": "msg_1", "type": "message", "role": "assistant", "model": model, "content": blocks,
        "stop_reason": stop_reason, "stop_sequence": null
    });
    if with_usage {
        message["usage"] = usage(script);
    }
    message.to_string()
}

/// One event, with its name as Anthropic has it.
fn event(script: &Script, data: &Value) -> String {
    let end = if script.crlf { "\r\n" } else { "\n" };
    let name = data["type"].as_str().unwrap_or("message");
    format!("event: {name}{end}data: {data}{end}{end}")
}

/// The reply to a request with `stream`. The first usage has a few tokens of output, the
/// last one has all: who adds them up is wrong.
pub(super) fn stream(model: &str, script: &Script) -> Plan {
    let with_usage = script.usage_mode != UsageMode::Never;
    let mut cutter = Cutter::new(script);
    let mut first = usage(script);
    first["output_tokens"] = json!(script.usage.completion.min(3));
    first["output_tokens_details"] = Value::Null;
    let mut message = json!({
        "id": "msg_1", "type": "message", "role": "assistant", "model": model, "content": [],
        "stop_reason": null, "stop_sequence": null
    });
    if with_usage {
        message["usage"] = first;
    }
    let tell = |cutter: &mut Cutter, data: Value, is_chunk: bool, has_usage: bool| {
        cutter.add(event(script, &data).as_bytes(), is_chunk, has_usage);
    };
    tell(
        &mut cutter,
        json!({"type": "message_start", "message": message}),
        false,
        false,
    );
    tell(&mut cutter, json!({"type": "ping"}), false, false);
    let mut index = 0;
    if script.usage.reasoning > 0 {
        for data in [
            json!({"type": "content_block_start", "index": 0, "content_block": {"type": "thinking", "thinking": "", "signature": ""}}),
            json!({"type": "content_block_delta", "index": 0, "delta": {"type": "thinking_delta", "thinking": THOUGHT}}),
            json!({"type": "content_block_delta", "index": 0, "delta": {"type": "signature_delta", "signature": "c2ln"}}),
            json!({"type": "content_block_stop", "index": 0}),
        ] {
            tell(&mut cutter, data, false, false);
        }
        index = 1;
    }
    let block = if script.tool_call {
        json!({"type": "tool_use", "id": "toolu_1", "name": "lookup", "input": {}})
    } else {
        json!({"type": "text", "text": ""})
    };
    let start = json!({"type": "content_block_start", "index": index, "content_block": block});
    tell(&mut cutter, start, false, false);
    let text: Vec<char> = content(script).chars().collect();
    for at in 0..script.chunks {
        if cutter.before(script, at, &event(script, &error_value(529))) {
            return cutter.into_stream(script);
        }
        let piece = piece(&text, at, script.chunks);
        let delta = if script.tool_call {
            json!({"type": "input_json_delta", "partial_json": piece})
        } else {
            json!({"type": "text_delta", "text": piece})
        };
        let data = json!({"type": "content_block_delta", "index": index, "delta": delta});
        tell(&mut cutter, data, true, false);
    }
    cutter.step();
    tell(
        &mut cutter,
        json!({"type": "content_block_stop", "index": index}),
        false,
        false,
    );
    let stop_reason = if script.tool_call {
        "tool_use"
    } else {
        "end_turn"
    };
    let mut end = json!({"type": "message_delta", "delta": {"stop_reason": stop_reason, "stop_sequence": null}});
    if with_usage {
        end["usage"] = json!({"output_tokens": script.usage.completion,
            "output_tokens_details": {"thinking_tokens": script.usage.reasoning}});
    }
    tell(&mut cutter, end, false, with_usage);
    tell(
        &mut cutter,
        json!({"type": "message_stop"}),
        false,
        with_usage,
    );
    cutter.into_stream(script)
}

/// The reply to `count_tokens`.
pub(super) fn count(script: &Script) -> String {
    json!({"input_tokens": script.usage.prompt}).to_string()
}

/// The error body that Anthropic sends with `status`.
pub(super) fn error(status: u16) -> String {
    error_value(status).to_string()
}

fn error_value(status: u16) -> Value {
    let (kind, message) = match status {
        400 => (
            "invalid_request_error",
            "messages: at least one message is required",
        ),
        401 => ("authentication_error", "invalid x-api-key"),
        404 => ("not_found_error", "model: claude-none"),
        429 => (
            "rate_limit_error",
            "This request would exceed your rate limit.",
        ),
        529 => ("overloaded_error", "Overloaded"),
        _ => ("api_error", "Internal server error"),
    };
    let message = quoted(message);
    let text = format!(
        r#"{{"type":"error","error":{{"type":"{kind}","message":{message}}},"request_id":"req_upstream"}}"#
    );
    serde_json::from_str(&text).expect("an error is JSON")
}
