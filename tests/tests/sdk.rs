//! The official OpenAI Python SDK sees through the gateway what it sees without it,
//! and its calls are in `/metrics` as in the upstream's ledger.
//!
//! Needs the built gateway, `python3` with venv, and PyPI on the first run.

use coo_llm_tests::rig::{MODEL, PROVIDER, Rig};
use coo_llm_tests::twice::Sdk;
use coo_llm_tests::upstream::{Fault, Script, Usage};
use serde_json::{Value, json};

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

/// Plays a suite, and compares the meter with the ledger at its end.
fn suite(play: impl FnOnce(&mut Sdk<'_>)) {
    let rig = Rig::start();
    let mut sdk = Sdk::start(&rig, &["openai_sdk.py"], "/v1", PROVIDER);
    play(&mut sdk);
    sdk.assert_metered();
}

#[test]
fn answers() {
    suite(|sdk| {
        let saw = sdk.saw("chat", &scripted());
        let details = &saw["usage"]["prompt_tokens_details"];
        assert_eq!(details["cached_tokens"], 32);
        let content = "Zażółć gęślą jaźń 👩‍👩‍👧‍👦 \u{2028} \u{0} \u{7f} \"\\ 世界";
        let unicode = Script {
            content: Some(content.to_owned()),
            split: 5,
            ..scripted()
        };
        let saw = sdk.saw("chat", &unicode);
        assert_eq!(saw["choices"][0]["message"]["content"], content);
        sdk.saw("stream", &unicode);
        sdk.saw("vision", &scripted());
        sdk.saw("completion", &scripted());
    });
}

#[test]
fn tools_and_structured_answers() {
    suite(|sdk| {
        let arguments = "{\"word\":\"ß\"}";
        let call = Script {
            tool_call: true,
            content: Some(arguments.to_owned()),
            ..scripted()
        };
        let saw = sdk.saw("tools", &call);
        let called = &saw["choices"][0]["message"]["tool_calls"][0];
        assert_eq!(called["function"]["arguments"], arguments);
        sdk.saw("stream_tools", &call);
        let saw = sdk.saw("stream_helper", &call);
        let called = &saw[1]["choices"][0]["message"]["tool_calls"][0];
        assert_eq!(called["function"]["arguments"], arguments);
        let object = Script {
            tool_call: false,
            ..call
        };
        assert_eq!(sdk.saw("structured", &object)[1], "ß");
    });
}

#[test]
fn streams() {
    suite(|sdk| {
        for split in [0, 7] {
            let script = Script {
                split,
                ..scripted()
            };
            let saw = sdk.saw("stream", &script);
            let chunks = saw.as_array().expect("chunks");
            assert_eq!(chunks.len(), 6);
            assert!(chunks.iter().all(|chunk| chunk["usage"].is_null()));
            let saw = sdk.saw("stream_usage", &script);
            let last = saw.as_array().and_then(|chunks| chunks.last());
            assert_eq!(last.expect("chunks")["usage"]["total_tokens"], 131 + 77);
            sdk.saw("completion_stream", &script);
        }
    });
}

#[test]
fn embeddings() {
    suite(|sdk| {
        let script = Script {
            usage: Usage {
                prompt: 9,
                completion: 0,
                ..Usage::default()
            },
            ..Script::default()
        };
        let saw = sdk.saw("embeddings", &script);
        assert_eq!(saw["data"].as_array().map(Vec::len), Some(3));
        assert_eq!(saw["data"][2]["embedding"], json!([0.0, 0.5, -1.0]));
        sdk.saw("embeddings_float", &script);
    });
}

#[test]
fn responses() {
    suite(|sdk| {
        let saw = sdk.saw("responses", &scripted());
        assert_eq!(saw[1], "Hello! How can I assist you today?");
        let saw = sdk.saw("responses_stream", &scripted());
        let last = saw.as_array().and_then(|events| events.last());
        let response = &last.expect("events")["response"];
        assert_eq!(response["usage"]["input_tokens"], 131);
    });
}

#[test]
fn models() {
    suite(|sdk| {
        let saw = sdk.saw("models", &Script::default());
        assert_eq!(saw["listed"], json!([[MODEL, "model"]]));
        assert_eq!(saw["missing"], 404);
        sdk.saw("chat", &scripted());
    });
}

#[test]
fn errors() {
    suite(|sdk| {
        for (status, class) in [
            (400, "BadRequestError"),
            (401, "AuthenticationError"),
            (404, "NotFoundError"),
            (429, "RateLimitError"),
            (500, "InternalServerError"),
            (503, "InternalServerError"),
        ] {
            let script = Script {
                status: Some(status),
                retry_after_secs: (status == 429).then_some(7),
                ..Script::default()
            };
            for case in ["chat", "stream", "responses"] {
                let seen = sdk.same(case, Some(&script));
                let told = (&seen["error"], &seen["status_code"]);
                assert_eq!(told, (&json!(class), &json!(status)));
                if status == 429 {
                    assert_eq!(seen["retry_after"], "7");
                }
            }
        }
    });
}

#[test]
fn streams_that_break_off() {
    suite(|sdk| {
        let broken = |fault| Script {
            fault: Some(fault),
            ..scripted()
        };
        for case in ["stream", "stream_usage", "responses_stream"] {
            let seen = sdk.same(case, Some(&broken(Fault::CloseMidBody)));
            assert_eq!(seen["error"], "APIConnectionError", "{seen}");
            // The first piece of text and the second have come.
            let before = seen["before"].as_array().map(Vec::len);
            assert_eq!(before, Some(3), "{seen}");
        }
        let seen = sdk.same("stream", Some(&broken(Fault::ErrorEvent)));
        assert_eq!(seen["error"], "APIError", "{seen}");
    });
}

/// Of an answer that is not a stream the client has nothing yet, so that it can be told.
#[test]
fn an_answer_that_breaks_off_is_a_502() {
    suite(|sdk| {
        let script = Script {
            fault: Some(Fault::CloseMidBody),
            ..scripted()
        };
        let [direct, through] = sdk.observe("chat", Some(&script));
        assert_eq!(direct["error"], "APIConnectionError", "{direct}");
        assert_eq!(through["error"], "InternalServerError", "{through}");
        assert_eq!(through["status_code"], 502);
        assert_eq!(through["code"], "upstream_protocol_error");
    });
}

/// Two pieces, and the rest never.
fn held() -> Script {
    Script {
        gate: Some("never".to_owned()),
        gate_after_chunks: 2,
        ..scripted()
    }
}

#[test]
fn aborts_end_the_upstreams_work_and_count_what_was_delivered() {
    suite(|sdk| {
        for case in ["abort", "responses_abort", "async_abort"] {
            let saw = sdk.saw(case, &held());
            assert_eq!(saw.as_array().map(Vec::len), Some(3), "{case}");
        }
        let hang = Script {
            fault: Some(Fault::HangBeforeHeaders),
            ..scripted()
        };
        let seen = sdk.same("timeout", Some(&hang));
        assert_eq!(seen["error"], "APITimeoutError");
    });
}

#[test]
fn the_async_client_and_fifty_at_a_time() {
    suite(|sdk| {
        sdk.saw("async_chat", &scripted());
        sdk.saw("async_stream", &scripted());
        let seen = sdk.same("at_a_time", None);
        let saw = seen["saw"].as_array().expect("answers");
        assert_eq!(saw.len(), 50);
        let content = |at: usize| &saw[at]["choices"][0]["message"]["content"];
        assert_eq!(content(48), &json!("Answer 48: ß世👋🏽"));
        let last = saw[49].as_array().and_then(|chunks| chunks.last());
        let usage = last.map(|chunk: &Value| &chunk["usage"]["prompt_tokens"]);
        assert_eq!(usage, Some(&json!(149)));
    });
}
