use bytes::Bytes;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::wire::arbitrary_json::{key, object, style, text, value};
use crate::wire::rewrite;

fn parse(body: &str) -> Envelope<'_> {
    Envelope::parse(body.as_bytes()).expect("a sound envelope")
}

fn refused(body: &[u8]) -> EnvelopeError {
    Envelope::parse(body).expect_err("a faulty envelope")
}

fn rewritten(body: &str, model: Option<&str>, ask_usage: bool) -> String {
    let body = Bytes::copy_from_slice(body.as_bytes());
    let envelope = Envelope::parse(&body).expect("a sound envelope");
    let out = rewrite(&body, &envelope, model, ask_usage);
    String::from_utf8(out.to_vec()).expect("UTF-8")
}

#[test]
fn members_are_found_wherever_they_stand() {
    let envelope = parse(r#"{"messages":[{"model":"no"}],"stream":true,"model":"gpt-4o"}"#);
    assert_eq!(envelope.model, "gpt-4o");
    assert!(matches!(envelope.model, Cow::Borrowed(_)));
    assert!(envelope.stream);
    assert_eq!(envelope.include_usage, None);

    let escaped = parse(r#" { "mod\u0065l" : "a\"\u00e9\\" , "stream" : null } "#);
    assert_eq!(escaped.model, "a\"é\\");
    assert!(!escaped.stream);

    let asked = parse(r#"{"model":"m","stream_options":{"x":1,"include_usage":false}}"#);
    assert_eq!(asked.include_usage, Some(false));
}

#[test]
fn faults_are_told_apart() {
    use EnvelopeError as E;
    for (body, is_expected) in [
        (
            "",
            (|e| {
                matches!(
                    e,
                    E::Malformed {
                        line: 1,
                        column: 0,
                        ..
                    }
                )
            }) as fn(E) -> bool,
        ),
        ("{\"model\":\"m\",\n \"n\":tru}", |e| {
            matches!(
                e,
                E::Malformed {
                    line: 2,
                    column: 9,
                    ..
                }
            )
        }),
        (r#"{"model":"m"} x"#, |e| {
            matches!(
                e,
                E::Malformed {
                    line: 1,
                    column: 15,
                    ..
                }
            )
        }),
        (r#"{"model":"m","n":01}"#, |e| {
            matches!(e, E::Malformed { .. })
        }),
        (r#"{"model":"\ud800"}"#, |e| {
            matches!(e, E::Malformed { .. })
        }),
        (r#"["model"]"#, |e| matches!(e, E::NotAnObject)),
        ("nul", |e| matches!(e, E::Malformed { .. })),
        ("7", |e| matches!(e, E::NotAnObject)),
        ("{}", |e| matches!(e, E::ModelMissing)),
        (r#"{"model":null}"#, |e| matches!(e, E::ModelNotString)),
        (r#"{"model":7}"#, |e| matches!(e, E::ModelNotString)),
        (r#"{"model":""}"#, |e| matches!(e, E::ModelEmpty)),
        (r#"{"model":"m","stream":"true"}"#, |e| {
            matches!(e, E::StreamNotBool)
        }),
        (r#"{"model":"m","stream":1}"#, |e| {
            matches!(e, E::StreamNotBool)
        }),
        (r#"{"model":"a","mod\u0065l":"b"}"#, |e| {
            matches!(e, E::DuplicateMember { name: "model" })
        }),
        (r#"{"model":"a","stream":true,"stream":false}"#, |e| {
            matches!(e, E::DuplicateMember { name: "stream" })
        }),
        (
            r#"{"model":"a","stream_options":{"include_usage":true,"include_usage":false}}"#,
            |e| {
                matches!(
                    e,
                    E::DuplicateMember {
                        name: "stream_options.include_usage"
                    }
                )
            },
        ),
    ] {
        let error = refused(body.as_bytes());
        let text = format!("{error:?}");
        assert!(is_expected(error), "{body} gave {text}");
    }
    assert!(matches!(
        refused(b"{\"model\":\"\xff\"}"),
        E::NotUtf8 { offset_bytes: 10 }
    ));
}

#[test]
fn a_fault_never_quotes_the_body() {
    let error = refused(br#"{"model":"m","secret-1":"secret-2" "secret-3"}"#);
    assert!(!error.to_string().contains("secret"), "{error}");
    assert!(error.to_string().contains("line 1 column 36"), "{error}");
}

#[test]
fn deep_nesting_is_no_stack_overflow() {
    let depth = 500_000;
    let body = format!(
        r#"{{"x":{}{},"model":"m"}}"#,
        "[".repeat(depth),
        "]".repeat(depth)
    );
    assert_eq!(parse(&body).model, "m");
}

#[test]
fn untouched_bodies_are_the_same_allocation() {
    let body = Bytes::from_static(br#"{"model":"m","stream":false}"#);
    let envelope = Envelope::parse(&body).expect("a sound envelope");
    for (model, ask) in [(None, false), (Some("m"), false), (None, true)] {
        assert_eq!(
            rewrite(&body, &envelope, model, ask).as_ptr(),
            body.as_ptr()
        );
    }
}

#[test]
fn each_place_of_the_wish_for_usage_is_spliced() {
    for (body, expected) in [
        (
            r#"{ "model":"m","stream":true}"#,
            r#"{"stream_options":{"include_usage":true}, "model":"m","stream":true}"#,
        ),
        (
            r#"{"model":"m","stream":true,"stream_options": null }"#,
            r#"{"model":"m","stream":true,"stream_options": {"include_usage":true} }"#,
        ),
        (
            r#"{"model":"m","stream":true,"stream_options":{ } }"#,
            r#"{"model":"m","stream":true,"stream_options":{"include_usage":true } }"#,
        ),
        (
            r#"{"stream_options":{ "include_obfuscation":false},"model":"m","stream":true}"#,
            r#"{"stream_options":{"include_usage":true, "include_obfuscation":false},"model":"m","stream":true}"#,
        ),
        (
            r#"{"stream_options":{"include_usage":false},"stream":true,"model":"m"}"#,
            r#"{"stream_options":{"include_usage":true},"stream":true,"model":"m"}"#,
        ),
        (
            r#"{"stream_options":{"include_usage":null},"stream":true,"model":"m"}"#,
            r#"{"stream_options":{"include_usage":true},"stream":true,"model":"m"}"#,
        ),
    ] {
        assert!(parse(body).can_ask_usage());
        assert_eq!(rewritten(body, None, true), expected);
    }
}

#[test]
fn what_the_upstream_would_refuse_it_shall_see() {
    for body in [
        r#"{"model":"m","stream":true,"stream_options":"yes"}"#,
        r#"{"model":"m","stream":true,"stream_options":{"include_usage":"yes"}}"#,
        r#"{"model":"m","stream":true,"stream_options":{"include_usage":true}}"#,
        r#"{"model":"m","stream":false,"stream_options":{"include_usage":false}}"#,
    ] {
        assert!(!parse(body).can_ask_usage());
        assert_eq!(rewritten(body, None, true), body);
    }
}

#[test]
fn the_new_model_is_escaped() {
    let body = r#"{"model":"old","n":1}"#;
    assert_eq!(
        rewritten(body, Some("a\"b\\\u{1}é"), false),
        r#"{"model":"a\"b\\\u0001é","n":1}"#
    );
}

/// `stream_options` in each of its forms.
fn options() -> impl Strategy<Value = Option<Value>> {
    let usage = prop_oneof![
        Just(json!(true)),
        Just(json!(false)),
        Just(json!(null)),
        Just(json!("yes")),
    ];
    let object = (proptest::option::of(usage), proptest::option::of(value())).prop_map(|(u, x)| {
        let mut map = serde_json::Map::new();
        if let Some(usage) = u {
            map.insert("include_usage".to_owned(), usage);
        }
        if let Some(x) = x {
            map.insert("a".to_owned(), x);
        }
        Value::Object(map)
    });
    proptest::option::of(prop_oneof![object, Just(json!(null)), Just(json!([1]))])
}

/// The members of a body in any order, none of them twice.
fn members() -> impl Strategy<Value = Vec<(String, Value)>> {
    let ours = ["model", "stream", "stream_options"];
    let model = text().prop_filter("not empty", |text| !text.is_empty());
    let stream = proptest::option::of(prop_oneof![
        Just(json!(true)),
        Just(json!(true)),
        Just(json!(false)),
        Just(json!(null))
    ]);
    let others = proptest::collection::btree_map(key(), value(), 0..5);
    (model, stream, options(), others)
        .prop_map(move |(model, stream, options, others)| {
            let mut members: Vec<(String, Value)> = others
                .into_iter()
                .filter(|(name, _)| !ours.contains(&name.as_str()))
                .collect();
            members.push(("model".to_owned(), Value::from(model)));
            members.extend(stream.map(|value| ("stream".to_owned(), value)));
            members.extend(options.map(|value| ("stream_options".to_owned(), value)));
            members
        })
        .prop_shuffle()
}

/// The oracle: what the body means after the rewrite.
fn expected(body: &Value, model: Option<&str>, ask_usage: bool) -> Value {
    let mut expected = body.clone();
    if let Some(model) = model {
        expected["model"] = Value::from(model);
    }
    if ask_usage && body["stream"] == json!(true) {
        let options = &mut expected["stream_options"];
        if options.is_null() {
            *options = json!({});
        }
        if let Some(options) = options.as_object_mut() {
            let usage = options.entry("include_usage").or_insert(Value::Null);
            if usage.is_null() || usage.is_boolean() {
                *usage = json!(true);
            }
        }
    }
    expected
}

/// Whether `out` is `body` with at most two ranges replaced by at most `new` bytes.
fn is_spliced(body: &[u8], out: &[u8], envelope: &Envelope<'_>) -> bool {
    let mut cuts = vec![(envelope.model_span.start, envelope.model_span.end)];
    match envelope.usage_place {
        UsagePlace::Body { at } | UsagePlace::Options { at, .. } => cuts.push((at, at)),
        UsagePlace::Null { value } | UsagePlace::Value { value } => {
            cuts.push((value.start, value.end));
        }
        UsagePlace::Asked | UsagePlace::Invalid => {}
    }
    cuts.sort_unstable();
    // The kept pieces stand in `out` in order, the first at its head, the last at its tail.
    let mut kept = Vec::new();
    let mut from = 0;
    for (start, end) in cuts {
        kept.push(&body[from..start]);
        from = end;
    }
    let tail = &body[from..];
    let Some(mut rest) = out
        .strip_prefix(kept[0])
        .and_then(|rest| rest.strip_suffix(tail))
    else {
        return false;
    };
    for piece in &kept[1..] {
        let Some(at) = memchr::memmem::find(rest, piece) else {
            return false;
        };
        rest = &rest[at + piece.len()..];
    }
    true
}

proptest! {
    #[test]
    fn a_rewrite_changes_what_it_should_and_no_other_byte(
        members in members(),
        style in style(),
        new_model in proptest::option::of(text()),
        ask_usage in any::<bool>(),
    ) {
        let body = Bytes::from(object(&members, style));
        let meant: Value = serde_json::from_slice(&body).expect("the generator writes JSON");
        let envelope = Envelope::parse(&body).expect("a sound envelope");
        prop_assert_eq!(Some(envelope.model.as_ref()), meant["model"].as_str());
        prop_assert_eq!(envelope.stream, meant["stream"] == json!(true));
        prop_assert_eq!(envelope.include_usage, meant["stream_options"]["include_usage"].as_bool());

        let out = rewrite(&body, &envelope, new_model.as_deref(), ask_usage);
        let got: Value = serde_json::from_slice(&out).expect("a rewrite leaves JSON");
        prop_assert_eq!(got, expected(&meant, new_model.as_deref(), ask_usage));
        prop_assert!(is_spliced(&body, &out, &envelope));
    }

    #[test]
    fn any_bytes_are_accepted_as_serde_json_accepts_them(body in any::<Vec<u8>>()) {
        if let Err(EnvelopeError::Malformed { .. } | EnvelopeError::NotUtf8 { .. }) =
            Envelope::parse(&body)
        {
            prop_assert!(serde_json::from_slice::<Value>(&body).is_err());
        }
    }
}
