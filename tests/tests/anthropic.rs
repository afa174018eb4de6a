//! An Anthropic provider: its own SDK passes through, OpenAI's SDK is translated, and
//! each call is in `/metrics` with the tokens of the upstream's ledger.
//!
//! Needs the built gateway, `python3` with venv, and PyPI on the first run.

use coo_llm_tests::exposition::Exposition;
use coo_llm_tests::gateway::{Config, Provider};
use coo_llm_tests::oracle::{Event, Oracle, Target, key_id};
use coo_llm_tests::python;
use coo_llm_tests::rig::{CLIENT, CLIENT_KEY, MODEL, PRICING, PROVIDER, PROVIDER_KEY, Rig};
use coo_llm_tests::upstream::{End, Fault, Kind, Script, TokenCounts, Usage};
use serde_json::{Value, json};
use std::process::Command;

/// The Anthropic provider beside the usual one, at the same upstream.
const CLAUDE: &str = "claude";
const CLAUDE_MODEL: &str = "claude-test";

/// Counts of which none equals another, so that no two can be swapped unseen.
const USAGE: Usage = Usage {
    prompt: 131,
    completion: 77,
    cached: 32,
    cache_write: 9,
    audio_in: 0,
    reasoning: 13,
    audio_out: 0,
};

fn scripted() -> Script {
    Script {
        usage: USAGE,
        ..Script::default()
    }
}

fn tool() -> Script {
    Script {
        tool_call: true,
        content: Some("{\"word\":\"\u{df}\"}".to_owned()),
        ..scripted()
    }
}

fn start(change: impl FnOnce(&mut Config)) -> Rig {
    Rig::start_with(|config| {
        let url = config.providers[0].base_url.clone();
        let claude = Provider::new(CLAUDE, &url, PROVIDER_KEY, CLAUDE_MODEL, PRICING);
        config.providers.push(claude.of_type("anthropic"));
        change(config);
    })
}

fn python(script: &str, arguments: &[&str]) -> Value {
    let output = Command::new(python::interpreter())
        .arg(python::script(script))
        .args(arguments)
        .output()
        .expect("the interpreter runs");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {stderr}");
    serde_json::from_slice(&output.stdout).expect("an observation is JSON")
}

/// What Anthropic's SDK sees directly and through the gateway.
fn observe(rig: &Rig, case: &str, script: &Script) -> (Value, Value) {
    rig.upstream.key_by(PROVIDER_KEY, Some(script.clone()));
    let direct = format!("http://{}", rig.upstream.addr());
    let gateway = format!("http://{}", rig.gateway.addr());
    let pair = python(
        "anthropic_sdk.py",
        &[case, &direct, PROVIDER_KEY, &gateway, CLIENT_KEY],
    );
    let [direct, through]: [Value; 2] = serde_json::from_value(pair).expect("two observations");
    (direct, through)
}

/// What OpenAI's SDK sees through the gateway.
fn translated(rig: &Rig, case: &str, script: &Script) -> Value {
    rig.upstream.key_by(PROVIDER_KEY, Some(script.clone()));
    let gateway = format!("http://{}/v1", rig.gateway.addr());
    python("translated.py", &[case, &gateway, CLIENT_KEY])
}

fn event(tokens: Option<TokenCounts>, error: Option<&'static str>) -> Event {
    Event {
        target: Some(Target {
            provider: CLAUDE.to_owned(),
            model: CLAUDE_MODEL.to_owned(),
            key: key_id(CLAUDE, PROVIDER_KEY),
        }),
        client: Some(CLIENT.to_owned()),
        tokens,
        pricing: Some(PRICING),
        error,
        provider_limited: error == Some("rate_limit"),
    }
}

fn assert_metered(rig: &Rig, events: &[Event]) -> Exposition {
    let mut oracle = Oracle::default();
    for event in events {
        oracle.record(event);
    }
    let page = rig.gateway.metrics_after(events.len() as u64);
    assert_eq!(oracle.differences(&page), Vec::<String>::new());
    page
}

/// A call that succeeds: the same sight, and the ledger's tokens in the meter.
fn same(case: &str, script: &Script) -> Value {
    let rig = start(|_| {});
    let (direct, through) = observe(&rig, case, script);
    assert!(direct.get("saw").is_some(), "{case}: {direct}");
    assert_eq!(direct, through, "{case}");
    let ledger = rig.upstream.ledger();
    let [alone, passed] = &ledger.served[..] else {
        unreachable!("one call each: {:?}", ledger.served);
    };
    assert_eq!(alone.body, passed.body, "byte for byte");
    assert_eq!(passed.header("x-api-key"), Some(PROVIDER_KEY));
    assert_eq!(passed.header("authorization"), None);
    let version = alone.header("anthropic-version");
    assert!(version.is_some());
    assert_eq!(passed.header("anthropic-version"), version);
    assert_eq!(passed.tokens, Some(TokenCounts::from_usage(&USAGE)));
    assert_metered(&rig, &[event(passed.tokens, None)]);
    direct
}

#[test]
fn a_message_passes() {
    let saw = same("message", &scripted());
    assert_eq!(saw["saw"]["usage"]["cache_creation_input_tokens"], 9);
    same("vision", &scripted());
}

#[test]
fn tools_pass() {
    let saw = same("tools", &tool());
    assert_eq!(saw["saw"]["content"][1]["input"], json!({"word": "\u{df}"}));
}

#[test]
fn streams_pass() {
    for split in [0, 7] {
        let script = Script {
            split,
            ..scripted()
        };
        same("events", &script);
        let saw = same("stream", &script);
        assert_eq!(saw["saw"]["final"]["usage"]["output_tokens"], 77);
    }
    same("stream", &tool());
}

#[test]
fn tokens_are_counted_for_nothing() {
    let rig = start(|_| {});
    let (direct, through) = observe(&rig, "count", &scripted());
    assert_eq!(direct["saw"]["input_tokens"], 131);
    assert_eq!(direct, through);
    let page = rig.gateway.metrics_after(1);
    let labels = [("provider", CLAUDE)];
    assert_eq!(page.count("coo_llm_requests_total", &labels), 1);
    assert_eq!(page.count("coo_llm_tokens_total", &labels), 0);
    assert_eq!(page.nano_usd("coo_llm_cost_total", &labels), 0);
}

#[test]
fn its_errors_pass() {
    for (status, class, error) in [
        (400, "BadRequestError", "upstream_4xx"),
        (404, "NotFoundError", "upstream_4xx"),
        (429, "RateLimitError", "rate_limit"),
        (500, "InternalServerError", "upstream_5xx"),
        (529, "OverloadedError", "upstream_5xx"),
    ] {
        let rig = start(|_| {});
        let script = Script {
            status: Some(status),
            retry_after_secs: (status == 429).then_some(7),
            ..Script::default()
        };
        let (direct, through) = observe(&rig, "message", &script);
        assert_eq!(direct["error"], class);
        assert_eq!(direct, through);
        assert_metered(&rig, &[event(None, Some(error))]);
    }
}

#[test]
fn the_gateways_own_errors_have_anthropics_shape() {
    let rig = start(|_| {});
    let gateway = format!("http://{}", rig.gateway.addr());
    let wrong = ["message", &gateway, "sk-wrong", &gateway, "sk-wrong"];
    let seen = python("anthropic_sdk.py", &wrong);
    assert_eq!(seen[1]["error"], "AuthenticationError");
    assert_eq!(seen[1]["body"]["error"]["type"], "authentication_error");
    for (body, status, kind) in [
        ("{", 400, "invalid_request_error"),
        (r#"{"model":"no:thing"}"#, 404, "not_found_error"),
        // Of a provider that speaks no Messages.
        (
            r#"{"model":"m-chat","messages":[]}"#,
            400,
            "invalid_request_error",
        ),
    ] {
        let reply = rig
            .gateway
            .client()
            .post("/v1/messages", CLIENT_KEY, body.as_bytes());
        assert_eq!(reply.status, status, "{body}");
        let json = reply.json();
        assert_eq!(json["type"], "error", "{body}");
        assert_eq!(json["error"]["type"], kind, "{body}: {json}");
        assert!(json["error"]["message"].is_string(), "{body}");
    }
}

#[test]
fn an_abort_counts_what_was_delivered() {
    let rig = start(|_| {});
    let script = Script {
        gate: Some("never".to_owned()),
        gate_after_chunks: 2,
        ..scripted()
    };
    let (direct, through) = observe(&rig, "abort", &script);
    assert_eq!(direct, through);
    rig.upstream.wait("the gateway to let go", |ledger| {
        ledger.served.iter().all(|s| s.end == End::CutByPeer)
    });
    let page = rig.gateway.metrics_after(1);
    let errors = [("type", "client_abort"), ("provider", CLAUDE)];
    assert_eq!(page.count("coo_llm_errors_total", &errors), 1);
    let tokens = |kind| {
        page.count(
            "coo_llm_tokens_total",
            &[("provider", CLAUDE), ("type", kind)],
        )
    };
    // The input is what the first usage said; the output is a token a delta.
    let input = (
        tokens("input"),
        tokens("cached_input"),
        tokens("cache_write"),
    );
    assert_eq!(input, (131 - 32 - 9, 32, 9));
    assert!((1..=3).contains(&tokens("output")), "{}", tokens("output"));
    let estimated = [("provider", CLAUDE), ("source", "estimated")];
    assert_eq!(page.count("coo_llm_usage_source_total", &estimated), 1);
}

#[test]
fn openais_sdk_chats_with_it() {
    let rig = start(|_| {});
    let seen = translated(&rig, "chat", &scripted());
    let saw = &seen["saw"];
    assert_eq!(saw["object"], "chat.completion", "{seen}");
    assert_eq!(saw["model"], CLAUDE_MODEL);
    let choice = &saw["choices"][0];
    assert_eq!(choice["finish_reason"], "stop");
    assert_eq!(
        choice["message"]["content"],
        "Hello! How can I assist you today?"
    );
    assert_eq!(choice["message"]["reasoning_content"], "Let me see.");
    let usage = &saw["usage"];
    assert_eq!(usage["prompt_tokens"], 131);
    assert_eq!(usage["completion_tokens"], 77);
    assert_eq!(usage["prompt_tokens_details"]["cached_tokens"], 32);
    assert_eq!(usage["completion_tokens_details"]["reasoning_tokens"], 13);

    let served = rig.upstream.ledger().last().clone();
    assert_eq!(
        (served.kind, served.key.as_str()),
        (Kind::Message, PROVIDER_KEY)
    );
    assert_eq!(served.header("anthropic-version"), Some("2023-06-01"));
    assert_eq!(served.header("authorization"), None);
    let sent: Value = serde_json::from_slice(&served.body).expect("JSON");
    let expected = json!({
        "model": CLAUDE_MODEL, "max_tokens": 50, "temperature": 0.1,
        "system": [{"type": "text", "text": "Be brief."}],
        "messages": [{"role": "user", "content": [{"type": "text", "text": "Gr\u{fc}\u{df}e, \u{4e16}\u{754c} \u{1f44b}\u{1f3fd}"}]}]
    });
    assert_eq!(sent, expected);
    assert_metered(&rig, &[event(served.tokens, None)]);
}

#[test]
fn openais_sdk_shows_it_an_image() {
    let rig = start(|_| {});
    let seen = translated(&rig, "vision", &scripted());
    assert!(
        seen["saw"]["choices"][0]["message"]["content"].is_string(),
        "{seen}"
    );
    let sent: Value = serde_json::from_slice(&rig.upstream.ledger().last().body).expect("JSON");
    let source = json!({"type": "base64", "media_type": "image/png", "data": "iVBORw0KGgo="});
    assert_eq!(
        sent["messages"][0]["content"][1],
        json!({"type": "image", "source": source})
    );
}

#[test]
fn openais_sdk_calls_tools() {
    let rig = start(|_| {});
    let seen = translated(&rig, "tools", &tool());
    let call = &seen["saw"][0]["choices"][0]["message"]["tool_calls"][0];
    assert_eq!(call["id"], "toolu_1", "{seen}");
    assert_eq!(
        call["function"],
        json!({"name": "lookup", "arguments": "{\"word\":\"\u{df}\"}"})
    );
    assert_eq!(seen["saw"][0]["choices"][0]["finish_reason"], "tool_calls");
    let ledger = rig.upstream.ledger();
    let sent: Value = serde_json::from_slice(&ledger.last().body).expect("JSON");
    assert_eq!(
        sent["messages"][1]["content"],
        json!([{"type": "tool_use", "id": "toolu_1", "name": "lookup", "input": {"word": "\u{df}"}}])
    );
    assert_eq!(
        sent["messages"][2]["content"],
        json!([{"type": "tool_result", "tool_use_id": "toolu_1", "content": [{"type": "text", "text": "sharp s"}]}])
    );
    let events: Vec<_> = ledger
        .served
        .iter()
        .map(|s| event(s.tokens, None))
        .collect();
    assert_metered(&rig, &events);
}

#[test]
fn openais_sdk_streams() {
    for split in [0, 5] {
        let rig = start(|_| {});
        let script = Script {
            split,
            ..scripted()
        };
        let seen = translated(&rig, "stream", &script);
        let chunks = seen["saw"].as_array().expect("chunks");
        let deltas = |name: &str| -> String {
            let texts = chunks
                .iter()
                .map(|chunk| &chunk["choices"][0]["delta"][name]);
            texts.filter_map(Value::as_str).collect()
        };
        assert_eq!(deltas("role"), "assistant");
        assert_eq!(deltas("content"), "Hello! How can I assist you today?");
        assert_eq!(deltas("reasoning_content"), "Let me see.");
        let last = chunks.last().expect("chunks");
        assert_eq!(last["choices"][0]["finish_reason"], "stop");
        assert!(chunks.iter().all(|chunk| chunk["usage"].is_null()));

        let seen = translated(&rig, "stream_usage", &script);
        let last = seen["saw"]
            .as_array()
            .and_then(|chunks| chunks.last())
            .expect("chunks");
        assert_eq!(last["choices"], json!([]));
        assert_eq!(last["usage"]["total_tokens"], 131 + 77);

        let seen = translated(&rig, "stream_helper", &Script { split, ..tool() });
        let call = &seen["saw"]["choices"][0]["message"]["tool_calls"][0];
        assert_eq!(
            call["function"]["arguments"], "{\"word\":\"\u{df}\"}",
            "{seen}"
        );
        let ledger = rig.upstream.ledger();
        let events: Vec<_> = ledger
            .served
            .iter()
            .map(|s| event(s.tokens, None))
            .collect();
        let page = assert_metered(&rig, &events);
        let labels = [("provider", CLAUDE), ("model", CLAUDE_MODEL)];
        let first = "coo_llm_time_to_first_token_seconds_count";
        assert_eq!(page.count(first, &labels), 3);
    }
}

#[test]
fn openais_sdk_understands_its_errors() {
    for (status, class, code, seen_status) in [
        (400, "BadRequestError", Value::Null, 400),
        (404, "NotFoundError", json!("model_not_found"), 404),
        (429, "RateLimitError", json!("rate_limit_exceeded"), 429),
        (529, "InternalServerError", json!("overloaded"), 503),
    ] {
        let rig = start(|_| {});
        let script = Script {
            status: Some(status),
            retry_after_secs: Some(7),
            ..Script::default()
        };
        let seen = translated(&rig, "chat", &script);
        assert_eq!(seen["error"], class, "{seen}");
        assert_eq!(seen["status"], seen_status);
        assert_eq!(seen["body"]["code"], code);
        assert_eq!(seen["retry_after"], "7");
    }
    let rig = start(|_| {});
    let script = Script {
        fault: Some(Fault::ErrorEvent),
        ..scripted()
    };
    let seen = translated(&rig, "stream", &script);
    assert_eq!(seen["error"], "APIError", "{seen}");
    assert_eq!(seen["body"]["message"], "Overloaded");
    let page = rig.gateway.metrics_after(1);
    let labels = [("type", "upstream_5xx"), ("provider", CLAUDE)];
    assert_eq!(page.count("coo_llm_errors_total", &labels), 1);
}

#[test]
fn what_has_no_counterpart_is_refused_by_name() {
    let rig = start(|_| {});
    for (case, status, param) in [
        ("untranslatable", 400, "n"),
        ("completions", 400, "model"),
        ("embeddings", 400, "model"),
    ] {
        let seen = translated(&rig, case, &scripted());
        assert_eq!(seen["status"], status, "{seen}");
        assert_eq!(seen["param"], param, "{seen}");
    }
    assert!(rig.upstream.ledger().served.is_empty());
}

#[test]
fn a_chat_falls_back_from_openai_to_it() {
    let rig = start(|config| {
        config.providers[1]
            .more
            .push(format!("model: {CLAUDE_MODEL}"));
        // Keys of their own, so that the upstream can treat them differently.
        config.providers[0].keys = vec!["sk-other".to_owned()];
        let policy =
            "{ retry: { max_attempts: 1 }, fallback: { enabled: true, providers: [claude] } }";
        config.policy = Some(policy.to_owned());
    });
    rig.upstream.key_by(PROVIDER_KEY, Some(scripted()));
    let body = |more: &str| {
        format!(
            r#"{{"model":"{PROVIDER}:{MODEL}","messages":[{{"role":"user","content":"hi"}}]{more}}}"#
        )
    };
    let post = |more: &str| {
        let mut client = rig.gateway.client();
        client.post("/v1/chat/completions", CLIENT_KEY, body(more).as_bytes())
    };
    // The upstream refuses the other provider's key with 401: it goes on to Claude.
    let reply = post("");
    assert_eq!(reply.status, 200, "{}", reply.text());
    assert_eq!(reply.header("x-coo-provider"), Some(CLAUDE));
    assert_eq!(reply.json()["object"], "chat.completion");
    assert_eq!(reply.json()["usage"]["prompt_tokens"], 131);
    // What Claude has no words for stays with the first provider, and its answer.
    let refused = post(r#","n":2"#);
    assert_ne!(refused.status, 400, "{}", refused.text());
    assert_ne!(refused.header("x-coo-provider"), Some(CLAUDE));
    let kinds: Vec<_> = rig
        .upstream
        .ledger()
        .served
        .iter()
        .map(|s| s.kind)
        .collect();
    assert_eq!(
        kinds.iter().filter(|kind| **kind == Kind::Message).count(),
        1
    );
}
