use serde_json::{Value, json};

use super::*;
use crate::wire::json_usage;
use crate::wire::sse::{SseMode, SseUsage};
use crate::wire::usage::UsageOutcome;

const NOW_UNIX_S: u64 = 1_732_400_000;

fn calm() -> SimProfile {
    SimProfile {
        error_rate: 0.0,
        ..SimProfile::default()
    }
}

fn reply(simulator: &mut Simulator, endpoint: SimEndpoint, body: &Value) -> SimReply {
    let body = body.to_string();
    let request = SimRequest::parse(endpoint, body.as_bytes()).expect("a sound request");
    simulator.reply(&request, NOW_UNIX_S)
}

fn json_of(reply: SimReply) -> Bytes {
    match reply.content {
        SimContent::Json(body) => body,
        SimContent::Stream(_) => Bytes::new(),
    }
}

fn frames_of(reply: SimReply) -> Vec<SimFrame> {
    match reply.content {
        SimContent::Stream(stream) => stream.collect(),
        SimContent::Json(_) => Vec::new(),
    }
}

#[test]
fn a_body_reports_the_tokens_of_the_ledger() {
    let mut simulator = Simulator::new(calm(), 1);
    for endpoint in [
        SimEndpoint::ChatCompletions,
        SimEndpoint::Completions,
        SimEndpoint::Embeddings,
    ] {
        for _ in 0..200 {
            let body = json!({"model": "sim\"é", "prompt": "x", "input": ["a", "b"]});
            let reply = reply(&mut simulator, endpoint, &body);
            assert_eq!((reply.status, reply.retry_after_s), (200, None));
            let tokens = reply.tokens.expect("an answer has tokens");
            let facts = json_usage::scan(&json_of(reply));
            assert_eq!(facts.usage, UsageOutcome::Reported(tokens));
            assert_eq!(facts.model.as_deref(), Some("sim\"é"));
            assert!(facts.is_whole && !facts.has_error);
            let prompt = tokens.input + tokens.cached_input;
            // `"x"` and `["a","b"]` have 12 bytes.
            assert_eq!(prompt, 3);
        }
    }
}

#[test]
fn a_stream_reports_the_tokens_of_the_ledger() {
    let mut simulator = Simulator::new(calm(), 2);
    for endpoint in [SimEndpoint::ChatCompletions, SimEndpoint::Completions] {
        for asks_usage in [true, false] {
            let body = json!({"model": "sim", "stream": true,
                              "stream_options": {"include_usage": asks_usage}});
            let reply = reply(&mut simulator, endpoint, &body);
            let tokens = reply.tokens.expect("an answer has tokens");
            let mut sse = SseUsage::new(SseMode::Observe);
            for frame in frames_of(reply) {
                sse.push(frame.bytes);
            }
            let facts = sse.facts();
            let expected = if asks_usage {
                UsageOutcome::Reported(tokens)
            } else {
                UsageOutcome::Missing
            };
            assert_eq!(facts.usage, expected);
            assert_eq!(facts.deltas, tokens.output);
            assert!(facts.is_done && facts.finish_reason.is_some());
            assert_eq!(facts.unreadable_events, 0);
        }
    }
}

#[test]
fn hiding_the_usage_gives_what_was_not_asked_for() {
    let stream = |asks_usage: bool| {
        let body = json!({"model": "sim", "stream": true,
                          "stream_options": {"include_usage": asks_usage}});
        frames_of(reply(
            &mut Simulator::new(calm(), 3),
            SimEndpoint::ChatCompletions,
            &body,
        ))
    };
    let mut sse = SseUsage::new(SseMode::HideUsage);
    let hidden: Vec<u8> = stream(true)
        .into_iter()
        .flat_map(|frame| sse.push(frame.bytes).forward)
        .collect();
    let plain: Vec<u8> = stream(false)
        .into_iter()
        .flat_map(|frame| frame.bytes)
        .collect();
    assert_eq!(String::from_utf8(hidden), String::from_utf8(plain));
}

#[test]
fn equal_seeds_give_equal_answers() {
    let run = |seed| {
        let mut simulator = Simulator::new(SimProfile::default(), seed);
        (0..50)
            .map(|_| {
                let body = json!({"model": "sim"});
                let reply = reply(&mut simulator, SimEndpoint::ChatCompletions, &body);
                (reply.status, reply.after, json_of(reply))
            })
            .collect::<Vec<_>>()
    };
    assert_eq!(run(9), run(9));
    assert_ne!(run(9), run(10));
}

#[test]
fn errors_come_at_their_rate_and_in_shape() {
    let profile = SimProfile {
        error_rate: 0.2,
        rate_limit_share: 0.25,
        ..SimProfile::default()
    };
    let mut simulator = Simulator::new(profile, 4);
    let mut counts = std::collections::BTreeMap::new();
    for _ in 0..10_000 {
        let reply = reply(
            &mut simulator,
            SimEndpoint::ChatCompletions,
            &json!({"model": "sim"}),
        );
        *counts.entry(reply.status).or_insert(0_u32) += 1;
        assert_eq!(reply.retry_after_s.is_some(), reply.status == 429);
        assert_eq!(reply.tokens.is_some(), reply.status == 200);
        let is_error = reply.status != 200;
        assert_eq!(json_usage::scan(&json_of(reply)).has_error, is_error);
    }
    // Four standard deviations of the binomial: 0.05 * 10,000 and 0.15 * 10,000.
    assert!(counts[&429].abs_diff(500) < 88, "{counts:?}");
    assert!(counts[&500].abs_diff(1500) < 143, "{counts:?}");
}

#[test]
fn the_latency_has_its_median() {
    let mut simulator = Simulator::new(calm(), 5);
    let mut waits: Vec<Duration> = (0..2001)
        .map(|_| {
            reply(
                &mut simulator,
                SimEndpoint::Completions,
                &json!({"model": "m"}),
            )
            .after
        })
        .collect();
    waits.sort_unstable();
    let median_ms = waits[1000].as_secs_f64() * 1e3;
    assert!((74.0..86.0).contains(&median_ms), "{median_ms} ms");
    assert!(waits.iter().all(|wait| *wait <= SIM_WAIT_MAX));
}

#[test]
fn a_limit_cuts_the_answer() {
    let mut simulator = Simulator::new(
        SimProfile {
            reasoning_rate: 0.5,
            ..calm()
        },
        6,
    );
    for limit in ["max_tokens", "max_completion_tokens"] {
        for _ in 0..50 {
            let body = json!({"model": "m", limit: 3});
            let reply = reply(&mut simulator, SimEndpoint::ChatCompletions, &body);
            let tokens = reply.tokens.expect("an answer has tokens");
            assert!(tokens.output + tokens.reasoning <= 3);
            let body: Value = serde_json::from_slice(&json_of(reply)).expect("JSON");
            let content = body["choices"][0]["message"]["content"]
                .as_str()
                .expect("text");
            assert_eq!(content.split_whitespace().count() as u64, tokens.output);
            if tokens.output + tokens.reasoning == 3 {
                continue;
            }
            assert_eq!(body["choices"][0]["finish_reason"], "stop");
        }
    }
}

#[test]
fn embeddings_have_one_vector_an_input() {
    let mut simulator = Simulator::new(calm(), 7);
    for (input, vectors) in [
        (json!("one"), 1),
        (json!(["one", "two", "three"]), 3),
        (json!([1, 0, 3]), 1),
        (json!([[1, 2], [3]]), 2),
    ] {
        for format in ["float", "base64"] {
            let body = json!({"model": "m", "input": input, "dimensions": 8,
                              "encoding_format": format});
            let reply = reply(&mut simulator, SimEndpoint::Embeddings, &body);
            let body: Value = serde_json::from_slice(&json_of(reply)).expect("JSON");
            let data = body["data"].as_array().expect("an array");
            assert_eq!(data.len(), vectors);
            for (index, item) in data.iter().enumerate() {
                assert_eq!(item["index"], index);
                match &item["embedding"] {
                    Value::Array(floats) => assert_eq!((floats.len(), format), (8, "float")),
                    // 8 floats of 4 bytes are 32 bytes, which take 44 base64 digits.
                    coded => assert_eq!(coded.as_str().map(str::len), Some(44)),
                }
            }
        }
    }
    for input in [json!(null), json!([]), json!(7)] {
        let reply = reply(
            &mut simulator,
            SimEndpoint::Embeddings,
            &json!({"model": "m", "input": input}),
        );
        assert_eq!(reply.status, 400);
    }
}
