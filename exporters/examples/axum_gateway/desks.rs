//! A writer for each thread of a pool.

use coo_llm_core::names::Names;
use coo_llm_core::{Catalog, Meter, ShardWriter};
use std::cell::RefCell;
use thread_local::ThreadLocal;

/// The desks of all threads that ever recorded something.
///
/// A [`ShardWriter`] belongs to one thread at a time, but a task of tokio may wake up on another
/// thread after every `.await`. So no task keeps one: what has something to record does it at
/// the desk of the thread that it happens to run on. [`Desks::here`] takes a closure that is
/// not async, and so no `.await` can come between.
///
/// A thread's first record makes its shard, which waits for a scrape that is under way. After
/// that nothing here waits or locks.
pub(crate) struct Desks {
    meter: Meter,
    by_thread: ThreadLocal<RefCell<Desk>>,
}

/// What one thread records with.
pub(crate) struct Desk {
    pub(crate) writer: ShardWriter,
    /// Ids of the label values that this thread has met.
    pub(crate) names: Names,
}

impl Desks {
    pub(crate) fn new(meter: Meter) -> Self {
        Self {
            meter,
            by_thread: ThreadLocal::new(),
        }
    }

    /// Does some work at this thread's desk.
    ///
    /// # Panics
    /// Where the work calls this again.
    pub(crate) fn here<R>(&self, work: impl FnOnce(&mut Desk, &Catalog) -> R) -> R {
        let desk = self.by_thread.get_or(|| {
            RefCell::new(Desk {
                writer: self.meter.writer(),
                names: Names::default(),
            })
        });
        work(&mut desk.borrow_mut(), self.meter.catalog())
    }
}
