use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::wire::arbitrary_json;
use crate::wire::json_usage::scan;

fn translated(message: &Value) -> Value {
    let body = translate(message.to_string().as_bytes(), 17).expect("a message");
    serde_json::from_slice(&body).expect("JSON")
}

#[test]
fn a_message_becomes_a_completion() {
    let message = json!({
        "id": "msg_1", "type": "message", "role": "assistant", "model": "claude-x",
        "content": [
            {"type": "thinking", "thinking": "hm \"\n", "signature": "s"},
            {"type": "redacted_thinking", "data": "d"},
            {"type": "text", "text": "He\u{e9}", "citations": null},
            {"type": "server_tool_use", "id": "srv", "name": "web_search", "input": {"query": "q"}},
            {"type": "text", "text": "llo \\ \"you\""},
            {"type": "tool_use", "id": "toolu_1", "name": "weather", "input": {"city": "K\u{f6}ln", "n": 1.50}},
            {"type": "tool_use", "id": "toolu_2", "name": "now", "input": {}}
        ],
        "stop_reason": "tool_use", "stop_sequence": null,
        "usage": {"input_tokens": 10, "cache_read_input_tokens": 5, "cache_creation_input_tokens": 3,
                  "output_tokens": 9, "output_tokens_details": {"thinking_tokens": 4}}
    });
    let expected = json!({
        "id": "msg_1", "object": "chat.completion", "created": 17, "model": "claude-x",
        "choices": [{
            "index": 0, "logprobs": null, "finish_reason": "tool_calls",
            "message": {
                "role": "assistant", "content": "He\u{e9}llo \\ \"you\"", "refusal": null,
                "reasoning_content": "hm \"\n",
                "tool_calls": [
                    {"id": "toolu_1", "type": "function",
                     "function": {"name": "weather", "arguments": "{\"city\":\"K\u{f6}ln\",\"n\":1.5}"}},
                    {"id": "toolu_2", "type": "function", "function": {"name": "now", "arguments": "{}"}}
                ]
            }
        }],
        "usage": {
            "prompt_tokens": 18, "completion_tokens": 9, "total_tokens": 27,
            "prompt_tokens_details": {"cached_tokens": 5, "cache_write_tokens": 3},
            "completion_tokens_details": {"reasoning_tokens": 4}
        }
    });
    assert_eq!(translated(&message), expected);
}

#[test]
fn no_text_is_null_and_no_usage_is_absent() {
    let message = json!({"content": [], "stop_reason": "refusal"});
    let read = translated(&message);
    assert_eq!(read["choices"][0]["message"]["content"], Value::Null);
    assert_eq!(read["choices"][0]["finish_reason"], "content_filter");
    assert_eq!(read.get("usage"), None);
    let empty = translated(&json!({"content": [{"type": "text", "text": ""}]}));
    assert_eq!(empty["choices"][0]["message"]["content"], "");
}

#[test]
fn every_stop_reason_has_a_finish_reason() {
    for (stop, finish) in [
        ("end_turn", "stop"),
        ("stop_sequence", "stop"),
        ("pause_turn", "stop"),
        ("max_tokens", "length"),
        ("model_context_window_exceeded", "length"),
        ("tool_use", "tool_calls"),
        ("refusal", "content_filter"),
        ("new", "stop"),
    ] {
        let read = translated(&json!({"content": [], "stop_reason": stop}));
        assert_eq!(read["choices"][0]["finish_reason"], finish, "{stop}");
    }
}

#[test]
fn what_is_no_message_is_refused() {
    for body in [
        "",
        "[]",
        "7",
        "{}",
        r#"{"content":"x"}"#,
        r#"{"content":[}"#,
    ] {
        assert_eq!(translate(body.as_bytes(), 0), None, "{body}");
    }
}

proptest! {
    #[test]
    fn texts_survive_and_the_usage_is_the_same(
        texts in proptest::collection::vec(arbitrary_json::text(), 0..4),
        input in arbitrary_json::value(), counts in any::<[u32; 4]>(),
    ) {
        let usage = json!({"input_tokens": counts[0], "output_tokens": counts[1],
                           "cache_read_input_tokens": counts[2], "cache_creation_input_tokens": counts[3]});
        let mut content: Vec<_> = texts.iter().map(|text| json!({"type": "text", "text": text})).collect();
        content.push(json!({"type": "tool_use", "id": "t", "name": "f", "input": {"x": input}}));
        let message = json!({"id": "m", "model": "c", "content": content, "usage": usage}).to_string();
        let body = translate(message.as_bytes(), 0).expect("a message");
        let read: Value = serde_json::from_slice(&body).expect("JSON");
        let written = &read["choices"][0]["message"];
        prop_assert_eq!(written["content"].as_str().unwrap_or_default(), texts.concat());
        let arguments = written["tool_calls"][0]["function"]["arguments"].as_str().expect("a text");
        prop_assert_eq!(arguments, json!({"x": input}).to_string());
        // What is metered and what the client reads agree.
        prop_assert_eq!(scan(&body).usage, usage::read(usage.to_string().as_bytes(), &mut Terms::default()));
    }

    #[test]
    fn any_json_is_no_message_or_a_completion(value in arbitrary_json::value()) {
        let message = json!({"id": value, "model": value, "content": [value, {"type": "text", "text": value},
            {"type": "tool_use", "id": value, "name": value, "input": value}], "stop_reason": value, "usage": value});
        let body = translate(message.to_string().as_bytes(), 0).expect("a message");
        let read: Value = serde_json::from_slice(&body).expect("JSON");
        prop_assert_eq!(&read["object"], "chat.completion");
    }
}
