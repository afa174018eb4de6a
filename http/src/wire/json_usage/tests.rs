use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::wire::arbitrary_json::{cut, key, object, style, text, value};

/// The slow way: the whole body as a `Value`.
fn oracle(body: &[u8]) -> ResponseFacts {
    let value: Value = serde_json::from_slice(body).expect("the generator writes JSON");
    let usage = value
        .get("usage")
        .map(|usage| UsageOutcome::read(usage.to_string().as_bytes()));
    ResponseFacts {
        usage: usage.unwrap_or_default(),
        terms: Terms {
            tier: value.get("service_tier").map_or(ToldTier::Untold, |tier| {
                ToldTier::read(tier.to_string().as_bytes())
            }),
            ..Terms::default()
        },
        model: value["model"].as_str().map(str::to_owned),
        has_error: value.get("error").is_some_and(|error| !error.is_null()),
        is_whole: value.is_object(),
    }
}

fn in_pieces<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> ResponseFacts {
    let mut scanner = JsonUsageScanner::default();
    for piece in pieces {
        scanner.push(piece);
    }
    scanner.finish()
}

fn usage() -> impl Strategy<Value = Value> {
    let counts = (any::<u32>(), any::<u32>(), proptest::option::of(0..9_u32)).prop_map(
        |(prompt, completion, cached)| {
            json!({"prompt_tokens": prompt, "completion_tokens": completion,
                   "prompt_tokens_details": {"cached_tokens": cached}})
        },
    );
    prop_oneof![3 => counts, 1 => value()]
}

fn members() -> impl Strategy<Value = Vec<(String, Value)>> {
    let others = proptest::collection::vec((key(), value()), 0..5);
    let model = proptest::option::of(text());
    let tier = proptest::sample::select(&["auto", "default", "flex", "priority", "scale"][..]);
    (
        others,
        proptest::option::of(usage()),
        model,
        proptest::option::of(tier),
    )
        .prop_map(|(mut members, usage, model, tier)| {
            members.extend(tier.map(|tier| ("service_tier".to_owned(), Value::from(tier))));
            members.extend(usage.map(|usage| ("usage".to_owned(), usage)));
            members.extend(model.map(|model| ("model".to_owned(), Value::from(model))));
            members
        })
        .prop_shuffle()
}

proptest! {
    #[test]
    fn every_chunking_finds_what_a_whole_parse_finds(
        members in members(), style in style(), places in any::<Vec<u16>>(),
    ) {
        let body = object(&members, style).into_bytes();
        let expected = oracle(&body);
        prop_assert_eq!(&scan(&body), &expected);
        prop_assert_eq!(&in_pieces(body.chunks(1)), &expected);
        prop_assert_eq!(&in_pieces(cut(&body, &places)), &expected);
        for at in 0..body.len() {
            let (head, tail) = body.split_at(at);
            prop_assert_eq!(&in_pieces([head, tail]), &expected);
            let part = scan(head);
            prop_assert!(!part.is_whole || body[at..].trim_ascii().is_empty());
        }
    }

    #[test]
    fn any_value_is_no_object_or_as_the_oracle_says(value in value(), style in style()) {
        let body = crate::wire::arbitrary_json::written(&value, style).into_bytes();
        prop_assert_eq!(scan(&body), oracle(&body));
    }

    #[test]
    fn text_stops_at_its_first_quote_or_backslash(
        bytes in prop::collection::vec(
            prop_oneof![20 => any::<u8>(), 1 => Just(b'"'), 1 => Just(b'\\')], 0..60,
        ),
    ) {
        let slow = bytes.iter().position(|byte| b"\"\\".contains(byte));
        prop_assert_eq!(text_stop(&bytes), slow);
    }

    #[test]
    fn quiet_bytes_stop_at_the_first_loud_byte(bytes in "[a-zA-Z0-9@`|~\\x00-\\x20.,:é\"{}\\[\\]]{0,100}") {
        let bytes = bytes.as_bytes();
        let slow = bytes.iter().position(|b| b"\"{}[]".contains(b)).unwrap_or(bytes.len());
        prop_assert_eq!(quiet_bytes(bytes), slow);
    }
}

#[test]
fn every_byte_is_loud_or_quiet_as_it_should() {
    for byte in 0..=u8::MAX {
        let is_loud = b"\"{}[]".contains(&byte);
        for place in [0, 31, 40] {
            let mut bytes = [b'0'; 48];
            bytes[place] = byte;
            assert_eq!(
                quiet_bytes(&bytes),
                if is_loud { place } else { 48 },
                "{byte}"
            );
        }
    }
}

#[test]
fn a_real_completion_is_read() {
    let body = br#"{"id":"chatcmpl-1","object":"chat.completion","created":1,"model":"gpt-4o-2024-08-06",
        "choices":[{"index":0,"message":{"role":"assistant","content":"\"usage\":{\"prompt_tokens\":9}"},
        "finish_reason":"stop"}],"usage":{"prompt_tokens":19,"completion_tokens":10,"total_tokens":29,
        "prompt_tokens_details":{"cached_tokens":4,"audio_tokens":0}},"error":null}"#;
    let facts = scan(body);
    let tokens = facts.usage.tokens().expect("usage");
    assert_eq!(
        (tokens.input, tokens.cached_input, tokens.output),
        (15, 4, 10)
    );
    assert_eq!(facts.model.as_deref(), Some("gpt-4o-2024-08-06"));
    assert!(facts.is_whole && !facts.has_error);
}

#[test]
fn an_error_is_seen() {
    assert!(scan(br#"{"error":{"message":"no"}}"#).has_error);
    assert!(!scan(br#"{"x":{"error":{"message":"no"}}}"#).has_error);
}

#[test]
fn what_is_kept_is_bounded() {
    let padding = "x".repeat(USAGE_BYTES_MAX);
    let body = format!(r#"{{"usage":{{"prompt_tokens":1,"x":"{padding}"}},"model":"{padding}"}}"#);
    let mut scanner = JsonUsageScanner::default();
    for piece in body.as_bytes().chunks(1000) {
        scanner.push(piece);
        assert!(scanner.kept.capacity() <= 2 * USAGE_BYTES_MAX);
    }
    let facts = scanner.finish();
    assert_eq!(facts.usage, UsageOutcome::unreadable(UsageFault::Oversized));
    assert_eq!(facts.model, None);
    assert!(facts.is_whole);
}

#[test]
fn garbage_is_not_whole() {
    for body in [
        "",
        "{",
        "[]",
        r#"{"a":1"#,
        r#"{"a" 1}"#,
        r#"{"a":1} x"#,
        "<html>",
        r#"{"a":}"#,
    ] {
        assert!(!scan(body.as_bytes()).is_whole, "{body}");
    }
}
