//! What a worker counts about itself.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Counters of all workers, readable from any thread.
#[derive(Clone, Debug)]
pub struct Counters {
    workers: Arc<[Arc<WorkerCounters>]>,
}

/// One worker's counters. The worker is the only writer, so a count is a load and a
/// store; the alignment keeps two workers off one pair of cache lines.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(crate) struct WorkerCounters {
    spawned: AtomicU64,
    ended: AtomicU64,
    panicked: AtomicU64,
}

fn count(cell: &AtomicU64) {
    cell.store(cell.load(Relaxed).wrapping_add(1), Relaxed);
}

impl WorkerCounters {
    pub(crate) fn count_spawned(&self) {
        count(&self.spawned);
    }

    pub(crate) fn count_ended(&self) {
        count(&self.ended);
    }

    pub(crate) fn count_panicked(&self) {
        count(&self.panicked);
    }
}

impl Counters {
    pub(crate) fn new(workers: usize) -> Self {
        Self {
            workers: (0..workers).map(|_| Arc::default()).collect(),
        }
    }

    pub(crate) fn of_worker(&self, index: usize) -> Arc<WorkerCounters> {
        Arc::clone(&self.workers[index])
    }

    /// Tasks that are alive now: spawned, and neither finished nor dropped.
    #[must_use]
    pub fn tasks(&self) -> u64 {
        // `ended` is read first: read second, it could count a task that `spawned` missed.
        let ended = self.sum(|worker| &worker.ended);
        self.sum(|worker| &worker.spawned).saturating_sub(ended)
    }

    /// Tasks whose poll or drop panicked since the start.
    #[must_use]
    pub fn task_panics(&self) -> u64 {
        self.sum(|worker| &worker.panicked)
    }

    fn sum(&self, cell: impl Fn(&WorkerCounters) -> &AtomicU64) -> u64 {
        self.workers
            .iter()
            .map(|worker| cell(worker).load(Relaxed))
            .sum()
    }
}
