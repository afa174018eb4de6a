//! Gemini's replies: `generateContent` and both kinds of its streams.

use super::plan::{Cutter, Plan, piece};
use super::reply::content;
use super::script::{Script, Usage, UsageMode};
use serde_json::{Value, json};

/// `usageMetadata` after so many of the candidates' tokens.
fn usage(script: &Script, candidates: u64) -> Value {
    let u = &script.usage;
    let prompt = u.prompt - u.cache_write;
    let mut usage = json!({
        "promptTokenCount": prompt,
        "candidatesTokenCount": candidates,
        "thoughtsTokenCount": u.reasoning,
        "cachedContentTokenCount": u.cached,
        "totalTokenCount": prompt + candidates + u.reasoning,
        "promptTokensDetails": [
            {"modality": "TEXT", "tokenCount": prompt - u.audio_in},
            {"modality": "AUDIO", "tokenCount": u.audio_in}
        ],
        "candidatesTokensDetails": [{"modality": "AUDIO", "tokenCount": u.audio_out.min(candidates)}]
    });
    if let Some(tier) = &script.service_tier {
        usage["serviceTier"] = json!(tier);
    }
    usage
}

fn reply(model: &str, text: &str, finish: Option<&str>, usage: Option<Value>) -> Value {
    let mut candidate =
        json!({"content": {"parts": [{"text": text}], "role": "model"}, "index": 0});
    if let Some(finish) = finish {
        candidate["finishReason"] = json!(finish);
    }
    let mut reply = json!({"candidates": [candidate], "modelVersion": model, "responseId": "r1"});
    if let Some(usage) = usage {
        reply["usageMetadata"] = usage;
    }
    reply
}

/// The candidates' tokens: what OpenAI counts inside of the completion stands beside.
fn candidates(u: &Usage) -> u64 {
    u.completion - u.reasoning
}

/// The reply to `generateContent`.
pub(super) fn whole(model: &str, script: &Script, with_usage: bool) -> String {
    let usage = with_usage.then(|| usage(script, candidates(&script.usage)));
    reply(model, &content(script), Some("STOP"), usage).to_string()
}

/// The reply to `streamGenerateContent`: events, or the elements of one array.
pub(super) fn stream(model: &str, script: &Script, is_sse: bool) -> Plan {
    let mut cutter = Cutter::new(script);
    let text: Vec<char> = content(script).chars().collect();
    let all = candidates(&script.usage);
    let with_usage = script.usage_mode != UsageMode::Never;
    for at in 0..script.chunks {
        let is_last = at + 1 == script.chunks;
        let so_far = all * u64::from(at + 1) / u64::from(script.chunks);
        let usage = with_usage.then(|| usage(script, so_far));
        let finish = is_last.then_some("STOP");
        let chunk = reply(model, &piece(&text, at, script.chunks), finish, usage);
        let error = error(503);
        let frame = |json: &str| match (is_sse, at, is_last) {
            (true, ..) => format!("data: {json}\r\n\r\n"),
            (false, 0, true) => format!("[{json}\n]"),
            (false, 0, false) => format!("[{json}\n,\r\n"),
            (false, _, false) => format!("{json}\n,\r\n"),
            (false, _, true) => format!("{json}\n]"),
        };
        if cutter.before(script, at, &frame(&error)) {
            break;
        }
        cutter.add(
            frame(&chunk.to_string()).as_bytes(),
            true,
            is_last && with_usage,
        );
    }
    cutter.step();
    cutter.into_stream(script)
}

/// The error body that Google sends with `status`.
pub(super) fn error(status: u16) -> String {
    json!({"error": {"code": status, "message": "No.", "status": "UNAVAILABLE"}}).to_string()
}
