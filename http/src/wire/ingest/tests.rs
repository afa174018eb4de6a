use super::oracle::compare;
use super::*;
use crate::wire::arbitrary_json::{self, Style};
use coo_llm_core::record::Tokens;
use proptest::prelude::*;
use serde_json::{Value, json};

fn whole() -> Value {
    json!({
        "id": "r-1", "time": 1_763_950_000_123_u64, "provider": "openai", "model": "gpt-4o",
        "key_id": "openai-1f3a9c02", "client_id": "web", "status": 200, "latency_ms": 812,
        "ttft_ms": 95, "prompt_tokens": 1200, "completion_tokens": 300, "cached_tokens": 1000,
        "cost_usd": 0.00475,
    })
}

fn fault(line: impl AsRef<[u8]>) -> String {
    let mut parser = Parser::default();
    let fault = parser.parse(line.as_ref()).expect_err("it is no record");
    compare(&mut Parser::default(), line.as_ref());
    fault.to_string()
}

fn with(field: &str, value: Value) -> String {
    let mut line = whole();
    line[field] = value;
    line.to_string()
}

fn without(field: &str) -> String {
    let mut line = whole();
    line.as_object_mut().expect("an object").remove(field);
    line.to_string()
}

#[test]
fn a_line_is_a_record_to_the_unit() {
    let mut parser = Parser::default();
    let text = whole().to_string();
    let line = parser.parse(text.as_bytes()).expect("a record");
    assert_eq!(
        (line.id, line.provider, line.model),
        ("r-1", "openai", "gpt-4o")
    );
    assert_eq!((line.key_id, line.client_id), ("openai-1f3a9c02", "web"));
    assert_eq!((line.time.0, line.status), (1_763_950_000_123, 200));
    assert_eq!(line.latency.0, 812_000);
    assert_eq!(line.time_to_first_token.map(|time| time.0), Some(95_000));
    let tokens = Tokens {
        input: 200,
        cached_input: 1000,
        output: 300,
        ..Tokens::default()
    };
    assert_eq!((line.tokens, line.error), (tokens, None));
    assert_eq!(line.cost.map(|cost| cost.0), Some(4_750_000));
}

#[test]
fn what_may_be_left_out_may_be_null() {
    let mut parser = Parser::default();
    for field in [
        "ttft_ms",
        "cached_tokens",
        "cost_usd",
        "error_type",
        "service_tier",
    ] {
        let (left_out, null) = (without(field), with(field, Value::Null));
        let left_out = parser
            .parse(left_out.as_bytes())
            .map(|line| (line.cost, line.tokens));
        assert!(left_out.is_ok(), "{field}");
        let null = parser
            .parse(null.as_bytes())
            .map(|line| (line.cost, line.tokens));
        assert_eq!(null, left_out, "{field}");
    }
}

#[test]
fn a_reason_names_the_field() {
    for field in [
        "id",
        "time",
        "provider",
        "model",
        "key_id",
        "client_id",
        "status",
        "latency_ms",
        "prompt_tokens",
        "completion_tokens",
    ] {
        assert_eq!(fault(without(field)), format!("`{field}` is missing"));
        assert_eq!(
            fault(with(field, Value::Null)),
            format!("`{field}` is missing")
        );
    }
    for field in ["id", "provider", "model", "key_id", "client_id"] {
        assert_eq!(
            fault(with(field, json!(7))),
            format!("`{field}` is not a string")
        );
        let empty = format!("`{field}` is empty; write none where there is none");
        assert_eq!(fault(with(field, json!(""))), empty);
        let long = format!("`{field}` is longer than 256 bytes");
        assert_eq!(fault(with(field, json!("x".repeat(257)))), long);
    }
    assert_eq!(
        fault(with("model", json!("a\nb"))),
        "`model` has control characters"
    );
    for field in [
        "time",
        "status",
        "latency_ms",
        "ttft_ms",
        "prompt_tokens",
        "cached_tokens",
        "cost_usd",
    ] {
        assert_eq!(
            fault(with(field, json!([1]))),
            format!("`{field}` is not a number")
        );
        assert_eq!(
            fault(with(field, json!(true))),
            format!("`{field}` is not a number")
        );
        assert_eq!(
            fault(with(field, json!(-1))),
            format!("`{field}` is below zero")
        );
        assert_eq!(
            fault(with(field, json!(-0.25))),
            format!("`{field}` is below zero")
        );
    }
    assert_eq!(fault(with("time", json!("12"))), "`time` is not a number");
    assert_eq!(
        fault(with("cost_usd", json!("1,5"))),
        "`cost_usd` is not a number"
    );
    assert_eq!(
        fault(with("prompt_tokens", json!(1.5))),
        "`prompt_tokens` is not a whole number"
    );
    assert_eq!(
        fault(with("status", json!(99))),
        "`status` is not a status of 100 to 599"
    );
    assert_eq!(
        fault(with("status", json!(70_000))),
        "`status` is not a status of 100 to 599"
    );
    assert_eq!(
        fault(with("time", json!(1e15))),
        "`time` is not a time in unix milliseconds"
    );
    let tokens = "`completion_tokens` is not a number of tokens below 2^40";
    assert_eq!(fault(with("completion_tokens", json!(u64::MAX))), tokens);
    let usd = "`cost_usd` is not an amount in USD of at most 1099";
    assert_eq!(fault(with("cost_usd", json!(1100))), usd);
    assert_eq!(
        fault(with("cached_tokens", json!(1201))),
        "`cached_tokens` is above `prompt_tokens`"
    );
    let secret = "`key_id` looks like a key; send a public id of it";
    assert_eq!(
        fault(with("key_id", json!("sk-proj-0123456789abcdef"))),
        secret
    );
    assert_eq!(fault(br#"{"id":"a","id":"b"}"#), "`id` is there twice");
    assert_eq!(fault(br#"{"id":"a","\u0069d":"a"}"#), "`id` is there twice");
}

#[test]
fn what_is_no_object_is_said_to_be_none() {
    for text in ["[]", "1", "\"{}\"", "null", "[{}]"] {
        assert_eq!(fault(text), "is not a JSON object");
    }
    assert_eq!(fault("{}"), "`id` is missing");
    assert_eq!(fault("{\"id\":1"), "is not JSON, at column 7");
    assert_eq!(fault("{}{}"), "is not JSON, at column 3");
    assert_eq!(fault("{\"id\":\"a\u{1}\"}"), "is not JSON, at column 8");
    assert_eq!(fault("{\"x\":1e999}"), "is not JSON that can be read");
    assert_eq!(fault(b"{\"id\":\"\xff\"}"), "is not UTF-8");
    assert_eq!(fault(b"{\"id\":\"\xed\xa0\x80\"}"), "is not UTF-8");
}

#[test]
fn money_keeps_each_digit() {
    let mut parser = Parser::default();
    for (text, nano) in [
        ("0.0000123455", 12_346),
        ("1e-9", 1),
        ("0.1234567894999999999999", 123_456_789),
        ("\"0.1234567895\"", 123_456_790),
        ("\"1099.511627776\"", 1 << 40),
        ("12", 12_000_000_000),
        ("-0.0", 0),
        ("0", 0),
    ] {
        let line = whole().to_string().replace("0.00475", text);
        compare(&mut Parser::default(), line.as_bytes());
        let line = parser.parse(line.as_bytes()).expect("a record");
        assert_eq!(line.cost.map(|cost| cost.0), Some(nano), "{text}");
    }
}

#[test]
fn what_is_not_read_may_be_anything_and_moves_nothing() {
    let mut parser = Parser::default();
    let more = r#""meta":{"cost_usd":7,"x":[{"a":1.5},[],{}],"s":"}]\"\\"},"n":123456789012345678901234567890,"l":[],"cost_usd":1.25}"#;
    let mut line = without("cost_usd");
    line.replace_range(line.len() - 1.., ",");
    line.push_str(more);
    compare(&mut Parser::default(), line.as_bytes());
    let read = parser.parse(line.as_bytes()).expect("a record");
    assert_eq!(read.cost.map(|cost| cost.0), Some(1_250_000_000));
}

#[test]
fn a_line_of_any_length_is_read_to_its_end_and_not_behind_it() {
    let mut parser = Parser::default();
    for pad in 0..200 {
        let line = with(
            "id",
            json!("é\"\\".repeat(1 + pad / 8) + &"x".repeat(pad % 8)),
        );
        compare(&mut parser, line.as_bytes());
        // What a longer line left in the buffer is not read.
        compare(&mut parser, &line.as_bytes()[..line.len() - 1]);
        compare(&mut parser, b"{");
        compare(&mut parser, b"");
    }
    for depth in 120..135 {
        let deep = format!("{{\"x\":{}1{}}}", "[".repeat(depth), "]".repeat(depth));
        compare(&mut parser, deep.as_bytes());
        let line = whole().to_string();
        let deep = format!("{},{}", &line[..line.len() - 1], &deep[1..]);
        compare(&mut parser, deep.as_bytes());
    }
}

const NAMES: &[&str] = &[
    "id",
    "time",
    "provider",
    "model",
    "key_id",
    "client_id",
    "status",
    "latency_ms",
    "ttft_ms",
    "prompt_tokens",
    "completion_tokens",
    "cached_tokens",
    "cost_usd",
    "error_type",
    "service_tier",
    "more",
];

fn member() -> impl Strategy<Value = (String, Value)> {
    let value = prop_oneof![
        arbitrary_json::value(),
        (0u64..600).prop_map(Value::from),
        (0.0..2.0).prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        Just(Value::from("timeout")),
        Just(Value::from("flex")),
    ];
    let name = prop_oneof![
        proptest::sample::select(NAMES).prop_map(str::to_owned),
        arbitrary_json::text(),
    ];
    (name, value)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    /// A sound record with some members changed, added or out of order.
    #[test]
    fn lines_mean_what_serde_json_says(
        changes in proptest::collection::vec((any::<proptest::sample::Index>(), member()), 0..4),
        places in proptest::collection::vec((0usize..13, 0usize..13), 0..6),
        style in arbitrary_json::style(),
        cut in proptest::option::weighted(0.2, any::<proptest::sample::Index>()),
    ) {
        let line = whole();
        let mut members: Vec<(String, Value)> = line
            .as_object()
            .expect("an object")
            .iter()
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect();
        for (a, b) in places {
            members.swap(a, b);
        }
        for (at, member) in changes {
            let at = at.index(members.len());
            if member.0 == "more" {
                members.insert(at, member);
            } else {
                members[at] = member;
            }
        }
        let style = if matches!(style, Style::Airy) { Style::Spaced } else { style };
        let text = arbitrary_json::object(&members, style);
        let end = cut.map_or(text.len(), |cut| cut.index(text.len()));
        compare(&mut Parser::default(), &text.as_bytes()[..end]);
    }

    #[test]
    fn numbers_mean_what_their_text_says(
        field in proptest::sample::select(&["cost_usd", "latency_ms", "prompt_tokens", "time", "status"][..]),
        text in "-?(0|[1-9][0-9]{0,21})(\\.[0-9]{1,24})?([eE][+-]?[0-9]{1,4})?",
    ) {
        let line = with(field, Value::Null).replace(&format!("\"{field}\":null"), &format!("\"{field}\":{text}"));
        compare(&mut Parser::default(), line.as_bytes());
    }

    #[test]
    fn bytes_that_are_near_a_record_are_judged_alike(
        changes in proptest::collection::vec((any::<proptest::sample::Index>(), any::<u8>()), 1..4),
    ) {
        let mut line = whole().to_string().into_bytes();
        for (at, byte) in changes {
            let at = at.index(line.len());
            line[at] = byte;
        }
        compare(&mut Parser::default(), &line);
    }
}
