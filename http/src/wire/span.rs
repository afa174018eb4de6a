//! Where a value stands inside a body.

use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

/// A half-open range of bytes of a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// Offset of the first byte.
    pub start: usize,
    /// Offset behind the last byte.
    pub end: usize,
}

impl Span {
    /// Where `part`, which was borrowed from `whole`, stands in it.
    pub(super) fn of(part: &str, whole: &[u8]) -> Self {
        let start = part.as_ptr().addr() - whole.as_ptr().addr();
        Self {
            start,
            end: start + part.len(),
        }
    }
}

/// A JSON value as it was written; unlike `Option<&RawValue>`, `null` is a value.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Raw<'a>(Option<&'a RawValue>);

impl<'a> Raw<'a> {
    /// The text of the value; `None` where the member is absent.
    pub(super) fn text(self) -> Option<&'a str> {
        self.0.map(RawValue::get)
    }

    /// The text of the value; `None` where it is absent or `null`.
    pub(super) fn some(self) -> Option<&'a str> {
        self.text().filter(|text| *text != "null")
    }

    /// Whether this is a string, array or object with something in it.
    pub(super) fn is_filled(self) -> bool {
        self.text().is_some_and(|text| match text.as_bytes() {
            [b'"', inner @ .., _] => !inner.is_empty(),
            [b'[' | b'{', inner @ .., _] => !inner.trim_ascii().is_empty(),
            _ => false,
        })
    }
}

impl<'a, 'de: 'a> Deserialize<'de> for Raw<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        <&'de RawValue>::deserialize(deserializer).map(|raw| Self(Some(raw)))
    }
}
