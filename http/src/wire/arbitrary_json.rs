//! Random JSON, and several ways to write the same value, for the property tests.

use proptest::prelude::*;
use serde_json::Value;

/// Any JSON value, with strings and keys that try to look like ours.
pub(super) fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        (-1.0e6..1.0e6).prop_map(Value::from),
        text().prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 24, 5, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            proptest::collection::vec((key(), inner), 0..5)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

/// Text with quotes, escapes, brackets and look-alikes of members.
pub(super) fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        ".{0,12}",
        r#"[\\"{}\[\],:usage é\n😀]{0,16}"#,
        Just(r#"","usage":{"prompt_tokens":1},"x":""#.to_owned()),
        Just(r#"{"usage":null}"#.to_owned()),
    ]
}

/// A key, often one of ours.
pub(super) fn key() -> impl Strategy<Value = String> {
    const OURS: &[&str] = &[
        "usage",
        "model",
        "error",
        "stream",
        "include_usage",
        "choices",
        "delta",
    ];
    prop_oneof![
        text(),
        proptest::sample::select(OURS).prop_map(str::to_owned)
    ]
}

/// A way to write JSON.
#[derive(Clone, Copy, Debug)]
pub(super) enum Style {
    Compact,
    /// `", "` and `": "`, as Python writes it.
    Spaced,
    /// Line breaks and tabs wherever JSON allows white space.
    Airy,
    /// Each letter of a key is escaped.
    EscapedKeys,
}

pub(super) fn style() -> impl Strategy<Value = Style> {
    proptest::sample::select(
        &[
            Style::Compact,
            Style::Spaced,
            Style::Airy,
            Style::EscapedKeys,
        ][..],
    )
}

/// An object with its members in the given order.
pub(super) fn object(members: &[(String, Value)], style: Style) -> String {
    let (open, comma, colon, close) = match style {
        Style::Compact | Style::EscapedKeys => ("{", ",", ":", "}"),
        Style::Spaced => ("{", ", ", ": ", "}"),
        Style::Airy => (" \r\n{ \t", "\n ,\n\t", " :\r\n ", "\n} \n"),
    };
    let members: Vec<String> = members
        .iter()
        .map(|(name, value)| format!("{}{colon}{}", quoted(name, style), written(value, style)))
        .collect();
    format!("{open}{}{close}", members.join(comma))
}

/// A value in that style.
pub(super) fn written(value: &Value, style: Style) -> String {
    match value {
        Value::Object(map) => {
            let members: Vec<_> = map.iter().map(|(k, v)| (k.clone(), v.clone())).collect();
            object(&members, style)
        }
        Value::Array(items) => {
            let items: Vec<String> = items.iter().map(|item| written(item, style)).collect();
            format!(
                "[{}]",
                items.join(if matches!(style, Style::Compact) {
                    ","
                } else {
                    " , "
                })
            )
        }
        scalar => scalar.to_string(),
    }
}

fn quoted(name: &str, style: Style) -> String {
    match style {
        Style::EscapedKeys => {
            let units: String = name
                .encode_utf16()
                .map(|unit| format!("\\u{unit:04X}"))
                .collect();
            format!("\"{units}\"")
        }
        _ => Value::from(name).to_string(),
    }
}

/// The pieces of `bytes`, cut at these relative places (0..=65535).
pub(super) fn cut<'a>(bytes: &'a [u8], places: &[u16]) -> Vec<&'a [u8]> {
    let mut ends: Vec<usize> = places
        .iter()
        .map(|place| bytes.len() * usize::from(*place) / 65_535)
        .collect();
    ends.push(bytes.len());
    ends.sort_unstable();
    let mut from = 0;
    ends.into_iter()
        .map(|end| {
            let piece = &bytes[from..end];
            from = end;
            piece
        })
        .collect()
}
