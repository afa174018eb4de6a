//! What the current thread knows while it is a worker.

use crate::counters::WorkerCounters;
use crate::options::Backend;
use crate::tasks::Tasks;
use crate::ticks::Ticks;
use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

/// The state of a worker thread; nothing in it is shared with another thread but the
/// counters, which others only read.
pub(crate) struct Local {
    pub(crate) backend: Backend,
    pub(crate) tasks: Tasks,
    pub(crate) ticks: Ticks,
}

thread_local! {
    static LOCAL: RefCell<Option<Rc<Local>>> = const { RefCell::new(None) };
}

/// Makes this thread a worker.
pub(crate) fn enter(backend: Backend, counters: Arc<WorkerCounters>) -> Rc<Local> {
    let local = Rc::new(Local {
        backend,
        tasks: Tasks::new(counters),
        ticks: Ticks::new(),
    });
    LOCAL.with(|slot| *slot.borrow_mut() = Some(Rc::clone(&local)));
    local
}

/// This thread is no worker any more.
pub(crate) fn leave() {
    let left = LOCAL.with(|slot| slot.borrow_mut().take());
    drop(left);
}

/// The worker that this thread is, if it is one.
pub(crate) fn try_current() -> Option<Rc<Local>> {
    LOCAL.try_with(|slot| slot.borrow().clone()).ok().flatten()
}

/// The worker that this thread is.
pub(crate) fn current() -> Rc<Local> {
    try_current().expect("coo-llm-runtime: called from a thread that is not a worker")
}
