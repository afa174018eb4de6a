//! A row of the trail, and its JSON.

use crate::wire::json_text::{is_unsafe, quote};
use std::fmt::Write;
use std::net::IpAddr;

/// Bytes of a request's path that are kept.
const PATH_BYTES_MAX: usize = 512;

/// What a handler adds to the row of its request, as an extension of its answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::control) struct Note {
    /// Who it was.
    pub(in crate::control) actor: Option<String>,
    /// How they showed it.
    pub(in crate::control) method: Option<&'static str>,
    /// Why it was refused.
    pub(in crate::control) reason: Option<&'static str>,
    /// Refusals of this kind in a row, of which only the 1st, 2nd, 4th, 8th ... has a row.
    pub(in crate::control) refusals: Option<u64>,
}

impl Note {
    /// Of somebody unknown who was refused.
    pub(in crate::control) fn refused(reason: &'static str) -> Self {
        Self {
            reason: Some(reason),
            ..Self::default()
        }
    }
}

/// A request to the admin API and what became of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::control) struct Request {
    pub(in crate::control) method: String,
    pub(in crate::control) path: String,
    /// The route's template, as in the metrics.
    pub(in crate::control) endpoint: String,
    pub(in crate::control) address: Option<IpAddr>,
    /// `None` where the client left before there was an answer.
    pub(in crate::control) status: Option<u16>,
    pub(in crate::control) duration_ms: u64,
    pub(in crate::control) note: Note,
}

/// What a row tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::control) enum Event {
    /// The gateway starts.
    Start,
    /// It stops.
    Stop,
    Request(Request),
    /// So many rows could not be written since the one before.
    Lost(u64),
    /// A row was not whole when the gateway started; so many bytes of it were set aside.
    Torn(u64),
    /// There were rows, and no anchor.
    AnchorMissing,
    /// The oldest file is removed, to make room.
    Removed {
        /// Its first row and its last, with the last one's hash.
        first: u64,
        last: u64,
        last_hash: String,
    },
}

/// A row before it is part of the chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::control) struct Row {
    pub(in crate::control) time_ms: u64,
    pub(in crate::control) event: Event,
}

impl Row {
    pub(super) fn now(event: Event) -> Self {
        Self {
            time_ms: coo_llm_runtime::unix_ms(),
            event,
        }
    }

    /// The members of its object behind `seq` and `time`, each with a comma before it.
    pub(super) fn members(&self) -> String {
        let mut out = Members(String::new());
        match &self.event {
            Event::Start => {
                out.text("event", "start");
                out.text("version", env!("CARGO_PKG_VERSION"));
            }
            Event::Stop => out.text("event", "stop"),
            Event::Request(request) => request.members(&mut out),
            Event::Lost(rows) => {
                out.text("event", "lost");
                out.number("rows", *rows);
            }
            Event::Torn(bytes) => {
                out.text("event", "torn");
                out.number("bytes", *bytes);
            }
            Event::AnchorMissing => out.text("event", "anchor_missing"),
            Event::Removed {
                first,
                last,
                last_hash,
            } => {
                out.text("event", "removed");
                out.number("first", *first);
                out.number("last", *last);
                out.text("last_hash", last_hash);
            }
        }
        out.0
    }
}

impl Request {
    fn members(&self, out: &mut Members) {
        out.text("event", "request");
        out.text("method", self.method.get(..32).unwrap_or(&self.method));
        out.text("path", cut(&self.path));
        if self.path.len() > PATH_BYTES_MAX {
            out.number("path_bytes", self.path.len() as u64);
        }
        out.text("endpoint", &self.endpoint);
        let address = self.address.map(|address| address.to_string());
        out.optional("address", address.as_deref());
        out.optional("actor", self.note.actor.as_deref());
        out.optional("auth", self.note.method);
        match self.status {
            Some(status) => out.number("status", status.into()),
            None => out.optional("status", None),
        }
        out.number("duration_ms", self.duration_ms);
        if let Some(reason) = self.note.reason {
            out.text("reason", reason);
        }
        if let Some(refusals) = self.note.refusals {
            out.number("refusals", refusals);
        }
    }
}

/// As much of the path as is kept.
fn cut(path: &str) -> &str {
    let mut end = path.len().min(PATH_BYTES_MAX);
    while !path.is_char_boundary(end) {
        end -= 1;
    }
    &path[..end]
}

/// Members of a JSON object.
struct Members(String);

impl Members {
    fn text(&mut self, name: &str, text: &str) {
        // Writing to a String cannot fail.
        let _infallible = write!(self.0, ",\"{name}\":");
        quote(&mut self.0, text);
    }

    fn number(&mut self, name: &str, number: u64) {
        let _infallible = write!(self.0, ",\"{name}\":{number}");
    }

    fn optional(&mut self, name: &str, text: Option<&str>) {
        match text {
            Some(text) => self.text(name, text),
            None => {
                let _infallible = write!(self.0, ",\"{name}\":null");
            }
        }
    }
}

/// Text for a line of the log: no request can write one of its own.
pub(in crate::control) fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if is_unsafe(c) {
            let _infallible = write!(out, "{}", c.escape_default());
        } else {
            out.push(c);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_log_line_cannot_be_broken() {
        assert_eq!(escaped("a\nb\r\u{1b}[0m\u{9b}"), r"a\nb\r\u{1b}[0m\u{9b}");
        assert_eq!(escaped("x\u{202e}y\u{2028}"), r"x\u{202e}y\u{2028}");
        assert_eq!(escaped("/\u{fc}"), "/\u{fc}");
    }

    proptest! {
        /// Whatever a client sends: one line, and what stands in it is what came.
        #[test]
        fn a_row_is_one_line_of_json_and_says_what_came(
            method in ".{0,20}", path in "(?s).{0,300}", actor in "(?s).{0,50}",
        ) {
            let row = Row {
                time_ms: 1,
                event: Event::Request(Request {
                    method: method.clone(),
                    path: path.clone(),
                    endpoint: "other".to_owned(),
                    address: None,
                    status: Some(200),
                    duration_ms: 3,
                    note: Note { actor: Some(actor.clone()), ..Note::default() },
                }),
            };
            let members = row.members();
            prop_assert!(!members.chars().any(is_unsafe));
            let json = format!("{{\"seq\":1{members}}}");
            let json: serde_json::Value = serde_json::from_str(&json).expect("JSON");
            prop_assert_eq!(&json["actor"], &actor);
            prop_assert_eq!(&json["path"], cut(&path));
            prop_assert_eq!(&json["status"], 200);
            prop_assert!(!escaped(&path).chars().any(is_unsafe));
        }
    }
}
