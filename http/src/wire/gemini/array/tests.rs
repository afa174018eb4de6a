use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::wire::arbitrary_json::{cut, style, text, value, written};
use crate::wire::sse::{FinishReason, SseUsage};

fn run<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> SseFacts {
    let mut array = ArrayUsage::default();
    let mut first_tokens = 0;
    for piece in pieces {
        first_tokens += u32::from(array.push(piece));
        assert!(array.kept.len() <= EVENT_BYTES_MAX);
    }
    array.finish();
    assert_eq!(first_tokens, u32::from(array.facts().has_token));
    *array.facts()
}

fn chunk() -> impl Strategy<Value = Value> {
    let reason = proptest::option::of(proptest::sample::select(
        &["STOP", "MAX_TOKENS", "SAFETY"][..],
    ));
    let known = (text(), reason, 0..100_u32).prop_map(|(text, reason, count)| {
        json!({"candidates": [{"content": {"parts": [{"text": text}], "role": "model"}, "finishReason": reason}],
               "usageMetadata": {"promptTokenCount": 7, "candidatesTokenCount": count}})
    });
    let odd = value().prop_map(|value| json!({"candidates": value}));
    prop_oneof![6 => known, 1 => odd, 1 => Just(json!({"error": {"code": 503}}))]
}

/// The same chunks as an event stream: what the other kind of stream says of them.
fn as_events(chunks: &[Value]) -> SseFacts {
    let mut sse = SseUsage::of(UsageDialect::Gemini);
    for chunk in chunks {
        let event = format!("data: {chunk}\r\n\r\n");
        let step = sse.push(event.clone().into());
        assert_eq!(step.forward, event);
    }
    *sse.facts()
}

proptest! {
    #[test]
    fn both_kinds_of_streams_say_the_same(
        chunks in proptest::collection::vec(chunk(), 0..6), style in style(), places in any::<Vec<u16>>(),
    ) {
        let whole = written(&Value::from(chunks.clone()), style).into_bytes();
        let expected = as_events(&chunks);
        prop_assert_eq!(run([whole.as_slice()]), expected);
        prop_assert_eq!(run(whole.chunks(1)), expected);
        prop_assert_eq!(run(cut(&whole, &places)), expected);
        for at in (0..whole.len()).step_by(1 + whole.len() / 200) {
            let (head, tail) = whole.split_at(at);
            prop_assert_eq!(run([head, tail]), expected);
            prop_assert!(run([head]).is_truncated || whole[at..].trim_ascii().is_empty());
        }
    }
}

const STREAM: &str = r#"[{
  "candidates": [{"content": {"parts": [{"text": ""}], "role": "model"}, "index": 0}],
  "usageMetadata": {"promptTokenCount": 4, "totalTokenCount": 4}
}
,
{"candidates": [{"content": {"parts": [{"functionCall": {"name": "f", "args": {"a": "}]\""}}}]}}],
 "usageMetadata": {"promptTokenCount": 4, "candidatesTokenCount": 2, "totalTokenCount": 6}},
{"candidates": [{"content": {"parts": [{"text": "x"}]}, "finishReason": "STOP"}],
 "usageMetadata": {"promptTokenCount": 4, "candidatesTokenCount": 3, "thoughtsTokenCount": 5, "totalTokenCount": 12}}
]"#;

#[test]
fn the_last_usage_counts() {
    let facts = run([STREAM.as_bytes()]);
    let tokens = facts.usage.tokens().expect("usage");
    assert_eq!((tokens.input, tokens.output, tokens.reasoning), (4, 3, 5));
    assert_eq!((facts.deltas, facts.events), (2, 3));
    assert_eq!(facts.finish_reason, Some(FinishReason::Stop));
    assert!(facts.is_done && !facts.is_truncated && !facts.has_error);
}

#[test]
fn an_element_above_the_bound_passes_unread() {
    let big = format!(r#"{{"x":"{}"}}"#, "y".repeat(EVENT_BYTES_MAX));
    let stream = format!("[{big},{}", &STREAM[1..]);
    let facts = run(stream.as_bytes().chunks(1000));
    assert_eq!((facts.events, facts.unreadable_events), (4, 1));
    assert!(facts.usage.tokens().is_some());
}

#[test]
fn what_is_no_array_is_not_whole() {
    for body in ["", "[", "<html>", "[1,2]", r#"[{"a":1}"#, r#"[{"a":1}]]"#] {
        assert!(run([body.as_bytes()]).is_truncated, "{body}");
    }
    let error = run([&br#"{"error":{"code":400}}"#[..]]);
    assert!(error.has_error);
}
