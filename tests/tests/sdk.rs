//! The official OpenAI Python SDK sees through the gateway what it sees without it,
//! and each call is in `/metrics` with its exact tokens and cost.
//!
//! Needs the built gateway, `python3` with venv, and PyPI on the first run.

use coo_llm_tests::gateway::Gateway;
use coo_llm_tests::oracle::{Event, Oracle, Target};
use coo_llm_tests::python;
use coo_llm_tests::rig::{
    CLIENT, CLIENT_KEY, MODEL, PRICING, PROVIDER, PROVIDER_KEY, Rig, provider_key_id,
};
use coo_llm_tests::upstream::{End, Fault, Script, TokenCounts, Usage};
use serde_json::{Value, json};
use std::process::Command;

/// Counts of which none equals another, so that no two can be swapped unseen.
const USAGE: Usage = Usage {
    prompt: 131,
    completion: 77,
    cached: 32,
    cache_write: 0,
    audio_in: 5,
    reasoning: 13,
    audio_out: 3,
};

fn scripted() -> Script {
    Script {
        usage: USAGE,
        ..Script::default()
    }
}

/// Runs one case; the direct observation and the one through the gateway.
fn observe(rig: &Rig, case: &str, script: &Script) -> (Value, Value) {
    let script = serde_json::to_string(script).expect("a script is JSON");
    let output = Command::new(python::interpreter())
        .arg(python::script("sdk.py"))
        .args([case, &script, &rig.upstream.base_url(), PROVIDER_KEY])
        .args([&format!("http://{}/v1", rig.gateway.addr()), CLIENT_KEY])
        .output()
        .expect("the interpreter runs");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{case}: {stderr}");
    let pair = serde_json::from_slice(&output.stdout);
    let [direct, through]: [Value; 2] = pair.expect("two observations");
    (direct, through)
}

/// What the meter has to say of one successful or failed call of the client.
fn event(tokens: Option<TokenCounts>, error: Option<&'static str>) -> Event {
    Event {
        target: Some(Target {
            provider: PROVIDER.to_owned(),
            model: MODEL.to_owned(),
            key: provider_key_id(),
        }),
        client: Some(CLIENT.to_owned()),
        tokens,
        pricing: Some(PRICING),
        error,
        provider_limited: error == Some("rate_limit"),
    }
}

fn assert_metered(gateway: &Gateway, event: &Event) {
    let mut oracle = Oracle::default();
    oracle.record(event);
    let page = gateway.metrics_after(1);
    assert_eq!(oracle.differences(&page), Vec::<String>::new());
}

/// A call that succeeds: same sight, and the ledger's tokens in the meter.
fn same(case: &str, script: &Script) -> Value {
    let rig = Rig::start();
    let (direct, through) = observe(&rig, case, script);
    assert!(
        direct["saw"].is_object() || direct["saw"].is_array(),
        "{direct}"
    );
    assert_eq!(direct, through, "{case}");
    let served = rig.upstream.ledger().last().clone();
    assert!(served.tokens.is_some(), "the gateway asks for usage");
    assert_metered(&rig.gateway, &event(served.tokens, None));
    direct
}

#[test]
fn chat() {
    let saw = same("chat", &scripted());
    assert_eq!(
        saw["saw"]["usage"]["prompt_tokens_details"]["cached_tokens"],
        32
    );
}

#[test]
fn unicode_both_ways() {
    let script = Script {
        content: Some("Zażółć gęślą jaźń 👩‍👩‍👧‍👦 \u{2028} \u{0} \u{7f} \"\\ 世界".to_owned()),
        split: 5,
        ..scripted()
    };
    same("chat", &script);
    same("stream", &script);
}

#[test]
fn the_request_arrives_as_it_was_sent() {
    let rig = Rig::start();
    let (direct, through) = observe(&rig, "tools", &scripted());
    assert_eq!(direct, through);
    let ledger = rig.upstream.ledger();
    let [direct, through] = &ledger.served[..] else {
        unreachable!("one call each: {:?}", ledger.served);
    };
    assert_eq!(direct.body, through.body);
}

#[test]
fn tools_in_the_request_and_the_answer() {
    let script = Script {
        tool_call: true,
        content: Some("{\"word\":\"ß\"}".to_owned()),
        ..scripted()
    };
    let saw = same("tools", &script);
    let call = &saw["saw"]["choices"][0]["message"]["tool_calls"][0];
    assert_eq!(call["function"]["arguments"], "{\"word\":\"ß\"}");
    same("stream_tools", &script);
}

#[test]
fn stream_without_usage_asked() {
    let saw = same("stream", &scripted());
    let chunks = saw["saw"].as_array().expect("chunks");
    assert_eq!(chunks.len(), 6);
    assert!(chunks.iter().all(|chunk| chunk["usage"].is_null()));
}

#[test]
fn stream_with_usage_asked() {
    let saw = same("stream_usage", &scripted());
    let last = saw["saw"].as_array().and_then(|chunks| chunks.last());
    assert_eq!(last.expect("chunks")["usage"]["total_tokens"], 131 + 77);
}

#[test]
fn completions() {
    same("completion", &scripted());
    same("completion_stream", &scripted());
}

#[test]
fn embeddings() {
    let script = Script {
        usage: Usage {
            prompt: 9,
            completion: 0,
            ..Usage::default()
        },
        ..Script::default()
    };
    let saw = same("embeddings", &script);
    assert_eq!(saw["saw"]["data"].as_array().map(Vec::len), Some(3));
    assert_eq!(saw["saw"]["data"][2]["embedding"], json!([0.0, 0.5, -1.0]));
    same("embeddings_float", &script);
}

#[test]
fn models() {
    let rig = Rig::start();
    let (direct, through) = observe(&rig, "models", &Script::default());
    assert_eq!(direct["saw"]["listed"], json!([[MODEL, "model"]]));
    assert_eq!(direct, through);
}

/// A call that the upstream answers with an error: same sight, right error type.
fn same_error(status: u16, class: &str, error: &'static str) {
    let rig = Rig::start();
    let script = Script {
        status: Some(status),
        retry_after_secs: (status == 429).then_some(7),
        ..Script::default()
    };
    for case in ["chat", "stream"] {
        let (direct, through) = observe(&rig, case, &script);
        assert_eq!(
            (&direct["error"], &direct["status"]),
            (&json!(class), &json!(status))
        );
        assert_eq!(direct, through, "{case}");
    }
    let mut oracle = Oracle::default();
    oracle.record(&event(None, Some(error)));
    oracle.record(&event(None, Some(error)));
    let page = rig.gateway.metrics_after(2);
    assert_eq!(oracle.differences(&page), Vec::<String>::new());
}

#[test]
fn upstream_429() {
    same_error(429, "RateLimitError", "rate_limit");
}

#[test]
fn upstream_500() {
    same_error(500, "InternalServerError", "upstream_5xx");
}

#[test]
fn upstream_400() {
    same_error(400, "BadRequestError", "upstream_4xx");
}

#[test]
fn a_timeout_of_the_client() {
    let rig = Rig::start();
    let script = Script {
        fault: Some(Fault::HangBeforeHeaders),
        ..Script::default()
    };
    let (direct, through) = observe(&rig, "timeout", &script);
    assert_eq!(direct["error"], "APITimeoutError");
    assert_eq!(direct, through);
    rig.upstream.wait("the gateway to let go", |ledger| {
        ledger.served.iter().all(|s| s.end == End::CutByPeer)
    });
    let page = rig.gateway.metrics_after(1);
    let labels = [("type", "client_abort"), ("provider", PROVIDER)];
    assert_eq!(page.count("coo_llm_errors_total", &labels), 1);
}

#[test]
fn an_abort_of_the_client_mid_stream() {
    let rig = Rig::start();
    let script = Script {
        gate: Some("never".to_owned()),
        gate_after_chunks: 2,
        ..scripted()
    };
    let (direct, through) = observe(&rig, "abort", &script);
    assert_eq!(direct["saw"].as_array().map(Vec::len), Some(3));
    assert_eq!(direct, through);
    rig.upstream.wait("the gateway to let go", |ledger| {
        ledger.served.iter().all(|s| s.end == End::CutByPeer)
    });
    let served = rig.upstream.ledger().last().clone();
    assert_eq!((served.chunks_planned, served.chunks_delivered), (4, 2));

    // What was delivered is counted, not nothing: no usage came, so it is an estimate.
    let page = rig.gateway.metrics_after(1);
    let labels = [("type", "client_abort"), ("provider", PROVIDER)];
    assert_eq!(page.count("coo_llm_errors_total", &labels), 1);
    assert_eq!(
        page.count("coo_llm_client_requests_total", &[("client_id", CLIENT)]),
        1
    );
    for kind in ["input", "output"] {
        let labels = [("provider", PROVIDER), ("type", kind)];
        assert!(page.count("coo_llm_tokens_total", &labels) > 0, "{kind}");
    }
    let estimated = [("provider", PROVIDER), ("source", "estimated")];
    assert_eq!(page.count("coo_llm_usage_source_total", &estimated), 1);
}

#[test]
fn an_error_in_the_middle_of_a_stream() {
    let rig = Rig::start();
    let script = Script {
        fault: Some(Fault::ErrorEvent),
        ..scripted()
    };
    let (direct, through) = observe(&rig, "stream", &script);
    assert_eq!(direct["error"], "APIError");
    assert_eq!(direct, through);
    let page = rig.gateway.metrics_after(1);
    assert_eq!(
        page.count("coo_llm_errors_total", &[("provider", PROVIDER)]),
        1
    );
}
