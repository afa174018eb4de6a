use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::wire::arbitrary_json::{cut, text};

/// An event of the generated stream, with what the client shall get of it.
#[derive(Clone, Debug)]
struct Event {
    sent: String,
    shown: String,
}

/// One line end for a whole stream.
fn line_end() -> impl Strategy<Value = &'static str> {
    proptest::sample::select(&["\n", "\r\n", "\r"][..])
}

fn plain(lines: &str) -> Event {
    let sent = format!("{lines}\n\n");
    Event {
        shown: sent.clone(),
        sent,
    }
}

fn usage_object() -> impl Strategy<Value = Value> {
    (0..1000_u32, 0..1000_u32, 0..9_u32).prop_map(|(prompt, completion, reasoning)| {
        json!({"prompt_tokens": prompt, "completion_tokens": completion,
               "completion_tokens_details": {"reasoning_tokens": reasoning}})
    })
}

fn delta() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(json!({"role": "assistant", "content": ""})),
        Just(json!({})),
        Just(json!(null)),
        text().prop_map(|text| json!({"content": text})),
        text().prop_map(|text| json!({"content": null, "reasoning_content": text})),
        text().prop_map(|text| json!({"reasoning": text})),
        text().prop_map(|text| json!({"refusal": text, "usage": null})),
        text().prop_map(|args| json!({"tool_calls": [{"function": {"arguments": args}}]})),
        Just(json!({"tool_calls": []})),
    ]
}

fn choice() -> impl Strategy<Value = Value> {
    let reason = proptest::option::of(proptest::sample::select(&["stop", "length", "odd"][..]));
    prop_oneof![
        3 => (delta(), reason.clone())
            .prop_map(|(delta, reason)| json!({"delta": delta, "finish_reason": reason})),
        1 => (text(), reason).prop_map(|(text, reason)| json!({"text": text, "finish_reason": reason})),
    ]
}

/// A chunk, written by hand so that the `usage` member can stand anywhere.
fn chunk() -> impl Strategy<Value = Event> {
    let choices = proptest::collection::vec(choice(), 0..3);
    let usage = prop_oneof![
        2 => Just(None),
        3 => Just(Some(Value::Null)),
        2 => usage_object().prop_map(Some),
    ];
    let space = proptest::sample::select(&["", " "][..]);
    (choices, usage, text(), space, 0..3_usize).prop_map(|(choices, usage, id, space, place)| {
        let is_hidden = choices.is_empty() && usage.as_ref().is_some_and(Value::is_object);
        let is_null = usage == Some(Value::Null);
        let mut members = vec![
            format!("\"id\":{space}{}", Value::from(id)),
            format!("\"choices\":{space}{}", Value::from(choices)),
        ];
        let without = members.join(&format!(",{space}"));
        if let Some(usage) = usage {
            members.insert(place, format!("\"usage\":{space}{usage}"));
        }
        let with = members.join(&format!(",{space}"));
        let sent = format!("data:{space}{{{with}}}\n\n");
        let shown = match (is_hidden, is_null) {
            (true, _) => String::new(),
            (_, true) => format!("data:{space}{{{without}}}\n\n"),
            _ => sent.clone(),
        };
        Event { sent, shown }
    })
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        6 => chunk(),
        1 => Just(plain(": keep-alive")),
        1 => Just(plain("data: [DONE]")),
        1 => Just(plain("data:[1]")),
        1 => Just(plain("data")),
        1 => Just(plain("event: error\ndata: {}")),
        1 => Just(plain("id: 7\nretry: 1\ndata: {\"error\":{\"message\":\"no\"}}")),
        1 => Just(plain("data: {\"choices\": [],\ndata: \"usage\":null}")),
        1 => usage_object().prop_map(|usage| Event {
            sent: format!("event: x\ndata: {{\"choices\":\ndata: [],\"usage\":{usage}}}\n\n"),
            shown: String::new(),
        }),
        1 => usage_object().prop_map(|usage| plain(&format!(
            "data: {{\"type\":\"response.completed\",\"response\":{{\"usage\":{usage}}}}}"
        ))),
        1 => text().prop_map(|delta| plain(&format!(
            "data: {{\"type\":\"response.output_text.delta\",\"delta\":{}}}", Value::from(delta)
        ))),
        1 => Just(plain("data: {\"usage\":{\"prompt_tokens\":3},")),
        1 => Just(Event { sent: "\n".to_owned(), shown: "\n".to_owned() }),
    ]
}

/// The events, the line end, and whether a BOM comes first.
fn stream() -> impl Strategy<Value = (String, String)> {
    (
        proptest::collection::vec(event(), 0..10),
        line_end(),
        any::<bool>(),
    )
        .prop_map(|(events, line_end, has_bom)| {
            let join = |part: fn(&Event) -> &str| -> String {
                events
                    .iter()
                    .map(part)
                    .collect::<String>()
                    .replace('\n', line_end)
            };
            let (sent, shown) = (join(|e| &e.sent), join(|e| &e.shown));
            // A BOM belongs to the event that it opens, and goes with it; an empty line
            // behind it ends no event yet.
            let has_bom = has_bom && events.first().is_some_and(|e| e.shown.len() > 1);
            let bom = if has_bom { "\u{feff}" } else { "" };
            (format!("{bom}{sent}"), format!("{bom}{shown}"))
        })
}

/// The slow way: the standard's algorithm on the whole text, and `Value`.
fn oracle(stream: &str) -> SseFacts {
    let mut facts = SseFacts::default();
    let text = stream.strip_prefix('\u{feff}').unwrap_or(stream);
    let text = text.replace("\r\n", "\n").replace('\r', "\n");
    let mut data: Vec<String> = Vec::new();
    for line in text.split('\n') {
        if line.is_empty() {
            if !data.is_empty() {
                note(&mut facts, &data.join("\n"));
            }
            data.clear();
            continue;
        }
        let (name, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match name {
            "data" => data.push(value.to_owned()),
            "event" => facts.has_error |= value == "error",
            _ => {}
        }
    }
    facts
}

fn note(facts: &mut SseFacts, data: &str) {
    facts.events += 1;
    if data == "[DONE]" {
        facts.is_done = true;
        return;
    }
    let Ok(Value::Object(chunk)) = serde_json::from_str::<Value>(data) else {
        facts.unreadable_events += 1;
        return;
    };
    let chunk = Value::Object(chunk);
    let is_filled = |value: &Value| match value {
        Value::String(s) => !s.is_empty(),
        Value::Array(a) => !a.is_empty(),
        Value::Object(o) => !o.is_empty(),
        _ => false,
    };
    for choice in chunk["choices"].as_array().unwrap_or(&Vec::new()) {
        let delta = &choice["delta"];
        let parts = [
            &delta["content"],
            &delta["reasoning_content"],
            &delta["reasoning"],
            &delta["refusal"],
            &delta["tool_calls"],
            &choice["text"],
        ];
        facts.deltas += u64::from(parts.into_iter().any(is_filled));
        facts.finish_reason = match choice["finish_reason"].as_str() {
            None => facts.finish_reason,
            Some("stop") => Some(FinishReason::Stop),
            Some("length") => Some(FinishReason::Length),
            Some(_) => Some(FinishReason::Other),
        };
    }
    let is_response = chunk["type"]
        .as_str()
        .is_some_and(|kind| kind.ends_with(".delta"));
    facts.deltas += u64::from(is_response && is_filled(&chunk["delta"]));
    facts.has_token |= facts.deltas > 0;
    facts.has_error |= !chunk["error"].is_null();
    for usage in [&chunk["response"]["usage"], &chunk["usage"]] {
        if usage.is_object() {
            facts.usage = UsageOutcome::read(usage.to_string().as_bytes());
        }
    }
}

fn run<'a>(mode: SseMode, pieces: impl IntoIterator<Item = &'a [u8]>) -> (Vec<u8>, SseFacts) {
    let mut sse = SseUsage::new(mode);
    let mut out = Vec::new();
    let mut first_tokens = 0;
    for piece in pieces {
        let step = sse.push(Bytes::copy_from_slice(piece));
        out.extend_from_slice(&step.forward);
        first_tokens += u32::from(step.has_first_token);
        assert!(sse.carry.len() <= EVENT_BYTES_MAX);
    }
    let step = sse.finish();
    out.extend_from_slice(&step.forward);
    first_tokens += u32::from(step.has_first_token);
    assert_eq!(first_tokens, u32::from(sse.facts().has_token));
    (out, *sse.facts())
}

proptest! {
    #[test]
    fn every_chunking_is_read_as_the_oracle_reads((sent, shown) in stream(), places in any::<Vec<u16>>()) {
        let expected = oracle(&sent);
        let bytes = sent.as_bytes();
        for pieces in [vec![bytes], bytes.chunks(1).collect(), cut(bytes, &places)] {
            let (out, facts) = run(SseMode::Observe, pieces.iter().copied());
            prop_assert_eq!(out.as_slice(), bytes);
            prop_assert_eq!(facts, expected);
            let (out, facts) = run(SseMode::HideUsage, pieces);
            prop_assert_eq!(String::from_utf8_lossy(&out), shown.as_str());
            prop_assert_eq!(facts, expected);
        }
    }

    #[test]
    fn every_single_cut_gives_the_same((sent, shown) in stream()) {
        let expected = oracle(&sent);
        for at in 0..=sent.len() {
            let (head, tail) = sent.as_bytes().split_at(at);
            let (out, facts) = run(SseMode::HideUsage, [head, tail]);
            prop_assert_eq!(String::from_utf8_lossy(&out), shown.as_str());
            prop_assert_eq!(facts, expected);
        }
    }

    #[test]
    fn any_bytes_pass_observed_and_chunking_never_matters(
        bytes in proptest::collection::vec(proptest::sample::select(&b"\r\n:data[DONE]{}\" \xEF\xBB\xBF"[..]), 0..200),
        places in any::<Vec<u16>>(),
    ) {
        let (whole, facts) = run(SseMode::HideUsage, [bytes.as_slice()]);
        let (pieces, again) = run(SseMode::HideUsage, cut(&bytes, &places));
        prop_assert_eq!(whole, pieces);
        prop_assert_eq!(facts, again);
        let (observed, again) = run(SseMode::Observe, bytes.chunks(1));
        prop_assert_eq!(observed, bytes);
        prop_assert_eq!(facts, again);
    }
}

const OPENAI: &str = concat!(
    r#"data: {"id":"c","object":"chat.completion.chunk","created":1,"model":"gpt-4o","#,
    r#""choices":[{"index":0,"delta":{"role":"assistant","content":""},"logprobs":null,"finish_reason":null}],"usage":null,"obfuscation":"aa"}"#,
    "\n\n",
    r#"data: {"id":"c","object":"chat.completion.chunk","created":1,"model":"gpt-4o","#,
    r#""choices":[{"index":0,"delta":{"content":"\",\"usage\":null}"},"logprobs":null,"finish_reason":null}],"usage":null}"#,
    "\n\n",
    r#"data: {"id":"c","object":"chat.completion.chunk","created":1,"model":"gpt-4o","choices":[],"usage":{"prompt_tokens":9,"completion_tokens":2,"total_tokens":11}}"#,
    "\n\ndata: [DONE]\n\n",
);

#[test]
fn a_client_that_did_not_ask_sees_what_it_would_have_seen() {
    let (out, facts) = run(SseMode::HideUsage, [OPENAI.as_bytes()]);
    let expected = concat!(
        r#"data: {"id":"c","object":"chat.completion.chunk","created":1,"model":"gpt-4o","#,
        r#""choices":[{"index":0,"delta":{"role":"assistant","content":""},"logprobs":null,"finish_reason":null}],"obfuscation":"aa"}"#,
        "\n\n",
        r#"data: {"id":"c","object":"chat.completion.chunk","created":1,"model":"gpt-4o","#,
        r#""choices":[{"index":0,"delta":{"content":"\",\"usage\":null}"},"logprobs":null,"finish_reason":null}]}"#,
        "\n\ndata: [DONE]\n\n",
    );
    assert_eq!(String::from_utf8_lossy(&out), expected);
    let tokens = facts.usage.tokens().expect("usage");
    assert_eq!((tokens.input, tokens.output, facts.deltas), (9, 2, 1));
    assert!(facts.is_done && facts.has_token && !facts.is_truncated);
}

#[test]
fn the_first_token_is_no_role_and_comes_once() {
    let mut sse = SseUsage::new(SseMode::Observe);
    let steps: Vec<bool> = OPENAI
        .split_inclusive("\n\n")
        .map(|event| {
            sse.push(Bytes::copy_from_slice(event.as_bytes()))
                .has_first_token
        })
        .collect();
    assert_eq!(steps, [false, true, false, false]);
}

#[test]
fn azures_prompt_filter_chunk_stays() {
    let event = "data: {\"choices\":[],\"id\":\"\",\"prompt_filter_results\":[]}\n\n";
    assert_eq!(
        run(SseMode::HideUsage, [event.as_bytes()]).0,
        event.as_bytes()
    );
}

#[test]
fn whole_events_are_not_copied() {
    let chunk = Bytes::from_static(b"data: {\"choices\":[]}\n\ndata: {\"a\":1}\n\ndata: {\"b");
    let step = SseUsage::new(SseMode::HideUsage).push(chunk.clone());
    assert_eq!(step.forward.as_ptr(), chunk.as_ptr());
    assert_eq!(step.forward.len(), chunk.len() - b"data: {\"b".len());
}

#[test]
fn an_event_above_the_bound_passes_unread() {
    let big = format!(
        "data: {{\"x\":\"{}\"}}\n\n",
        "y".repeat(2 * EVENT_BYTES_MAX)
    );
    let sent = format!("data: {{}}\n\n{big}{OPENAI}");
    let (whole, facts) = run(SseMode::HideUsage, [sent.as_bytes()]);
    let (shown, _) = run(SseMode::HideUsage, [OPENAI.as_bytes()]);
    let shown = [b"data: {}\n\n", big.as_bytes(), &shown].concat();
    assert!(whole == shown);
    assert_eq!((facts.unreadable_events, facts.events), (1, 6));
    for size in [1000, 4096, EVENT_BYTES_MAX + 7] {
        let (pieces, again) = run(SseMode::HideUsage, sent.as_bytes().chunks(size));
        assert!(pieces == shown);
        assert_eq!(facts, again);
        assert!(
            run(SseMode::Observe, sent.as_bytes().chunks(size)) == (sent.clone().into(), facts)
        );
    }
}

#[test]
fn the_end_of_a_stream_needs_no_empty_line() {
    let usage = "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":1}}";
    let (out, facts) = run(SseMode::HideUsage, [usage.as_bytes()]);
    assert!(out.is_empty() && !facts.is_truncated);
    assert!(facts.usage.tokens().is_some());

    let (out, facts) = run(SseMode::HideUsage, [&usage.as_bytes()[..30]]);
    assert_eq!(out, &usage.as_bytes()[..30]);
    assert!(facts.is_truncated);
    assert_eq!(facts.usage, UsageOutcome::Missing);
}

#[test]
fn the_tier_is_what_was_said_last() {
    use super::super::terms::ToldTier;
    use coo_llm_core::price::ServiceTier;
    let tier = |events: &str| run(SseMode::Observe, [events.as_bytes()]).1.terms.tier;
    assert_eq!(tier(OPENAI), ToldTier::Untold);
    let chat = "data: {\"choices\":[],\"service_tier\":\"flex\"}\n\n";
    let flex = ToldTier::Told(ServiceTier::Flex);
    assert_eq!(tier(chat), flex);
    assert_eq!(
        tier(&format!("{chat}data: {{\"service_tier\":null}}\n\n")),
        flex
    );
    let created =
        "data: {\"type\":\"response.created\",\"response\":{\"service_tier\":\"auto\"}}\n\n";
    assert_eq!(tier(created), ToldTier::Untold);
    let completed = created
        .replace("auto", "priority")
        .replace("created", "completed");
    let told = ToldTier::Told(ServiceTier::Priority);
    assert_eq!(tier(&format!("{created}{completed}")), told);
}
