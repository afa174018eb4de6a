//! What an ingest request is answered: how many lines became what, and why not.

use super::counters::Tally;
use crate::wire::ingest::Fault;
use bytes::Bytes;
use serde::Serialize;
use serde_json::value::RawValue;

/// Lines whose reason is written; of others only the number is.
const ERRORS_MAX: usize = 100;

/// What is known of a request's lines.
#[derive(Debug, Default)]
pub(crate) struct Report {
    pub(crate) tally: Tally,
    errors: Vec<(u64, Fault)>,
}

#[derive(Serialize)]
struct Answer<'a> {
    /// OpenAI's error, where the status is 400 or above.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'a RawValue>,
    accepted: u64,
    duplicates: u64,
    rejected: u64,
    errors: Vec<Wrong>,
    errors_left_out: u64,
}

#[derive(Serialize)]
struct Wrong {
    line: u64,
    reason: String,
}

impl Report {
    pub(crate) fn reject(&mut self, line: u64, fault: Fault) {
        self.tally.rejected += 1;
        if self.errors.len() < ERRORS_MAX {
            self.errors.push((line, fault));
        }
    }

    /// Whether there were lines, and none of them was a record.
    pub(crate) fn is_all_rejected(&self) -> bool {
        let Tally {
            accepted,
            duplicates,
            rejected,
        } = self.tally;
        rejected > 0 && accepted + duplicates == 0
    }

    /// The body; `error` is `{"error":...}` as [`ErrorKind`] writes it.
    ///
    /// [`ErrorKind`]: crate::wire::openai_error::ErrorKind
    pub(crate) fn body(&self, error: Option<&[u8]>) -> Bytes {
        let error: Option<&RawValue> = error.and_then(|body| {
            let inner = body.strip_prefix(br#"{"error":"#)?.strip_suffix(b"}")?;
            serde_json::from_slice(inner).ok()
        });
        let errors = self.errors.iter().map(|(line, fault)| Wrong {
            line: *line,
            reason: fault.to_string(),
        });
        let answer = Answer {
            error,
            accepted: self.tally.accepted,
            duplicates: self.tally.duplicates,
            rejected: self.tally.rejected,
            errors: errors.collect(),
            errors_left_out: self.tally.rejected - self.errors.len() as u64,
        };
        let body = serde_json::to_vec(&answer);
        body.expect("numbers and texts are JSON").into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::openai_error::ErrorKind;
    use serde_json::{Value, json};

    #[test]
    fn reasons_are_bounded_and_the_others_counted() {
        let mut report = Report::default();
        assert!(!report.is_all_rejected());
        for line in 1..=250 {
            report.reject(line, Fault::Missing("id"));
        }
        assert!(report.is_all_rejected());
        let error = ErrorKind::InvalidRequest.body();
        let body: Value = serde_json::from_slice(&report.body(Some(&error))).expect("JSON");
        assert_eq!(body["error"]["type"], "invalid_request_error");
        assert_eq!(body["rejected"], 250);
        assert_eq!(body["errors"].as_array().map(Vec::len), Some(100));
        assert_eq!(
            body["errors"][99],
            json!({"line": 100, "reason": "`id` is missing"})
        );
        assert_eq!(body["errors_left_out"], 150);
        report.tally.duplicates = 1;
        assert!(!report.is_all_rejected());
        let body: Value = serde_json::from_slice(&report.body(None)).expect("JSON");
        assert_eq!(body.get("error"), None);
    }
}
