//! Label sets: rendered once, kept by dense id, walked in the order of their values.

use super::proto::{bytes, message};
use std::cmp::Ordering;

/// What ends a label set and separates it from the value.
const END: &[u8] = b"} ";

/// Appends `name="value"`, escaped as both text formats want it.
pub(super) fn push_label(out: &mut Vec<u8>, name: &str, value: &str) {
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b"=\"");
    push_escaped(out, value, true);
    out.push(b'"');
}

/// Appends text with `\` and line feeds escaped, and quotes where they end it.
pub(super) fn push_escaped(out: &mut Vec<u8>, text: &str, quoted: bool) {
    for &byte in text.as_bytes() {
        match byte {
            b'\\' => out.extend_from_slice(br"\\"),
            b'\n' => out.extend_from_slice(br"\n"),
            b'"' if quoted => out.extend_from_slice(br#"\""#),
            _ => out.push(byte),
        }
    }
}

/// The label sets of one kind of series.
#[derive(Debug)]
pub(super) struct Labels<Id> {
    /// All sets, each `a="b",c="d"} `.
    bytes: Vec<u8>,
    /// By dense id: where a set begins, and where it ends.
    sets: Vec<(Id, usize, usize)>,
    /// Places in `sets`, in the order of the label values.
    order: Vec<u32>,
    encoded: Encoded,
}

/// The sets as protobuf has them, as far as it was asked for.
#[derive(Debug)]
struct Encoded {
    bytes: Vec<u8>,
    /// By dense id: where a set ends.
    ends: Vec<usize>,
}

impl<Id: Copy> Labels<Id> {
    pub(super) const fn new() -> Self {
        Self {
            bytes: Vec::new(),
            sets: Vec::new(),
            order: Vec::new(),
            encoded: Encoded {
                bytes: Vec::new(),
                ends: Vec::new(),
            },
        }
    }

    pub(super) const fn len(&self) -> usize {
        self.sets.len()
    }

    pub(super) fn push(&mut self, id: Id, pairs: &[(&str, &str)]) {
        let from = self.bytes.len();
        for (at, (name, value)) in pairs.iter().enumerate() {
            if at > 0 {
                self.bytes.push(b',');
            }
            push_label(&mut self.bytes, name, value);
        }
        self.bytes.extend_from_slice(END);
        self.order.push(self.sets.len() as u32);
        self.sets.push((id, from, self.bytes.len()));
    }

    /// Puts the sets in order. New ones stand at the end of a list that is sorted, which
    /// the standard library's sort turns into a merge.
    pub(super) fn sort_by(&mut self, compare: impl Fn(Id, Id) -> Ordering) {
        let sets = &self.sets;
        self.order
            .sort_by(|a, b| compare(sets[*a as usize].0, sets[*b as usize].0));
    }

    /// Prepares [`Set::encoded`] of the sets that there are.
    pub(super) fn encode(&mut self) {
        let Encoded { bytes, ends } = &mut self.encoded;
        for (_, from, to) in &self.sets[ends.len()..] {
            push_pairs(bytes, &self.bytes[*from..*to]);
            ends.push(bytes.len());
        }
    }

    /// The sets in the order of their values.
    pub(super) fn sorted(&self) -> impl Iterator<Item = (Id, Set<'_>)> {
        self.order.iter().map(|at| {
            let (id, from, to) = self.sets[*at as usize];
            let set = Set {
                text: &self.bytes[from..to],
                encoded: &self.encoded,
                at: *at,
            };
            (id, set)
        })
    }
}

/// A rendered label set.
#[derive(Clone, Copy, Debug)]
pub(super) struct Set<'a> {
    text: &'a [u8],
    encoded: &'a Encoded,
    at: u32,
}

impl<'a> Set<'a> {
    /// `a="b"} `: all that stands between `{` and the value.
    pub(super) const fn closed(self) -> &'a [u8] {
        self.text
    }

    /// `a="b"`: to be followed by a [`more`].
    pub(super) fn open(self) -> &'a [u8] {
        &self.text[..self.text.len() - END.len()]
    }

    /// The fields of protobuf, once [`Labels::encode`] was called.
    pub(super) fn encoded(self) -> &'a [u8] {
        let Encoded { bytes, ends } = self.encoded;
        let at = self.at as usize;
        let from = at.checked_sub(1).map_or(0, |before| ends[before]);
        &bytes[from..ends[at]]
    }
}

/// Last labels after an open set.
#[derive(Debug)]
pub(super) struct More {
    /// See [`more`].
    pub(super) text: Box<[u8]>,
    /// The fields of protobuf.
    pub(super) encoded: Box<[u8]>,
}

impl More {
    pub(super) fn new(pairs: &[(&str, &str)]) -> Self {
        let text = more(pairs);
        let mut encoded = Vec::new();
        push_pairs(&mut encoded, &text[1..]);
        Self {
            text,
            encoded: encoded.into(),
        }
    }

    /// `name="value"} `: the same as a set of its own.
    #[cfg(feature = "prometheus")]
    pub(super) fn alone(&self) -> &[u8] {
        &self.text[1..]
    }
}

/// `,name="value"} `: a last label after an open set.
pub(super) fn more(pairs: &[(&str, &str)]) -> Box<[u8]> {
    let mut out = Vec::new();
    for (name, value) in pairs {
        out.push(b',');
        push_label(&mut out, name, value);
    }
    out.extend_from_slice(END);
    out.into()
}

/// Appends the `LabelPair`s, field 1 of a `Metric`, of a set `a="b",c="d"} `.
fn push_pairs(out: &mut Vec<u8>, set: &[u8]) {
    pairs(set, |name, value| {
        message(out, 1, |out| {
            bytes(out, 1, name);
            bytes(out, 2, value);
        });
    });
}

/// The names and values of a set `a="b",c="d"} `, unescaped.
pub(super) fn pairs(mut set: &[u8], mut each: impl FnMut(&[u8], &[u8])) {
    let mut value = Vec::new();
    while let Some(equals) = memchr::memchr(b'=', set) {
        let (name, quoted) = (&set[..equals], &set[equals + 2..]);
        value.clear();
        let mut rest = quoted.iter();
        while let Some(byte) = rest.next() {
            value.push(match byte {
                b'"' => break,
                b'\\' => match rest.next().expect("an escape has two bytes") {
                    b'n' => b'\n',
                    escaped => *escaped,
                },
                plain => *plain,
            });
        }
        each(name, &value);
        match rest.as_slice().strip_prefix(b",") {
            Some(next) => set = next,
            None => return,
        }
    }
}
