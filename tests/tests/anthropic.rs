//! An Anthropic provider: its own SDK passes through, OpenAI's SDK is translated, and
//! each call is in `/metrics` with the tokens of the upstream's ledger.
//!
//! Needs the built gateway, `python3` with venv, and PyPI on the first run.

use coo_llm_tests::exposition::Exposition;
use coo_llm_tests::gateway::{Config, Provider};
use coo_llm_tests::oracle::{Event, Oracle, Target, key_id};
use coo_llm_tests::python;
use coo_llm_tests::rig::{CLIENT, CLIENT_KEY, MODEL, PRICING, PROVIDER, PROVIDER_KEY, Rig};
use coo_llm_tests::twice::Sdk;
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

/// Plays a suite with Anthropic's own SDK.
fn suite(play: impl FnOnce(&mut Sdk<'_>)) {
    let rig = start(|_| {});
    let mut sdk = Sdk::start(&rig, &["anthropic_sdk.py"], "", CLAUDE);
    play(&mut sdk);
    sdk.assert_metered();
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

#[test]
fn messages_pass() {
    suite(|sdk| {
        let saw = sdk.saw("message", &scripted());
        assert_eq!(saw["usage"]["cache_creation_input_tokens"], 9);
        sdk.saw("vision", &scripted());
        let saw = sdk.saw("tools", &tool());
        assert_eq!(saw["content"][1]["input"], json!({"word": "\u{df}"}));
        // Counted for nothing.
        let saw = sdk.saw("count", &scripted());
        assert_eq!(saw["input_tokens"], 131);
    });
}

#[test]
fn streams_pass() {
    suite(|sdk| {
        for split in [0, 7] {
            let script = Script {
                split,
                ..scripted()
            };
            sdk.saw("events", &script);
            let saw = sdk.saw("stream", &script);
            assert_eq!(saw["final"]["usage"]["output_tokens"], 77);
            let saw = sdk.saw("stream", &Script { split, ..tool() });
            assert_eq!(saw["final"]["content"][1]["input"]["word"], "\u{df}");
        }
    });
}

#[test]
fn the_async_client_and_fifty_at_a_time() {
    suite(|sdk| {
        sdk.saw("async_message", &scripted());
        sdk.saw("async_events", &scripted());
        let seen = sdk.same("at_a_time", None);
        let saw = seen["saw"].as_array().expect("answers");
        assert_eq!(saw.len(), 50);
        assert_eq!(
            saw[48]["content"][0]["text"],
            "Answer 48: \u{df}\u{4e16}\u{1f44b}\u{1f3fd}"
        );
        assert_eq!(saw[48]["usage"]["cache_read_input_tokens"], 48);
    });
}

#[test]
fn what_arrives_is_what_was_sent_and_the_key() {
    let rig = start(|_| {});
    let mut sdk = Sdk::start(&rig, &["anthropic_sdk.py"], "", CLAUDE);
    sdk.saw("message", &scripted());
    let ledger = rig.upstream.ledger();
    let [alone, passed] = &ledger.served[..] else {
        unreachable!("one call each: {:?}", ledger.served);
    };
    assert_eq!(passed.header("x-api-key"), Some(PROVIDER_KEY));
    assert_eq!(passed.header("authorization"), None);
    let version = alone.header("anthropic-version");
    assert!(version.is_some());
    assert_eq!(passed.header("anthropic-version"), version);
    sdk.assert_metered();
}

#[test]
fn its_errors_pass() {
    suite(|sdk| {
        for (status, class) in [
            (400, "BadRequestError"),
            (401, "AuthenticationError"),
            (404, "NotFoundError"),
            (429, "RateLimitError"),
            (500, "InternalServerError"),
            (529, "OverloadedError"),
        ] {
            let script = Script {
                status: Some(status),
                retry_after_secs: (status == 429).then_some(7),
                ..Script::default()
            };
            for case in ["message", "events"] {
                let seen = sdk.same(case, Some(&script));
                assert_eq!(seen["error"], class, "{seen}");
                if status == 429 {
                    assert_eq!(seen["retry_after"], "7");
                }
            }
        }
    });
}

#[test]
fn streams_that_break_off_pass_as_far_as_they_came() {
    suite(|sdk| {
        for (fault, class) in [
            (Fault::CloseMidBody, "RemoteProtocolError"),
            (Fault::ErrorEvent, "APIStatusError"),
        ] {
            let script = Script {
                fault: Some(fault),
                ..scripted()
            };
            let seen = sdk.same("events", Some(&script));
            assert_eq!(seen["error"], class, "{seen}");
            assert!(
                seen["before"]
                    .as_array()
                    .is_some_and(|events| events.len() > 5)
            );
        }
    });
}

#[test]
fn an_abort_counts_what_was_delivered() {
    suite(|sdk| {
        let held = Script {
            gate: Some("never".to_owned()),
            gate_after_chunks: 2,
            ..scripted()
        };
        sdk.saw("abort", &held);
        sdk.saw("async_abort", &held);
        let hang = Script {
            fault: Some(Fault::HangBeforeHeaders),
            ..scripted()
        };
        let seen = sdk.same("timeout", Some(&hang));
        assert_eq!(seen["error"], "APITimeoutError");
    });
}

#[test]
fn the_gateways_own_errors_have_anthropics_shape() {
    let rig = start(|_| {});
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
    suite(|sdk| {
        // In words of its own, and by the same exception.
        let [direct, through] = sdk.observe("wrong_key", Some(&scripted()));
        for seen in [direct, through] {
            assert_eq!(seen["error"], "AuthenticationError", "{seen}");
            assert_eq!(seen["body"]["error"]["type"], "authentication_error");
        }
        sdk.refused(None, "auth");
        sdk.saw("message", &scripted());
    });
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
    let image = &sent["messages"][0]["content"][1];
    assert_eq!(image["type"], "image");
    let source = &image["source"];
    assert_eq!(
        (&source["type"], &source["media_type"]),
        (&json!("base64"), &json!("image/png"))
    );
    let data = source["data"].as_str().expect("base64");
    assert_eq!(data.len(), 1 << 20);
    assert!(data.starts_with("iVBORw0KGgoAz9Az9") && data.ends_with("Az9=="));
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
        (401, "AuthenticationError", json!("invalid_api_key"), 401),
        (404, "NotFoundError", json!("model_not_found"), 404),
        (500, "InternalServerError", Value::Null, 500),
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
fn openais_sdk_sees_where_a_stream_breaks_off() {
    let rig = start(|_| {});
    let script = Script {
        fault: Some(Fault::CloseMidBody),
        ..scripted()
    };
    let seen = translated(&rig, "stream", &script);
    assert_eq!(seen["error"], "APIConnectionError", "{seen}");
    let served = rig.upstream.ledger().last().clone();
    assert_eq!((served.end, served.chunks_delivered), (End::CutByScript, 2));
    assert_delivered(&rig, "upstream_protocol");
}

#[test]
fn openais_sdk_leaves_a_translated_stream() {
    for case in ["abort", "async_abort"] {
        let rig = start(|_| {});
        let script = Script {
            gate: Some("never".to_owned()),
            gate_after_chunks: 2,
            ..scripted()
        };
        let seen = translated(&rig, case, &script);
        let texts: Vec<_> = seen["saw"]
            .as_array()
            .expect("chunks")
            .iter()
            .filter_map(|chunk| chunk["choices"][0]["delta"]["content"].as_str())
            .collect();
        assert_eq!(texts.concat(), "Hello! How can I ");
        rig.upstream.wait("the gateway to let go", |ledger| {
            ledger.last().end == End::CutByPeer
        });
        assert_delivered(&rig, "client_abort");
    }
}

/// One request that failed like that after a thought and two pieces of text: the input is
/// what the first usage said, the output a token a delta.
fn assert_delivered(rig: &Rig, error: &'static str) {
    let tokens = TokenCounts {
        output: 3,
        reasoning: 0,
        ..TokenCounts::from_usage(&USAGE)
    };
    let mut oracle = Oracle::default();
    oracle.record_from(&event(Some(tokens), Some(error)), Some("estimated"));
    let page = rig.gateway.metrics_after(1);
    assert_eq!(oracle.differences(&page), Vec::<String>::new());
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

#[test]
fn what_it_says_is_left_of_a_key_is_shown() {
    let rig = start(|_| {});
    let said = [
        ("requests", 49),
        ("tokens", 50_000),
        ("input-tokens", 39_000),
        ("output-tokens", 11_000),
    ];
    let header = |(kind, left): (&str, u64)| {
        (
            format!("anthropic-ratelimit-{kind}-remaining"),
            left.to_string(),
        )
    };
    let script = Script {
        headers: said.map(header).to_vec(),
        ..scripted()
    };
    rig.upstream.key_by(PROVIDER_KEY, Some(script));
    let body = json!({"model": CLAUDE_MODEL, "max_tokens": 9, "messages": []});
    let mut client = rig.gateway.client();
    let reply = client.post("/v1/messages", CLIENT_KEY, body.to_string().as_bytes());
    assert_eq!(reply.status, 200, "{}", reply.text());
    let page = rig.gateway.metrics_after(1);
    let key = key_id(CLAUDE, PROVIDER_KEY);
    for (kind, left) in said {
        let labels = [("key", key.as_str()), ("kind", &kind.replace('-', "_"))];
        let name = "coo_llm_upstream_ratelimit_remaining";
        assert_eq!(page.count(name, &labels), left, "{kind}");
    }
}
