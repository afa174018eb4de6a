//! What a connection is doing, and how long it may.

use crate::gateway::plan::Holder;
use coo_llm_runtime::coarse_now;
use std::cell::{Cell, RefCell};
use std::fmt;
use std::task::Waker;
use std::time::{Duration, Instant};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Waits for a request.
    Idle,
    /// The head of a request has begun to arrive.
    Head,
    /// The body of a request arrives.
    Body,
    /// The request is worked on or answered; its own time-outs hold.
    Work,
}

/// Whose a key is: a place in the clients of the plan of this number, and of no other.
struct Known {
    key: Box<[u8]>,
    plan: u64,
    holder: Holder,
}

/// The state of one connection, written as it moves and looked at when its alarm rings.
pub(crate) struct Watch {
    phase: Cell<Phase>,
    since: Cell<Instant>,
    head_time_max: Duration,
    idle_time_max: Duration,
    /// Since when the client takes none of the bytes that wait for it.
    blocked_since: Cell<Option<Instant>>,
    /// The key that this connection sent last, and whose it is in which plan.
    client: RefCell<Option<Known>>,
    /// The connection's task.
    task: RefCell<Option<Waker>>,
}

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Not the key.
        f.debug_struct("Watch")
            .field("phase", &self.phase)
            .finish_non_exhaustive()
    }
}

impl Watch {
    pub(super) fn new(head_time_max: Duration, idle_time_max: Duration) -> Self {
        Self {
            phase: Cell::new(Phase::Idle),
            since: Cell::new(coarse_now()),
            head_time_max,
            idle_time_max,
            blocked_since: Cell::new(None),
            client: RefCell::new(None),
            task: RefCell::new(None),
        }
    }

    fn enter(&self, phase: Phase) {
        self.phase.set(phase);
        self.since.set(coarse_now());
    }

    /// Bytes came from the client.
    pub(super) fn has_read(&self) {
        match self.phase.get() {
            Phase::Idle => self.enter(Phase::Head),
            Phase::Body => self.enter(Phase::Body),
            Phase::Head | Phase::Work => {}
        }
    }

    /// Bytes went to the client, or none could.
    pub(super) fn has_written(&self, any: bool) {
        if any {
            self.blocked_since.set(None);
        } else if self.blocked_since.get().is_none() {
            self.blocked_since.set(Some(coarse_now()));
        }
    }

    /// The head is whole and the body is being read.
    pub(crate) fn reads_body(&self) {
        self.enter(Phase::Body);
    }

    /// The request is whole.
    pub(crate) fn works(&self) {
        self.enter(Phase::Work);
    }

    /// The answer is out.
    pub(crate) fn answered(&self) {
        self.enter(Phase::Idle);
    }

    /// Whose key this is under the plan of this number, if this connection sent it before:
    /// what it learns by the time this takes, it knows.
    pub(crate) fn client_of(&self, key: &[u8], plan: u64) -> Option<Holder> {
        let client = self.client.borrow();
        client
            .as_ref()
            .filter(|known| known.plan == plan && *known.key == *key)
            .map(|known| known.holder)
    }

    /// Remembers whose key it is under the plan of this number.
    pub(crate) fn remember(&self, key: &[u8], plan: u64, holder: Holder) {
        let key = key.into();
        self.client.replace(Some(Known { key, plan, holder }));
    }

    /// When the connection has waited for too long; `None` while it works and the client
    /// takes what it gets.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let limit = match self.phase.get() {
            Phase::Idle => self.idle_time_max,
            Phase::Head | Phase::Body => self.head_time_max,
            Phase::Work => return self.blocked_since.get()?.checked_add(self.idle_time_max),
        };
        self.since.get().checked_add(limit)
    }

    /// The shortest time after which there is something to look at.
    pub(super) fn look_again(&self) -> Duration {
        self.head_time_max.min(self.idle_time_max)
    }

    pub(super) fn set_task(&self, waker: &Waker) {
        let mut task = self.task.borrow_mut();
        match &mut *task {
            Some(known) => known.clone_from(waker),
            none => *none = Some(waker.clone()),
        }
    }

    pub(super) fn wake(&self) {
        if let Some(task) = self.task.borrow().as_ref() {
            task.wake_by_ref();
        }
    }
}
