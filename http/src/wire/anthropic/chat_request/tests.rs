use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::wire::arbitrary_json;

fn translated(request: &Value) -> Result<Value, String> {
    match translate(request.to_string().as_bytes(), "claude-x") {
        Ok(body) => Ok(serde_json::from_slice(&body).expect("JSON")),
        Err(error) => {
            assert!(error.message.contains(&error.param), "{error}");
            Err(error.param)
        }
    }
}

/// A request with one user message and these members.
fn with(members: &Value) -> Value {
    let mut request = json!({"model": "m", "messages": [{"role": "user", "content": "hi"}]});
    for (name, value) in members.as_object().expect("an object") {
        request[name] = value.clone();
    }
    request
}

/// The same in Anthropic's words.
fn written(members: &Value) -> Value {
    let mut request = json!({"model": "claude-x", "max_tokens": 4096,
        "messages": [{"role": "user", "content": [{"type": "text", "text": "hi"}]}]});
    for (name, value) in members.as_object().expect("an object") {
        request[name] = value.clone();
    }
    request
}

#[test]
fn the_simplest_request() {
    assert_eq!(translated(&with(&json!({}))), Ok(written(&json!({}))));
}

#[test]
fn parameters_have_their_counterparts() {
    let tool =
        json!({"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}});
    let theirs = json!({"name": "f", "input_schema": {"type": "object"}});
    for (members, expected) in [
        (json!({"max_tokens": 9}), json!({"max_tokens": 9})),
        (
            json!({"max_completion_tokens": 9, "max_tokens": 9}),
            json!({"max_tokens": 9}),
        ),
        (
            json!({"temperature": 0.30, "top_p": 1}),
            json!({"temperature": 0.3, "top_p": 1}),
        ),
        (json!({"stop": "x"}), json!({"stop_sequences": ["x"]})),
        (
            json!({"stop": ["x", "\n"]}),
            json!({"stop_sequences": ["x", "\n"]}),
        ),
        (json!({"stop": null, "temperature": null}), json!({})),
        (
            json!({"stream": true, "stream_options": {"include_usage": true}}),
            json!({"stream": true}),
        ),
        (json!({"stream": false}), json!({})),
        (
            json!({"user": "u-1", "safety_identifier": "s"}),
            json!({"metadata": {"user_id": "u-1"}}),
        ),
        (
            json!({"safety_identifier": "s"}),
            json!({"metadata": {"user_id": "s"}}),
        ),
        (
            json!({"service_tier": "default"}),
            json!({"service_tier": "standard_only"}),
        ),
        (json!({"response_format": {"type": "text"}}), json!({})),
        (
            json!({"response_format": {"type": "json_schema", "json_schema": {"name": "n", "strict": true, "schema": {"type": "object"}}}}),
            json!({"output_config": {"format": {"type": "json_schema", "schema": {"type": "object"}}}}),
        ),
        (json!({"tools": [tool]}), json!({"tools": [theirs]})),
        (json!({"tools": [], "tool_choice": "auto"}), json!({})),
        (
            json!({"tools": [tool], "tool_choice": "auto"}),
            json!({"tools": [theirs], "tool_choice": {"type": "auto"}}),
        ),
        (
            json!({"tools": [tool], "tool_choice": "none", "parallel_tool_calls": false}),
            json!({"tools": [theirs], "tool_choice": {"type": "none"}}),
        ),
        (
            json!({"tools": [tool], "tool_choice": "required"}),
            json!({"tools": [theirs], "tool_choice": {"type": "any"}}),
        ),
        (
            json!({"tools": [tool], "tool_choice": {"type": "function", "function": {"name": "f"}}, "parallel_tool_calls": false}),
            json!({"tools": [theirs], "tool_choice": {"type": "tool", "name": "f", "disable_parallel_tool_use": true}}),
        ),
        (
            json!({"tools": [tool], "parallel_tool_calls": false}),
            json!({"tools": [theirs], "tool_choice": {"type": "auto", "disable_parallel_tool_use": true}}),
        ),
        (
            json!({"tools": [tool], "parallel_tool_calls": true}),
            json!({"tools": [theirs]}),
        ),
        (
            json!({"tools": [{"type": "function", "function": {"name": "g", "description": "d", "strict": true}}]}),
            json!({"tools": [{"name": "g", "description": "d", "strict": true, "input_schema": {"type": "object", "properties": {}}}]}),
        ),
        (json!({"reasoning_effort": "none"}), json!({})),
        (
            json!({"reasoning_effort": "minimal"}),
            json!({"output_config": {"effort": "low"}}),
        ),
        (
            json!({"reasoning_effort": "xhigh", "response_format": {"type": "json_schema", "json_schema": {"schema": {}}}}),
            json!({"output_config": {"effort": "xhigh", "format": {"type": "json_schema", "schema": {}}}}),
        ),
    ] {
        assert_eq!(
            translated(&with(&members)),
            Ok(written(&expected)),
            "{members}"
        );
    }
}

#[test]
fn what_asks_for_nothing_is_left_out() {
    for members in [
        json!({"n": 1, "logprobs": false, "top_logprobs": 0, "frequency_penalty": 0, "presence_penalty": 0.0}),
        json!({"logit_bias": {}, "functions": [], "modalities": ["text"], "verbosity": "medium"}),
        json!({"n": null, "logprobs": null, "audio": null, "seed": null, "anything": null}),
        json!({"store": true, "metadata": {"a": "b"}, "prediction": {"type": "content", "content": "x"}}),
        json!({"prompt_cache_key": "k", "prompt_cache_retention": "24h"}),
    ] {
        assert_eq!(
            translated(&with(&members)),
            Ok(written(&json!({}))),
            "{members}"
        );
    }
}

#[test]
fn what_has_no_counterpart_is_refused_by_its_name() {
    let user = |content: Value| json!({"messages": [{"role": "user", "content": content}]});
    for (members, param) in [
        (json!({"n": 2}), "n"),
        (json!({"logprobs": true}), "logprobs"),
        (json!({"top_logprobs": 3}), "top_logprobs"),
        (json!({"frequency_penalty": 0.5}), "frequency_penalty"),
        (json!({"presence_penalty": -1}), "presence_penalty"),
        (json!({"logit_bias": {"1": 5}}), "logit_bias"),
        (json!({"seed": 7}), "seed"),
        (json!({"modalities": ["text", "audio"]}), "modalities"),
        (json!({"audio": {"voice": "x"}}), "audio"),
        (json!({"functions": [{"name": "f"}]}), "functions"),
        (json!({"function_call": "auto"}), "function_call"),
        (json!({"web_search_options": {}}), "web_search_options"),
        (json!({"verbosity": "low"}), "verbosity"),
        (json!({"top_k": 5}), "top_k"),
        (json!({"temperature": 1.5}), "temperature"),
        (json!({"temperature": "hot"}), "temperature"),
        (json!({"max_tokens": -1}), "max_tokens"),
        (
            json!({"max_tokens": 1, "max_completion_tokens": 2}),
            "max_tokens",
        ),
        (json!({"stop": 7}), "stop"),
        (json!({"stop": ["a", 7]}), "stop[1]"),
        (json!({"reasoning_effort": "very"}), "reasoning_effort"),
        (json!({"service_tier": "flex"}), "service_tier"),
        (
            json!({"response_format": {"type": "json_object"}}),
            "response_format.type",
        ),
        (
            json!({"response_format": {"type": "json_schema", "json_schema": {"name": "n"}}}),
            "response_format.json_schema.schema",
        ),
        (json!({"tool_choice": "required"}), "tool_choice"),
        (
            json!({"tool_choice": {"type": "allowed_tools"}}),
            "tool_choice.type",
        ),
        (
            json!({"tools": [{"type": "custom", "custom": {}}]}),
            "tools[0].type",
        ),
        (json!({"tools": {}}), "tools"),
        (json!({"messages": null}), "messages"),
        (json!({"messages": "hi"}), "messages"),
        (json!({"messages": [7]}), "messages[0]"),
        (json!({"messages": [{"content": "x"}]}), "messages[0].role"),
        (
            json!({"messages": [{"role": "function", "name": "f", "content": "x"}]}),
            "messages[0].role",
        ),
        (
            json!({"messages": [{"role": "assistant", "audio": {"id": "a"}}]}),
            "messages[0].audio",
        ),
        (
            json!({"messages": [{"role": "assistant", "function_call": {}}]}),
            "messages[0].function_call",
        ),
        (
            json!({"messages": [{"role": "tool", "content": "x"}]}),
            "messages[0].tool_call_id",
        ),
        (
            json!({"messages": [{"role": "assistant", "tool_calls": [{"id": "a", "type": "function",
            "function": {"name": "f", "arguments": "[1]"}}]}]}),
            "messages[0].tool_calls[0].function.arguments",
        ),
        (
            json!({"messages": [{"role": "assistant", "tool_calls": [{"id": "a", "type": "custom"}]}]}),
            "messages[0].tool_calls[0].type",
        ),
        (
            user(json!([{"type": "input_audio", "input_audio": {}}])),
            "messages[0].content[0].type",
        ),
        (
            user(
                json!([{"type": "text", "text": "a"}, {"type": "image_url", "image_url": {"url": "file:///x"}}]),
            ),
            "messages[0].content[1].image_url.url",
        ),
        (
            user(json!([{"type": "image_url", "image_url": {"url": "data:image/png,raw"}}])),
            "messages[0].content[0].image_url.url",
        ),
        (
            user(json!([{"type": "file", "file": {"file_id": "f"}}])),
            "messages[0].content[0].file.file_id",
        ),
        (user(json!(7)), "messages[0].content"),
        (user(Value::Null), "messages[0].content"),
    ] {
        assert_eq!(
            translated(&with(&members)),
            Err(param.to_owned()),
            "{members}"
        );
    }
    let twice = br#"{"messages":[],"n":1,"n":1}"#;
    assert_eq!(translate(twice, "m").unwrap_err().param, "n");
}

#[test]
fn a_conversation_becomes_turns() {
    let request = json!({"model": "m", "messages": [
        {"role": "system", "content": "be brief"},
        {"role": "developer", "content": [{"type": "text", "text": "be kind", "cache_control": {"type": "ephemeral"}}]},
        {"role": "user", "name": "ann", "content": [
            {"type": "text", "text": "what is this?"},
            {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA", "detail": "low"}},
            {"type": "image_url", "image_url": {"url": "https://x.test/a.png"}},
            {"type": "file", "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,BBBB"}}
        ]},
        {"role": "assistant", "content": null, "refusal": null, "annotations": [], "reasoning_content": "hm", "tool_calls": [
            {"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{\"a\": 1.0}"}},
            {"id": "c2", "type": "function", "function": {"name": "g", "arguments": ""}}
        ]},
        {"role": "tool", "tool_call_id": "c1", "content": "one"},
        {"role": "tool", "tool_call_id": "c2", "content": [{"type": "text", "text": "two"}]},
        {"role": "user", "content": "and?"},
        {"role": "assistant", "content": ""},
        {"role": "assistant", "content": [{"type": "refusal", "refusal": "no"}]},
    ]});
    let expected = json!({"model": "claude-x", "max_tokens": 4096,
    "system": [
        {"type": "text", "text": "be brief"},
        {"type": "text", "text": "be kind", "cache_control": {"type": "ephemeral"}}
    ],
    "messages": [
        {"role": "user", "content": [
            {"type": "text", "text": "what is this?"},
            {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AAAA"}},
            {"type": "image", "source": {"type": "url", "url": "https://x.test/a.png"}},
            {"type": "document", "source": {"type": "base64", "media_type": "application/pdf", "data": "BBBB"}, "title": "a.pdf"}
        ]},
        {"role": "assistant", "content": [
            {"type": "tool_use", "id": "c1", "name": "f", "input": {"a": 1.0}},
            {"type": "tool_use", "id": "c2", "name": "g", "input": {}}
        ]},
        {"role": "user", "content": [
            {"type": "tool_result", "tool_use_id": "c1", "content": [{"type": "text", "text": "one"}]},
            {"type": "tool_result", "tool_use_id": "c2", "content": [{"type": "text", "text": "two"}]},
            {"type": "text", "text": "and?"}
        ]},
        {"role": "assistant", "content": [{"type": "text", "text": "no"}]}
    ]});
    assert_eq!(translated(&request), Ok(expected));
}

#[test]
fn numbers_and_schemas_keep_their_text() {
    let body = br#"{"temperature":0.10,"messages":[{"role":"user","content":"\u00e9"}],
        "tools":[{"type":"function","function":{"name":"f","parameters":{"b":1e3,"a":12345678901234567890123}}}]}"#;
    let out = translate(body, "m").expect("translatable");
    let out = std::str::from_utf8(&out).expect("UTF-8");
    assert!(out.contains(r#""temperature":0.10,"#), "{out}");
    assert!(
        out.contains(r#""input_schema":{"b":1e3,"a":12345678901234567890123}"#),
        "{out}"
    );
    assert!(out.contains("\u{e9}"), "{out}");
}

proptest! {
    /// Every text of a request is somewhere in its translation, or the request is refused.
    #[test]
    fn no_text_is_lost(texts in proptest::collection::vec("[a-z\"\\\\\n\u{e9}]{1,8}", 4)) {
        let request = json!({"messages": [
            {"role": "system", "content": texts[0]},
            {"role": "user", "content": [{"type": "text", "text": texts[1]}]},
            {"role": "assistant", "content": texts[2]},
            {"role": "user", "content": texts[3]},
        ]});
        let read = translated(&request).expect("translatable");
        let found = [
            &read["system"][0]["text"], &read["messages"][0]["content"][0]["text"],
            &read["messages"][1]["content"][0]["text"], &read["messages"][2]["content"][0]["text"],
        ];
        for (found, text) in found.into_iter().zip(&texts) {
            prop_assert_eq!(found.as_str(), Some(text.as_str()));
        }
    }

    #[test]
    fn any_member_is_refused_by_its_name_or_ignored(name in arbitrary_json::key(), value in arbitrary_json::value()) {
        let mut request = with(&json!({}));
        if request.get(&name).is_none() {
            request[&name] = value.clone();
        }
        match translated(&request) {
            Ok(read) => prop_assert!(value.is_null() || IGNORED.contains(&name.as_str())
                || read != written(&json!({})) || request == with(&json!({})) || name == "stream", "{name}"),
            Err(param) => prop_assert_eq!(param, name),
        }
    }

    #[test]
    fn any_json_is_translated_or_refused(value in arbitrary_json::value()) {
        let request = json!({"messages": [{"role": "user", "content": value}], "tools": value, "stop": value,
            "tool_choice": value, "response_format": value});
        let _either = translated(&request);
    }
}
