//! OpenAI's Responses API: whole and as a stream.

use super::plan::{Cutter, Plan, piece};
use super::reply::content;
use super::script::Script;
use serde_json::{Value, json};

/// The reply to a request without `stream`.
pub(super) fn whole(model: &str, script: &Script, with_usage: bool) -> String {
    response(model, script, "completed", with_usage).to_string()
}

fn response(model: &str, script: &Script, status: &str, with_usage: bool) -> Value {
    let u = &script.usage;
    let usage = json!({
        "input_tokens": u.prompt, "output_tokens": u.completion, "total_tokens": u.prompt + u.completion,
        "input_tokens_details": {"cached_tokens": u.cached, "audio_tokens": u.audio_in},
        "output_tokens_details": {"reasoning_tokens": u.reasoning, "audio_tokens": u.audio_out}
    });
    let part = json!({"type": "output_text", "text": content(script), "annotations": []});
    let output = json!([{"type": "message", "id": "m1", "role": "assistant", "status": "completed", "content": [part]}]);
    json!({
        "id": "resp_1", "object": "response", "created_at": 1_700_000_000, "model": model, "status": status,
        "service_tier": if status == "completed" { script.service_tier.as_deref().unwrap_or("default") } else { "auto" },
        "output": if status == "completed" { output } else { json!([]) }, "error": null,
        "usage": if with_usage { usage } else { Value::Null }
    })
}

/// The reply to a request with `stream`; its usage is in the last event.
pub(super) fn stream(model: &str, script: &Script) -> Plan {
    let mut cutter = Cutter::new(script);
    let tell = |cutter: &mut Cutter, data: Value, is_chunk: bool, has_usage: bool| {
        let name = data["type"].as_str().unwrap_or_default();
        let event = format!("event: {name}\ndata: {data}\n\n");
        cutter.add(event.as_bytes(), is_chunk, has_usage);
    };
    let created = json!({"type": "response.created", "sequence_number": 0,
        "response": response(model, script, "in_progress", false)});
    tell(&mut cutter, created, false, false);
    let text: Vec<char> = content(script).chars().collect();
    for at in 0..script.chunks {
        if cutter.before(script, at, "event: error\ndata: {\"type\":\"error\"}\n\n") {
            return cutter.into_stream(script);
        }
        let delta = json!({"type": "response.output_text.delta", "sequence_number": at + 1, "item_id": "m1",
            "output_index": 0, "content_index": 0, "logprobs": [], "delta": piece(&text, at, script.chunks)});
        tell(&mut cutter, delta, true, false);
    }
    cutter.step();
    let completed = json!({"type": "response.completed", "sequence_number": script.chunks + 1,
        "response": response(model, script, "completed", true)});
    tell(&mut cutter, completed, false, true);
    cutter.into_stream(script)
}
