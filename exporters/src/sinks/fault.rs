//! Why a store did not take rows.

use std::fmt;
use std::time::Duration;

/// The kinds of faults: the label `reason` of `coo_llm_sink_failures_total`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reason {
    /// There is no connection to be had.
    Connect,
    /// No answer in time; the rows may be in the store.
    Timeout,
    /// The connection broke; the rows may be in the store.
    Broken,
    /// The store does not accept who we are.
    Auth,
    /// The store is there and takes nothing now: it is full, read-only, or limits us.
    Busy,
    /// The store refuses the rows for what they are.
    Refused,
    /// The history's file cannot be read, or has no rows that would go on where the store is.
    History,
}

impl Reason {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Connect,
        Self::Timeout,
        Self::Broken,
        Self::Auth,
        Self::Busy,
        Self::Refused,
        Self::History,
    ];

    /// The value of the label.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::Timeout => "timeout",
            Self::Broken => "broken",
            Self::Auth => "auth",
            Self::Busy => "busy",
            Self::Refused => "refused",
            Self::History => "history",
        }
    }
}

/// A store did not take rows, or it is not known whether it did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Its kind.
    pub reason: Reason,
    /// What the store or the system said; never a secret.
    pub detail: String,
    /// How long the store wants to be left alone.
    pub retry_after: Option<Duration>,
}

impl Fault {
    /// A fault of a kind.
    pub fn new(reason: Reason, detail: impl fmt::Display) -> Self {
        Self {
            reason,
            detail: detail.to_string(),
            retry_after: None,
        }
    }

    /// The same, with the time that the store asked for.
    #[must_use]
    pub fn after(mut self, wait: Option<Duration>) -> Self {
        self.retry_after = wait;
        self
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.reason.as_str(), self.detail)
    }
}

impl std::error::Error for Fault {}
