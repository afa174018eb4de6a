//! LangChain's chat models see through the gateway what they see without it, and their
//! calls are in `/metrics` as in the upstream's ledger.
//!
//! Needs the built gateway, `python3` with venv, and PyPI on the first run.

use coo_llm_tests::gateway::Provider;
use coo_llm_tests::rig::{PRICING, PROVIDER, PROVIDER_KEY, Rig};
use coo_llm_tests::twice::Sdk;
use coo_llm_tests::upstream::{Fault, Script, Usage};
use serde_json::{Value, json};

/// The Anthropic provider beside the usual one, at the same upstream.
const CLAUDE: &str = "claude";

/// Counts of which none equals another, so that no two can be swapped unseen.
fn scripted() -> Script {
    Script {
        usage: Usage {
            prompt: 131,
            completion: 77,
            cached: 32,
            cache_write: 0,
            audio_in: 0,
            reasoning: 13,
            audio_out: 0,
        },
        ..Script::default()
    }
}

/// Plays a suite with the chat model of `api`.
fn suite(api: &str, play: impl FnOnce(&mut Sdk<'_>)) {
    let rig = Rig::start_with(|config| {
        let url = config.providers[0].base_url.clone();
        let claude = Provider::new(CLAUDE, &url, PROVIDER_KEY, "claude-test", PRICING);
        config.providers.push(claude.of_type("anthropic"));
    });
    let (base, provider) = match api {
        "openai" => ("/v1", PROVIDER),
        _ => ("", CLAUDE),
    };
    let mut sdk = Sdk::start(&rig, &["langchain_sdk.py", api], base, provider);
    play(&mut sdk);
    sdk.assert_metered();
}

fn last(saw: &Value) -> &Value {
    let last = saw.as_array().and_then(|pieces| pieces.last());
    last.expect("the sum of a stream")
}

/// What both chat models are asked for.
fn all_cases(sdk: &mut Sdk<'_>) {
    let saw = sdk.saw("invoke", &scripted());
    assert_eq!(saw[1]["input_tokens"], 131, "{saw}");
    assert_eq!(saw[1]["output_tokens"], 77);
    assert_eq!(saw[1]["input_token_details"]["cache_read"], 32);
    sdk.saw("vision", &scripted());
    for split in [0, 7] {
        let script = Script {
            split,
            ..scripted()
        };
        let saw = sdk.saw("stream", &script);
        let usage = &last(&saw)["usage_metadata"];
        assert_eq!(usage["output_tokens"], 77, "{saw}");
        let saw = sdk.saw("stream_without_usage", &script);
        assert_eq!(last(&saw)["usage_metadata"], Value::Null);
    }
    let call = Script {
        tool_call: true,
        content: Some("{\"word\":\"ß\"}".to_owned()),
        ..scripted()
    };
    let saw = sdk.saw("tools", &call);
    assert_eq!(saw[0][0]["args"], json!({"word": "ß"}));
    let saw = sdk.saw("tools_stream", &call);
    assert_eq!(last(&saw)["tool_calls"][0]["args"], json!({"word": "ß"}));

    sdk.saw("async_invoke", &scripted());
    sdk.saw("async_stream", &scripted());
    let seen = sdk.same("at_a_time", None);
    assert_eq!(seen["saw"].as_array().map(Vec::len), Some(50), "{seen}");

    for status in [400, 401, 404, 429, 500] {
        let script = Script {
            status: Some(status),
            retry_after_secs: (status == 429).then_some(7),
            ..Script::default()
        };
        for case in ["invoke", "stream"] {
            let seen = sdk.same(case, Some(&script));
            assert_eq!(seen["status_code"], status, "{case}: {seen}");
            if status == 429 {
                assert_eq!(seen["retry_after"], "7", "{case}: {seen}");
            }
        }
    }
    let broken = Script {
        fault: Some(Fault::CloseMidBody),
        ..scripted()
    };
    let seen = sdk.same("stream", Some(&broken));
    assert!(seen["error"].is_string(), "{seen}");
    let before = seen["before"].as_array().map_or(0, Vec::len);
    assert!(before >= 2, "{seen}");

    let held = Script {
        gate: Some("never".to_owned()),
        gate_after_chunks: 2,
        ..scripted()
    };
    let saw = sdk.saw("abort", &held);
    assert!(saw.as_array().is_some_and(|pieces| pieces.len() >= 2));
}

#[test]
fn chat_openai() {
    suite("openai", |sdk| {
        all_cases(sdk);
        let object = Script {
            content: Some("{\"word\":\"ß\"}".to_owned()),
            ..scripted()
        };
        assert_eq!(sdk.saw("structured", &object), "ß");
        sdk.saw("responses", &scripted());
        let saw = sdk.saw("responses_stream", &scripted());
        assert_eq!(last(&saw)["usage_metadata"]["input_tokens"], 131);
    });
}

#[test]
fn chat_anthropic() {
    suite("anthropic", |sdk| {
        all_cases(sdk);
        let call = Script {
            tool_call: true,
            content: Some("{\"word\":\"ß\"}".to_owned()),
            ..scripted()
        };
        assert_eq!(sdk.saw("structured", &call), "ß");
    });
}
