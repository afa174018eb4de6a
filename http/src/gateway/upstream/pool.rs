//! Idle connections to one provider, of one worker.

use bytes::Bytes;
use coo_llm_runtime::coarse_now;
use http_body_util::Full;
use hyper::client::conn::http1::SendRequest;
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::{Duration, Instant};

/// Idle connections that are kept; more are closed. It is above what one core can
/// keep busy, and 24 MiB at about 24 KiB a connection.
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
    sender: SendRequest<Full<Bytes>>,
    since: Instant,
}

impl Pool {
    /// The connection that was used last, so that a shrinking load lets the others go.
    pub(crate) fn take(self: &Rc<Self>) -> Option<Lease> {
        let mut idle = self.idle.borrow_mut();
        while let Some(Idle { sender, .. }) = idle.pop() {
            if !sender.is_closed() {
                return Some(Lease::new(sender, Rc::clone(self)));
            }
        }
        None
    }

    fn put(&self, sender: SendRequest<Full<Bytes>>) {
        let mut idle = self.idle.borrow_mut();
        if !self.is_closed.get() && !sender.is_closed() && idle.len() < IDLE_MAX {
            idle.push(Idle {
                sender,
                since: coarse_now(),
            });
        }
    }

    /// Lets go of connections that are closed or idle for long.
    pub(crate) fn tidy(&self) {
        let now = coarse_now();
        self.idle.borrow_mut().retain(|idle| {
            !idle.sender.is_closed() && now.duration_since(idle.since) < IDLE_TIME_MAX
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
    sender: SendRequest<Full<Bytes>>,
    pool: Rc<Pool>,
}

impl Lease {
    pub(super) fn new(sender: SendRequest<Full<Bytes>>, pool: Rc<Pool>) -> Self {
        Self { sender, pool }
    }

    pub(super) fn sender(&mut self) -> &mut SendRequest<Full<Bytes>> {
        &mut self.sender
    }

    /// Returns the connection after its answer was read to the end.
    pub(crate) fn give_back(self) {
        self.pool.put(self.sender);
    }
}
