//! The tasks of one worker.
//!
//! The backend schedules keys; the futures live in a table of the worker's thread. So
//! - a panic is caught here, where monoio would let it end the worker;
//! - all futures are dropped on their own thread when the worker ends. In monoio a task
//!   dies with its last waker, and a waker that another thread holds would drop the
//!   future over there, `Rc`s and all;
//! - what a backend stores is one small type, compiled once.

use crate::counters::WorkerCounters;
use crate::local;
use crate::options::Backend;
use crate::worker::LocalBoxFuture;
use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

/// Runs a future on this worker, beside the others.
///
/// A panic in it ends this task alone and is counted in
/// [`Counters::task_panics`](crate::Counters::task_panics). Tasks that are left when the
/// worker's main future returns are dropped.
///
/// # Panics
/// Outside of a worker.
///
/// # Cost
/// Two allocations: the future, and the backend's task.
pub fn spawn(future: impl Future<Output = ()> + 'static) {
    spawn_boxed(Box::pin(future), true);
}

/// Waits until every task that was spawned on this worker has ended: the end of a drain.
///
/// For the worker's main future, best inside a [`timeout`](crate::timeout); a task that
/// waits for it waits for itself.
///
/// # Panics
/// Outside of a worker.
pub async fn tasks_ended() {
    let local = local::current();
    poll_fn(|cx| local.tasks.poll_ended(cx)).await;
}

/// Runs the worker's own chores, which do not count as tasks.
pub(crate) fn spawn_uncounted(future: impl Future<Output = ()> + 'static) {
    spawn_boxed(Box::pin(future), false);
}

fn spawn_boxed(future: LocalBoxFuture<'static, ()>, counted: bool) {
    let local = local::current();
    let Some(task) = local.tasks.insert(future, counted) else {
        return;
    };
    match local.backend {
        #[cfg(target_os = "linux")]
        Backend::Monoio => crate::backend::monoio::spawn(task),
        #[cfg(not(target_os = "linux"))]
        Backend::Monoio => unreachable!("monoio is never selected on this system"),
        #[cfg(all(feature = "glommio", target_os = "linux"))]
        Backend::Glommio => crate::backend::glommio::spawn(task),
        #[cfg(not(all(feature = "glommio", target_os = "linux")))]
        Backend::Glommio => unreachable!("glommio is never selected in this build"),
        Backend::Tokio => crate::backend::tokio::spawn(task),
    }
}

/// The key of a future, and what the backend runs.
pub(crate) struct Task(usize);

impl Future for Task {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        // Without a worker its tasks are gone, and this one is over.
        local::try_current().map_or(Poll::Ready(()), |local| local.tasks.poll(self.0, cx))
    }
}

/// The futures of one worker by key.
pub(crate) struct Tasks {
    slots: RefCell<Slots>,
    closed: Cell<bool>,
    /// Counted tasks that have not ended.
    alive: Cell<usize>,
    /// Who waits for `alive` to become 0.
    at_end: RefCell<Vec<Waker>>,
    counters: Arc<WorkerCounters>,
}

#[derive(Default)]
struct Slots {
    /// `None`: vacant, or its future is being polled.
    entries: Vec<Option<Entry>>,
    vacant: Vec<usize>,
}

struct Entry {
    future: LocalBoxFuture<'static, ()>,
    counted: bool,
}

impl Tasks {
    pub(crate) fn new(counters: Arc<WorkerCounters>) -> Self {
        Self {
            slots: RefCell::default(),
            closed: Cell::new(false),
            alive: Cell::new(0),
            at_end: RefCell::default(),
            counters,
        }
    }

    /// Keeps a future. Once the worker ends there is no one to run it: it is dropped.
    fn insert(&self, future: LocalBoxFuture<'static, ()>, counted: bool) -> Option<Task> {
        if counted {
            self.alive.set(self.alive.get() + 1);
            self.counters.count_spawned();
        }
        let entry = Entry { future, counted };
        if self.closed.get() {
            self.end(entry);
            return None;
        }
        let mut slots = self.slots.borrow_mut();
        let key = if let Some(key) = slots.vacant.pop() {
            slots.entries[key] = Some(entry);
            key
        } else {
            slots.entries.push(Some(entry));
            slots.entries.len() - 1
        };
        Some(Task(key))
    }

    fn poll(&self, key: usize, cx: &mut Context<'_>) -> Poll<()> {
        // Out of the table while it runs: it may spawn.
        let Some(mut entry) = self.slots.borrow_mut().entries[key].take() else {
            return Poll::Ready(());
        };
        let polled = catch_unwind(AssertUnwindSafe(|| entry.future.as_mut().poll(cx)));
        match polled {
            Ok(Poll::Pending) => {
                self.slots.borrow_mut().entries[key] = Some(entry);
                return Poll::Pending;
            }
            Ok(Poll::Ready(())) => {}
            Err(_payload) => self.counters.count_panicked(),
        }
        self.end(entry);
        self.slots.borrow_mut().vacant.push(key);
        Poll::Ready(())
    }

    fn poll_ended(&self, cx: &Context<'_>) -> Poll<()> {
        if self.alive.get() == 0 {
            return Poll::Ready(());
        }
        let mut at_end = self.at_end.borrow_mut();
        if !at_end.iter().any(|waker| waker.will_wake(cx.waker())) {
            at_end.push(cx.waker().clone());
        }
        Poll::Pending
    }

    /// Drops what is left, and refuses new tasks. Runs inside the backend, so that
    /// sockets and timers can sign off.
    pub(crate) fn close(&self) {
        self.closed.set(true);
        let left = std::mem::take(&mut self.slots.borrow_mut().entries);
        // The keys stay valid for tasks that the backend polls once more.
        self.slots
            .borrow_mut()
            .entries
            .resize_with(left.len(), || None);
        for entry in left.into_iter().flatten() {
            self.end(entry);
        }
    }

    fn end(&self, entry: Entry) {
        if catch_unwind(AssertUnwindSafe(|| drop(entry.future))).is_err() {
            self.counters.count_panicked();
        }
        if entry.counted {
            self.counters.count_ended();
            self.alive.set(self.alive.get() - 1);
            if self.alive.get() == 0 {
                for waker in self.at_end.take() {
                    waker.wake();
                }
            }
        }
    }
}
