//! What a worker's main future is given.

use crate::listener::Listener;
use crate::shutdown::Shutdown;
use std::pin::Pin;

/// A boxed future that stays on its thread.
pub type LocalBoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + 'a>>;

/// One worker, as its main future sees it.
///
/// Keep it, or its listener, for as long as it should listen. An `async move` block that
/// names `worker.shutdown` alone takes that field alone, and the listener is closed.
#[derive(Debug)]
#[non_exhaustive]
pub struct Worker {
    /// Index, from 0.
    pub index: usize,
    /// This worker's own listening socket.
    pub listener: Listener,
    /// Set when the worker should stop.
    pub shutdown: Shutdown,
}

impl Worker {
    pub(crate) fn new(index: usize, listener: Listener, shutdown: Shutdown) -> Self {
        Self {
            index,
            listener,
            shutdown,
        }
    }
}
