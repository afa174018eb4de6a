//! Idle connections to one provider, of one worker.

use super::connection::Connection;
use coo_llm_runtime::coarse_now;
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::task::{Context, Waker};
use std::time::{Duration, Instant};

/// Idle connections that are kept; more are closed. It is above what one core can
/// keep busy, and 10 MiB at about 10 KiB a connection.
const IDLE_MAX: usize = 1024;
/// How long an idle connection is kept: below the 60 s at which common proxies close.
const IDLE_TIME_MAX: Duration = Duration::from_secs(50);

#[derive(Debug, Default)]
pub(crate) struct Pool {
    idle: RefCell<Vec<Idle>>,
    is_closed: Cell<bool>,
}

#[derive(Debug)]
struct Idle {
    connection: Box<Connection>,
    since: Instant,
}

impl Pool {
    /// The connection that was used last, so that a shrinking load lets the others go;
    /// those that the provider has closed are passed over.
    pub(super) fn take(self: &Rc<Self>, cx: &mut Context<'_>) -> Option<Lease> {
        let mut idle = self.idle.borrow_mut();
        while let Some(Idle { mut connection, .. }) = idle.pop() {
            if connection.poll_is_alive(cx) {
                return Some(Lease::new(connection, Rc::clone(self)));
            }
        }
        None
    }

    fn put(&self, mut connection: Box<Connection>) {
        let mut idle = self.idle.borrow_mut();
        if !self.is_closed.get() && connection.is_reusable() && idle.len() < IDLE_MAX {
            connection.rests();
            idle.push(Idle {
                connection,
                since: coarse_now(),
            });
        }
    }

    /// Lets go of connections that are closed or idle for long.
    pub(crate) fn tidy(&self) {
        let now = coarse_now();
        // Nobody is to be woken: who takes one looks at it again.
        let mut cx = Context::from_waker(Waker::noop());
        self.idle.borrow_mut().retain_mut(|idle| {
            now.duration_since(idle.since) < IDLE_TIME_MAX && idle.connection.poll_is_alive(&mut cx)
        });
    }

    /// Lets go of all, now and later.
    pub(crate) fn close(&self) {
        self.is_closed.set(true);
        self.idle.borrow_mut().clear();
    }
}

/// A connection in use. Dropping it closes the connection; see [`Lease::give_back`].
#[derive(Debug)]
pub(crate) struct Lease {
    pub(super) connection: Box<Connection>,
    pool: Rc<Pool>,
}

impl Lease {
    pub(super) fn new(connection: Box<Connection>, pool: Rc<Pool>) -> Self {
        Self { connection, pool }
    }

    /// Returns the connection after its answer was read to the end.
    pub(super) fn give_back(self) {
        self.pool.put(self.connection);
    }
}
