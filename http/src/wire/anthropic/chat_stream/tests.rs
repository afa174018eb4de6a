use bytes::Bytes;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::wire::UsageDialect;
use crate::wire::arbitrary_json::{cut, text, value};
use crate::wire::sse::{EVENT_BYTES_MAX, FinishReason, SseFacts, SseMode, SseUsage};

fn events(events: &[Value]) -> String {
    events
        .iter()
        .map(|event| {
            let name = event["type"].as_str().unwrap_or("x");
            format!("event: {name}\ndata: {event}\n\n")
        })
        .collect()
}

fn run<'a>(include_usage: bool, pieces: impl IntoIterator<Item = &'a [u8]>) -> (String, SseFacts) {
    let mut sse = SseUsage::translating(ChatStream::new(17, include_usage));
    let mut out = Vec::new();
    let mut first_tokens = 0;
    for piece in pieces {
        let step = sse.push(Bytes::copy_from_slice(piece));
        out.extend_from_slice(&step.forward);
        first_tokens += u32::from(step.has_first_token);
    }
    let step = sse.finish();
    out.extend_from_slice(&step.forward);
    first_tokens += u32::from(step.has_first_token);
    assert_eq!(first_tokens, u32::from(sse.facts().has_token));
    (String::from_utf8(out).expect("UTF-8"), *sse.facts())
}

/// The data of the events, `[DONE]` as a text.
fn data(stream: &str) -> Vec<Value> {
    stream
        .split_terminator("\n\n")
        .filter(|event| !event.starts_with(':'))
        .map(|event| {
            let data = event.strip_prefix("data: ").expect("an event of one line");
            if data == "[DONE]" {
                return json!("[DONE]");
            }
            serde_json::from_str(data).expect("JSON")
        })
        .collect()
}

fn story() -> Vec<Value> {
    vec![
        json!({"type": "message_start", "message": {"id": "msg_1", "type": "message", "role": "assistant",
            "content": [], "model": "claude-x", "stop_reason": null,
            "usage": {"input_tokens": 25, "cache_read_input_tokens": 7, "output_tokens": 1}}}),
        json!({"type": "content_block_start", "index": 0, "content_block": {"type": "thinking", "thinking": ""}}),
        json!({"type": "content_block_delta", "index": 0, "delta": {"type": "thinking_delta", "thinking": "hm"}}),
        json!({"type": "content_block_delta", "index": 0, "delta": {"type": "signature_delta", "signature": "s"}}),
        json!({"type": "content_block_stop", "index": 0}),
        json!({"type": "content_block_start", "index": 1, "content_block": {"type": "text", "text": ""}}),
        json!({"type": "ping"}),
        json!({"type": "content_block_delta", "index": 1, "delta": {"type": "text_delta", "text": "Hello \"you\"\n"}}),
        json!({"type": "content_block_stop", "index": 1}),
        json!({"type": "content_block_start", "index": 2,
            "content_block": {"type": "server_tool_use", "id": "srv", "name": "web_search", "input": {}}}),
        json!({"type": "content_block_delta", "index": 2, "delta": {"type": "input_json_delta", "partial_json": "{}"}}),
        json!({"type": "content_block_stop", "index": 2}),
        json!({"type": "content_block_start", "index": 3,
            "content_block": {"type": "tool_use", "id": "toolu_1", "name": "weather", "input": {}}}),
        json!({"type": "content_block_delta", "index": 3, "delta": {"type": "input_json_delta", "partial_json": ""}}),
        json!({"type": "content_block_delta", "index": 3, "delta": {"type": "input_json_delta", "partial_json": "{\"city\":"}}),
        json!({"type": "content_block_delta", "index": 3, "delta": {"type": "input_json_delta", "partial_json": "\"K\"}"}}),
        json!({"type": "content_block_stop", "index": 3}),
        json!({"type": "content_block_start", "index": 4,
            "content_block": {"type": "tool_use", "id": "toolu_2", "name": "now", "input": {}}}),
        json!({"type": "content_block_stop", "index": 4}),
        json!({"type": "message_delta", "delta": {"stop_reason": "tool_use", "stop_sequence": null},
            "usage": {"output_tokens": 20}}),
        json!({"type": "message_delta", "delta": {}, "usage": {"output_tokens": 30}}),
        json!({"type": "message_stop"}),
    ]
}

fn delta(delta: &Value) -> Value {
    json!({"id": "msg_1", "object": "chat.completion.chunk", "created": 17, "model": "claude-x",
        "choices": [{"index": 0, "delta": delta, "logprobs": null, "finish_reason": null}]})
}

#[test]
fn a_stream_is_told_again() {
    let (out, facts) = run(false, [events(&story()).as_bytes()]);
    let mut finish = delta(&json!({}));
    finish["choices"][0]["finish_reason"] = json!("tool_calls");
    let expected = [
        delta(&json!({"role": "assistant", "content": ""})),
        delta(&json!({"reasoning_content": "hm"})),
        delta(&json!({"content": "Hello \"you\"\n"})),
        delta(
            &json!({"tool_calls": [{"index": 0, "id": "toolu_1", "type": "function",
            "function": {"name": "weather", "arguments": ""}}]}),
        ),
        delta(&json!({"tool_calls": [{"index": 0, "function": {"arguments": "{\"city\":"}}]})),
        delta(&json!({"tool_calls": [{"index": 0, "function": {"arguments": "\"K\"}"}}]})),
        delta(
            &json!({"tool_calls": [{"index": 1, "id": "toolu_2", "type": "function",
            "function": {"name": "now", "arguments": ""}}]}),
        ),
        delta(&json!({"tool_calls": [{"index": 1, "function": {"arguments": "{}"}}]})),
        finish,
        json!("[DONE]"),
    ];
    assert_eq!(data(&out), expected);
    assert!(out.contains(": ping\n\n"));
    let tokens = facts.usage.tokens().expect("usage");
    assert_eq!(
        (tokens.input, tokens.cached_input, tokens.output),
        (25, 7, 30)
    );
    assert_eq!(facts.finish_reason, Some(FinishReason::ToolCalls));
    assert_eq!((facts.deltas, facts.unreadable_events), (5, 0));
    assert!(facts.is_done && !facts.has_error && !facts.is_truncated);
}

#[test]
fn usage_comes_last_where_it_was_asked_for() {
    let (out, _) = run(true, [events(&story()).as_bytes()]);
    let all = data(&out);
    let [chunks @ .., usage, done] = all.as_slice() else {
        unreachable!("more than two events");
    };
    assert_eq!(done, "[DONE]");
    assert_eq!(usage["choices"], json!([]));
    assert_eq!(
        usage["usage"],
        json!({"prompt_tokens": 32, "completion_tokens": 30, "total_tokens": 62,
            "prompt_tokens_details": {"cached_tokens": 7, "cache_write_tokens": 0},
            "completion_tokens_details": {"reasoning_tokens": 0}})
    );
    assert!(chunks.iter().all(|chunk| chunk["usage"].is_null()));
}

#[test]
fn the_first_token_is_the_first_delta_that_says_something() {
    let mut sse = SseUsage::of(UsageDialect::Anthropic);
    let firsts: Vec<usize> = story()
        .iter()
        .enumerate()
        .filter(|(_, event)| {
            let event = events(std::slice::from_ref(event));
            let step = sse.push(Bytes::from(event.clone()));
            assert_eq!(step.forward, event);
            step.has_first_token
        })
        .map(|(at, _)| at)
        .collect();
    assert_eq!(firsts, [2]);
}

#[test]
fn an_error_in_the_midst_is_told() {
    let mut story = story();
    story.truncate(8);
    story.push(
        json!({"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}),
    );
    let (out, facts) = run(true, [events(&story).as_bytes()]);
    let all = data(&out);
    assert_eq!(
        all.last(),
        Some(
            &json!({"error": {"message": "Overloaded", "type": "server_error", "param": null, "code": "overloaded"}})
        )
    );
    assert!(facts.has_error && !facts.is_done);
    // The input is sure; how much was written is not.
    let UsageOutcome::Malformed {
        sure,
        is_input_known,
        is_output_known,
        ..
    } = facts.usage
    else {
        unreachable!("an unfinished usage");
    };
    assert_eq!(
        (sure.input, is_input_known, is_output_known),
        (25, true, false)
    );
}

#[test]
fn an_event_above_the_bound_is_left_out() {
    let big = json!({"type": "content_block_start", "index": 9,
        "content_block": {"type": "web_search_tool_result", "content": "y".repeat(2 * EVENT_BYTES_MAX)}});
    let mut with = story();
    with.insert(12, big);
    let with = events(&with);
    let without = events(&story());
    let (expected, _) = run(true, [without.as_bytes()]);
    for size in [1000, EVENT_BYTES_MAX + 7, usize::MAX] {
        let (out, facts) = run(true, with.as_bytes().chunks(size));
        assert!(out == expected);
        assert_eq!(facts.unreadable_events, 1);
    }
}

fn event() -> impl Strategy<Value = Value> {
    let index = 0..3_u64;
    prop_oneof![
        (index.clone(), text()).prop_map(|(index, text)| json!({"type": "content_block_delta", "index": index,
            "delta": {"type": "text_delta", "text": text}})),
        (index.clone(), text()).prop_map(|(index, text)| json!({"type": "content_block_delta", "index": index,
            "delta": {"type": "thinking_delta", "thinking": text}})),
        (index.clone(), text()).prop_map(|(index, text)| json!({"type": "content_block_delta", "index": index,
            "delta": {"type": "input_json_delta", "partial_json": text}})),
        (index.clone(), text(), value()).prop_map(|(index, name, input)| json!({"type": "content_block_start",
            "index": index, "content_block": {"type": "tool_use", "id": name, "name": name, "input": {"x": input}}})),
        (index.clone(), text()).prop_map(|(index, text)| json!({"type": "content_block_start",
            "index": index, "content_block": {"type": "text", "text": text}})),
        index.prop_map(|index| json!({"type": "content_block_stop", "index": index})),
        (0..99_u32).prop_map(|n| json!({"type": "message_delta", "delta": {"stop_reason": "end_turn"},
            "usage": {"output_tokens": n}})),
        Just(json!({"type": "ping"})),
        Just(json!({"type": "message_stop"})),
        Just(json!({"type": "error", "error": {"type": "api_error", "message": "no"}})),
        value().prop_map(|value| json!({"type": "content_block_delta", "delta": value, "index": value})),
        value().prop_map(|value| json!({"type": "message_start", "message": value})),
    ]
}

proptest! {
    #[test]
    fn every_chunking_is_told_the_same(
        story in proptest::collection::vec(event(), 0..8), places in any::<Vec<u16>>(), ask in any::<bool>(),
        line_end in proptest::sample::select(&["\n", "\r\n", "\r"][..]),
    ) {
        let stream = events(&story).replace('\n', line_end);
        let bytes = stream.as_bytes();
        let whole = run(ask, [bytes]);
        let told = data(&whole.0);
        prop_assert_eq!(&run(ask, bytes.chunks(1)), &whole);
        prop_assert_eq!(&run(ask, cut(bytes, &places)), &whole);
        for at in (0..bytes.len()).step_by(1 + bytes.len() / 200) {
            let (head, tail) = bytes.split_at(at);
            prop_assert_eq!(&run(ask, [head, tail]), &whole);
        }
        // Texts come over whole and in order.
        let said: String = story.iter().filter_map(|event| match event["type"].as_str() {
            Some("content_block_delta") => event["delta"]["text"].as_str(),
            Some("content_block_start") => event["content_block"]["text"].as_str(),
            _ => None,
        }).collect();
        let heard: String = told.iter()
            .filter_map(|chunk| chunk["choices"][0]["delta"]["content"].as_str()).collect();
        prop_assert_eq!(said, heard);
        // OpenAI's reader finds in it as many ends and errors.
        let mut reader = SseUsage::new(SseMode::Observe);
        reader.push(whole.0.into());
        prop_assert_eq!(reader.facts().is_done, whole.1.is_done);
        prop_assert_eq!(reader.facts().has_error, whole.1.has_error);
        prop_assert_eq!(reader.facts().unreadable_events, 0);
    }
}
