//! What the workers count of ingest, for the control plane to read.

use super::ledger::Ledger;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Records taken in, and requests that brought them.
#[derive(Debug)]
pub struct IngestCounters {
    pub(crate) ledger: Arc<Ledger>,
    accepted: AtomicU64,
    duplicates: AtomicU64,
    rejected: AtomicU64,
    busy: AtomicU64,
    requests: [AtomicU64; Self::STATUSES.len()],
}

/// Lines by what became of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Recorded.
    pub accepted: u64,
    /// Their id was there before.
    pub duplicates: u64,
    /// Not understood, or not allowed.
    pub rejected: u64,
}

impl std::ops::AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        self.accepted += other.accepted;
        self.duplicates += other.duplicates;
        self.rejected += other.rejected;
    }
}

impl IngestCounters {
    /// The statuses that an answer may have.
    pub(crate) const STATUSES: [u16; 7] = [200, 400, 401, 403, 405, 413, 415];

    pub(crate) fn new(ledger: Arc<Ledger>) -> Self {
        Self {
            ledger,
            accepted: AtomicU64::new(0),
            duplicates: AtomicU64::new(0),
            rejected: AtomicU64::new(0),
            busy: AtomicU64::new(0),
            requests: Default::default(),
        }
    }

    /// Once a batch, beside which a few instructions with a lock prefix are nothing.
    pub(crate) fn add(&self, tally: Tally) {
        for (counter, more) in [
            (&self.accepted, tally.accepted),
            (&self.duplicates, tally.duplicates),
            (&self.rejected, tally.rejected),
        ] {
            if more > 0 {
                counter.fetch_add(more, Ordering::Relaxed);
            }
        }
    }

    pub(crate) fn was_busy(&self) {
        self.busy.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn answered(&self, status: u16) {
        let at = Self::STATUSES.iter().position(|known| *known == status);
        // Each status that `desk::ingest` gives is in the list; its tests ask for them.
        if let Some(at) = at {
            self.requests[at].fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Lines so far.
    #[must_use]
    pub fn tally(&self) -> Tally {
        Tally {
            accepted: self.accepted.load(Ordering::Relaxed),
            duplicates: self.duplicates.load(Ordering::Relaxed),
            rejected: self.rejected.load(Ordering::Relaxed),
        }
    }

    /// Requests by the status of their answer.
    pub fn requests(&self) -> impl Iterator<Item = (u16, u64)> {
        let counts = self
            .requests
            .iter()
            .map(|count| count.load(Ordering::Relaxed));
        Self::STATUSES.into_iter().zip(counts)
    }

    /// Ids that were forgotten before their window was over.
    #[must_use]
    pub fn evicted(&self) -> u64 {
        self.ledger.evicted()
    }

    /// Pauses because another worker looked into the same part of the ledger.
    #[must_use]
    pub fn busy(&self) -> u64 {
        self.busy.load(Ordering::Relaxed)
    }
}
