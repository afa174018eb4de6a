//! What stays on a worker's desk whatever the configuration says.

use super::ingest::IngestDesk;
use crate::control::Handover;
use crate::gateway::ingest::IngestCounters;
use crate::gateway::limits::OwnSeat;
use crate::gateway::request_line::RequestLog;
use crate::gateway::setup::Setup;
use crate::wire::prng::Prng;
use crate::wire::request_id::{ProcessTag, RequestIds};
use coo_llm_core::{ShardWriter, UnixMillis};
use coo_llm_runtime::unix_ms;
use std::cell::{Cell, RefCell};
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::time::Instant;

/// What a worker needs from outside, but for its [`Setup`](crate::gateway::Setup).
#[derive(Clone)]
pub(crate) struct Supplies {
    pub(crate) log: RequestLog,
    pub(crate) handover: Handover,
    pub(crate) is_control_apart: bool,
    pub(crate) process: ProcessTag,
    pub(crate) ingest: Arc<IngestCounters>,
}

/// See the module.
pub(super) struct Fixtures {
    pub(super) worker: usize,
    pub(super) writer: RefCell<ShardWriter>,
    /// The worker's place at all limits.
    pub(super) seat: OwnSeat,
    /// For the jitter of pauses.
    pub(super) chance: RefCell<Prng>,
    pub(super) request_ids: RefCell<RequestIds>,
    /// A moment by both clocks, so that a record needs no reading of the wall clock.
    anchor: Cell<(Instant, UnixMillis)>,
    pub(super) log: RequestLog,
    pub(super) none: Arc<str>,
    pub(super) handover: Handover,
    /// Whether the control plane listens elsewhere.
    pub(super) is_control_apart: bool,
    pub(super) ingest: IngestDesk,
}

impl Fixtures {
    pub(super) fn new(supplies: &Supplies, setup: &Setup, worker: usize) -> Self {
        let ids = RequestIds::new(supplies.process, u16::try_from(worker).unwrap_or(u16::MAX));
        Self {
            worker,
            writer: RefCell::new(setup.plan.meter.writer()),
            seat: setup.ledgers.seat(worker),
            chance: RefCell::new(Prng::new(RandomState::new().hash_one(worker))),
            request_ids: RefCell::new(ids),
            anchor: Cell::new(anchor()),
            log: Arc::clone(&supplies.log),
            none: coo_llm_core::catalog::NONE.into(),
            handover: supplies.handover.clone(),
            is_control_apart: supplies.is_control_apart,
            ingest: IngestDesk::new(Arc::clone(&supplies.ingest)),
        }
    }

    /// The wall clock's time at `now`.
    pub(super) fn unix_millis(&self, now: Instant) -> UnixMillis {
        let (then, unix) = self.anchor.get();
        let passed = now.saturating_duration_since(then).as_millis();
        UnixMillis(
            unix.0
                .saturating_add(u64::try_from(passed).unwrap_or(u64::MAX)),
        )
    }

    /// The wall clock, a second ago at most, in Unix seconds.
    pub(super) fn unix_seconds(&self) -> u64 {
        self.anchor.get().1.0 / 1000
    }

    /// What is due once a second.
    pub(super) fn tidy(&self) {
        self.anchor.set(anchor());
    }
}

fn anchor() -> (Instant, UnixMillis) {
    (Instant::now(), UnixMillis(unix_ms()))
}
