//! A JSON text as the tree that [`crate::yaml`] makes of a file, for bodies of requests.
//!
//! Numbers keep their text, so that amounts are exact, and nothing is expanded: who may
//! change a client may not read the environment. YAML takes `5` for a text and `"5"` for a
//! number; here each key has its type.

use crate::problem::{Place, Problem};
use crate::yaml::{Entry, Node, Value, item_path, key_path};
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;
use std::collections::BTreeSet;
use std::fmt;

/// Bodies have a line or two; their paths say where something is.
const PLACE: Place = Place { line: 1, column: 1 };

/// The keys of bodies whose values are numbers.
const NUMBERS: [&str; 4] = ["req_per_min", "tokens_per_min", "usd", "overlap_seconds"];
/// Those whose values, or items, are text.
const TEXTS: [&str; 7] = [
    "client_id",
    "api_key",
    "description",
    "allowed_providers",
    "ingest",
    "per",
    "action",
];

/// What is wrong with the type of a scalar at a path.
fn wrong_type(path: &str, is_text: bool, is_number: bool) -> Option<&'static str> {
    let path = path.split('[').next().unwrap_or_default();
    let key = path.rsplit('.').next().unwrap_or_default();
    if NUMBERS.contains(&key) && !is_number {
        return Some("expected a number");
    }
    (TEXTS.contains(&key) && !is_text).then_some("expected text, in quotes")
}

/// The members of an object, in their order, with those that come twice.
struct Members<'t>(Vec<(String, &'t RawValue)>);

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Read;
        impl<'de> Visitor<'de> for Read {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(Read)
    }
}

/// Reads a text.
///
/// # Errors
/// It is no JSON, or a key comes twice.
pub(crate) fn read(text: &str) -> Result<Node, Vec<Problem>> {
    let mut problems = Vec::new();
    let node = serde_json::from_str(text)
        .and_then(|raw: &RawValue| node(raw, "", &mut problems))
        .map_err(|error| vec![problem("", format!("is not JSON: {error}"))])?;
    if problems.is_empty() {
        Ok(node)
    } else {
        Err(problems)
    }
}

fn problem(path: &str, message: String) -> Problem {
    Problem {
        path: path.to_owned(),
        place: None,
        message,
    }
}

/// `serde_json` has bounded the depth when it read the whole.
fn node(raw: &RawValue, path: &str, problems: &mut Vec<Problem>) -> serde_json::Result<Node> {
    let text = raw.get();
    let value = match text.as_bytes().first() {
        Some(b'{') => {
            let Members(members) = serde_json::from_str(text)?;
            let mut seen = BTreeSet::new();
            let mut entries = Vec::new();
            for (key, raw) in members {
                let path = key_path(path, &key);
                if !seen.insert(key.clone()) {
                    problems.push(problem(&path, "is given twice; keep one".to_owned()));
                }
                entries.push(Entry {
                    value: node(raw, &path, problems)?,
                    key,
                    key_place: PLACE,
                });
            }
            Value::Map(entries)
        }
        Some(b'[') => {
            let items: Vec<&RawValue> = serde_json::from_str(text)?;
            let items = items.into_iter().enumerate();
            let items = items.map(|(at, raw)| node(raw, &item_path(path, at), problems));
            Value::List(items.collect::<Result<_, _>>()?)
        }
        Some(b'"') => {
            let text: String = serde_json::from_str(text)?;
            // What the reader of a file would expand stands for itself here.
            Value::Scalar(text.replace("${", "$${"))
        }
        _ if text == "null" => Value::Null,
        _ => Value::Scalar(text.to_owned()),
    };
    if let Value::Scalar(_) = value {
        let first = text.as_bytes().first().copied().unwrap_or_default();
        let is_number = first == b'-' || first.is_ascii_digit();
        if let Some(wrong) = wrong_type(path, first == b'"', is_number) {
            problems.push(problem(path, wrong.to_owned()));
        }
    }
    Ok(Node {
        place: PLACE,
        value,
    })
}
