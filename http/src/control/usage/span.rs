//! What time an answer is about, and what it leaves out of the time that was asked for.

use crate::control::parameters::Asked;
use coo_llm_exporters::history::Window;
use serde::Serialize;
use utoipa::ToSchema;

/// The time of an answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub(super) struct Span {
    /// What the numbers are about, as unix seconds, half-open: the window that was asked for,
    /// its ends moved back to those of the history's buckets.
    pub(super) start: u64,
    pub(super) end: u64,
    /// There, and true, where nothing is known of a part of the window that was asked for.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(super) partial: bool,
    /// Of which part, and why.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) reason: Option<String>,
}

impl Span {
    /// `wanted` is what `asked` came to, `known` what the history made of it.
    pub(super) fn new(asked: Asked, wanted: Window, known: Window) -> Self {
        let Window { start_s, end_s } = known;
        let is_nothing = start_s >= end_s;
        let begins = asked.start.is_some_and(|start| start < start_s)
            || (is_nothing && wanted.end_s <= start_s);
        let reason = if begins {
            Some(format!("the history (storage.history) begins at {start_s}"))
        } else {
            is_nothing.then(|| {
                format!("the window is shorter than a bucket of the history; both its ends are {start_s}")
            })
        };
        Self {
            start: start_s,
            end: end_s,
            partial: reason.is_some(),
            reason,
        }
    }

    /// Whether nothing at all is known: then a count is not 0 but null.
    pub(super) const fn is_unknown(&self) -> bool {
        self.start >= self.end
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_out_is_told() {
        let window = |start_s, end_s| Window { start_s, end_s };
        let span = |start, end, wanted, known| Span::new(Asked { start, end }, wanted, known);
        // Nothing was asked for that is not known.
        let whole = span(None, None, window(5, 99), window(20, 90));
        assert!(!whole.partial, "{whole:?}");
        let inside = span(Some(25), Some(58), window(25, 58), window(20, 50));
        assert!(!inside.partial, "{inside:?}");
        let early = span(Some(5), None, window(5, 99), window(20, 90));
        assert!(early.partial);
        assert!(early.reason.expect("one").contains("begins at 20"));
        for before in [
            span(Some(5), Some(9), window(5, 9), window(20, 20)),
            span(None, Some(9), window(0, 9), window(20, 20)),
        ] {
            assert!(before.partial);
            assert!(before.reason.expect("one").contains("begins at 20"));
        }
        let short = span(Some(33), Some(37), window(33, 37), window(30, 30));
        assert!(short.partial);
        assert!(short.reason.expect("one").contains("shorter than a bucket"));
    }
}
