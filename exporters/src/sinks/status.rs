//! How a sink does, for /metrics and health.

use super::fault::{Fault, Reason};
use crate::history::Position;
use coo_llm_core::UnixMillis;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Whether a sink takes rows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum State {
    /// It was not reached yet.
    #[default]
    Starting,
    /// It took the last rows.
    Up,
    /// It did not; they are tried again.
    Down,
    /// Rows that would go on where it is are not there. It takes nothing until somebody
    /// has looked: see [`Status::error`].
    Stopped,
}

impl State {
    /// In words.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Up => "up",
            Self::Down => "down",
            Self::Stopped => "stopped",
        }
    }
}

/// How a sink does.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Status {
    /// Whether it takes rows.
    pub state: State,
    /// Rows that it took since this process began.
    pub rows: u64,
    /// Calls in which it took them.
    pub batches: u64,
    /// Rows that it will never take, put aside with its reasons.
    pub set_aside: u64,
    /// Failures by reason, all of which were tried again.
    pub failures: BTreeMap<Reason, u64>,
    /// How often the store was found behind where it had been, and got rows again.
    pub rewinds: u64,
    /// Where it is; `None` until that is known.
    pub position: Option<Position>,
    /// About how many bytes wait for it in the history; `None` until that is known.
    pub waiting_bytes: Option<u64>,
    /// When it last took rows, or said that it has all.
    pub last_success: Option<UnixMillis>,
    /// The last failure, until it takes rows again.
    pub error: Option<String>,
}

/// The status that a [`Delivery`](super::Delivery) keeps; a clone is the same one.
#[derive(Clone, Debug, Default)]
pub struct StatusHandle(Arc<Mutex<Status>>);

impl StatusHandle {
    fn lock(&self) -> MutexGuard<'_, Status> {
        // Counters: whole after a panic.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// As it is now.
    #[must_use]
    pub fn read(&self) -> Status {
        self.lock().clone()
    }

    pub(super) fn is_at(&self, position: Position, now: UnixMillis) {
        let mut status = self.lock();
        status.state = State::Up;
        status.error = None;
        status.position = Some(position);
        status.last_success = Some(now);
    }

    pub(super) fn was_at(&self, position: Position) {
        self.lock().position = Some(position);
    }

    pub(super) fn waits(&self, bytes: u64) {
        self.lock().waiting_bytes = Some(bytes);
    }

    pub(super) fn took(&self, rows: usize, set_aside: usize) {
        let mut status = self.lock();
        status.rows += (rows - set_aside) as u64;
        status.set_aside += set_aside as u64;
        status.batches += 1;
    }

    pub(super) fn rewound(&self) {
        self.lock().rewinds += 1;
    }

    /// Notes a failure; whether it is another one than the last.
    pub(super) fn failed(&self, fault: &Fault, state: State) -> bool {
        let mut status = self.lock();
        *status.failures.entry(fault.reason).or_default() += 1;
        let is_new = status.state != state;
        status.state = state;
        status.error = Some(fault.to_string());
        is_new
    }
}
