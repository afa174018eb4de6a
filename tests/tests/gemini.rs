//! A Gemini provider, its own API and OpenAI's; and OpenAI's Responses API. Each answer
//! comes byte for byte, and is in `/metrics` with the tokens of the upstream's ledger.

use coo_llm_tests::client::Reply;
use coo_llm_tests::gateway::Provider;
use coo_llm_tests::oracle::{Event, Oracle, Target, key_id};
use coo_llm_tests::rig::{CHAT, CLIENT, CLIENT_KEY, MODEL, PRICING, PROVIDER, PROVIDER_KEY, Rig};
use coo_llm_tests::upstream::{Kind, Script, TokenCounts, Usage};
use serde_json::Value;

const GEMINI: &str = "gemini";
const GEMINI_MODEL: &str = "gemini-test";

const USAGE: Usage = Usage {
    prompt: 131,
    completion: 77,
    cached: 32,
    cache_write: 0,
    audio_in: 5,
    reasoning: 13,
    audio_out: 3,
};

fn start() -> Rig {
    let rig = Rig::start_with(|config| {
        let url = config.providers[0].base_url.clone();
        let gemini = Provider::new(GEMINI, &url, PROVIDER_KEY, GEMINI_MODEL, PRICING);
        config.providers.push(gemini.of_type("gemini"));
    });
    rig.upstream.key_by(PROVIDER_KEY, Some(script(0)));
    rig
}

fn script(split: usize) -> Script {
    Script {
        usage: USAGE,
        split,
        ..Script::default()
    }
}

fn assert_metered(rig: &Rig, provider: &str, model: &str) {
    let mut oracle = Oracle::default();
    let served = rig.upstream.ledger().served;
    for served in &served {
        assert_eq!(served.tokens, Some(TokenCounts::from_usage(&USAGE)));
        oracle.record(&Event {
            target: Some(Target {
                provider: provider.to_owned(),
                model: model.to_owned(),
                key: key_id(provider, PROVIDER_KEY),
            }),
            client: Some(CLIENT.to_owned()),
            tokens: served.tokens,
            pricing: Some(PRICING),
            error: None,
            provider_limited: false,
        });
    }
    let page = rig.gateway.metrics_after(served.len() as u64);
    assert_eq!(oracle.differences(&page), Vec::<String>::new());
}

/// A request of Gemini's, with the client's key in one of the places for it.
fn generate(rig: &Rig, path: &str, key: (&str, &str)) -> Reply {
    let body = br#"{"contents":[{"parts":[{"text":"hi"}]}],"odd":  [1.0,null]}"#;
    let headers = [key, ("content-type", "application/json")];
    let reply = rig.gateway.client().request("POST", path, &headers, body);
    let reply = reply.expect("an answer");
    if reply.status == 200 {
        let served = rig.upstream.ledger().last().clone();
        assert_eq!(served.kind, Kind::Generate);
        assert_eq!(served.key, PROVIDER_KEY);
        assert_eq!(&*served.body, body);
        assert_eq!(reply.body, served.sent, "byte for byte");
        assert_eq!(served.header("authorization"), None);
    }
    reply
}

#[test]
fn its_own_api_passes() {
    for split in [0, 9] {
        let rig = start();
        rig.upstream.key_by(PROVIDER_KEY, Some(script(split)));
        let bearer = format!("Bearer {CLIENT_KEY}");
        let path = format!("/v1beta/models/{GEMINI_MODEL}");
        let whole = generate(
            &rig,
            &format!("{path}:generateContent"),
            ("x-goog-api-key", CLIENT_KEY),
        );
        assert_eq!(whole.status, 200, "{}", whole.text());
        assert!(whole.header("x-coo-cost-usd").is_some());
        let stream = format!("{path}:streamGenerateContent");
        let array = generate(&rig, &stream, ("x-api-key", CLIENT_KEY));
        assert_eq!(array.json().as_array().map(Vec::len), Some(4));
        let sse = generate(
            &rig,
            &format!("{stream}?alt=sse&key=none"),
            ("authorization", &bearer),
        );
        assert_eq!(sse.events().len(), 4, "{}", sse.text());
        assert_metered(&rig, GEMINI, GEMINI_MODEL);
        let page = rig.gateway.metrics_after(3);
        let labels = [("provider", GEMINI), ("model", GEMINI_MODEL)];
        assert_eq!(
            page.count("coo_llm_time_to_first_token_seconds_count", &labels),
            2
        );
    }
}

#[test]
fn a_refusal_has_googles_shape() {
    let rig = start();
    for (path, key, status, name) in [
        (
            "/v1beta/models/gemini-test:generateContent",
            "sk-wrong",
            401,
            "UNAUTHENTICATED",
        ),
        (
            "/v1beta/models/no%3Athing:generateContent",
            CLIENT_KEY,
            404,
            "NOT_FOUND",
        ),
        (
            "/v1beta/models/m-chat:generateContent",
            CLIENT_KEY,
            400,
            "INVALID_ARGUMENT",
        ),
    ] {
        let reply = generate(&rig, path, ("x-goog-api-key", key));
        assert_eq!(reply.status, status, "{path}");
        assert_eq!(reply.json()["error"]["status"], name);
    }
}

#[test]
fn openais_endpoint_of_it_passes() {
    let rig = start();
    let body = format!(r#"{{"model":"{GEMINI_MODEL}","messages":[]}}"#);
    let reply = rig.gateway.client().post(CHAT, CLIENT_KEY, body.as_bytes());
    assert_eq!(reply.status, 200, "{}", reply.text());
    let served = rig.upstream.ledger().last().clone();
    assert_eq!(
        (served.kind, served.key.as_str()),
        (Kind::Chat, PROVIDER_KEY)
    );
    assert_metered(&rig, GEMINI, GEMINI_MODEL);
}

#[test]
fn responses_pass_whole_and_streamed() {
    let rig = start();
    for (stream, split) in [("false", 0), ("true", 0), ("true", 11)] {
        rig.upstream.key_by(PROVIDER_KEY, Some(script(split)));
        let body = format!(r#"{{"model":"{MODEL}","input":"hi","stream":{stream}}}"#);
        let mut client = rig.gateway.client();
        let reply = client.post("/v1/responses", CLIENT_KEY, body.as_bytes());
        assert_eq!(reply.status, 200, "{}", reply.text());
        let served = rig.upstream.ledger().last().clone();
        assert_eq!(served.kind, Kind::Response);
        assert_eq!(&*served.body, body.as_bytes());
        assert_eq!(reply.body, served.sent, "byte for byte");
        if stream == "false" {
            let json: Value = reply.json();
            assert_eq!(json["usage"]["total_tokens"], 131 + 77);
        }
    }
    assert_metered(&rig, PROVIDER, MODEL);
}
