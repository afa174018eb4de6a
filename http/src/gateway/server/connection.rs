//! The connections of one worker.

use super::handshake::Handshakes;
use super::socket::{Socket, Watched};
use super::{Desks, GatewayCounters, Watch};
use coo_llm_runtime::{CoarseTimer, TcpStream};
use http::Request;
use hyper::body::Incoming;
use hyper::rt::Timer;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::convert::Infallible;
use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Poll, Waker};
use std::time::Instant;

/// Bytes that hyper may hold of a connection, which bounds a request's head; hyper's
/// own default is 400 KiB. Providers' heads and clients' have 1 to 3 KiB.
const BUFFER_BYTES_MAX: usize = 64 * 1024;

/// The open connections, so that a drain reaches each of them.
#[derive(Debug)]
pub(super) struct Connections {
    open: RefCell<HashMap<u64, Rc<Watch>>>,
    next: Cell<u64>,
    is_draining: Cell<bool>,
    /// Who waits for the last one to close.
    waiting: RefCell<Option<Waker>>,
    counters: Arc<GatewayCounters>,
}

impl Connections {
    pub(super) fn new(counters: Arc<GatewayCounters>) -> Self {
        Self {
            open: RefCell::default(),
            next: Cell::new(0),
            is_draining: Cell::new(false),
            waiting: RefCell::new(None),
            counters,
        }
    }

    pub(super) fn open(&self) -> usize {
        self.open.borrow().len()
    }

    /// Tells every connection to close after the request that it has.
    pub(super) fn drain(&self) {
        self.is_draining.set(true);
        for watch in self.open.borrow().values() {
            watch.wake();
        }
    }

    pub(super) async fn all_closed(&self) {
        poll_fn(|cx| {
            if self.open.borrow().is_empty() {
                return Poll::Ready(());
            }
            self.waiting.replace(Some(cx.waker().clone()));
            Poll::Pending
        })
        .await;
    }

    /// The task of one connection. It counts as open from now on.
    pub(super) fn serve(
        self: &Rc<Self>,
        desks: Rc<Desks>,
        stream: TcpStream,
        peer: SocketAddr,
        tls: Option<Handshakes>,
    ) -> impl Future<Output = ()> + 'static {
        let desk = desks.current();
        let plan = desk.plan();
        let header_timeout = plan.header_timeout;
        let watch = Rc::new(Watch::new(header_timeout, plan.idle_timeout));
        let entry = self.enter(Rc::clone(&watch));
        async move {
            let connections = Rc::clone(&entry.connections);
            let socket = match tls {
                None => Some(Socket::Plain(stream)),
                Some(tls) => {
                    let is_draining = &connections.is_draining;
                    let time_max = header_timeout;
                    let stream = tls.accept(stream, &watch, is_draining, time_max).await;
                    // From here on it is as idle as a new connection.
                    watch.answered();
                    stream.map(|stream| Socket::Tls(Box::new(TokioIo::new(stream))))
                }
            };
            if let Some(socket) = socket {
                run(&connections, &desks, socket, peer, &watch).await;
            }
            drop(entry);
        }
    }

    fn enter(self: &Rc<Self>, watch: Rc<Watch>) -> Entry {
        let id = self.next.replace(self.next.get() + 1);
        self.open.borrow_mut().insert(id, watch);
        self.counters.accepted.fetch_add(1, Ordering::Relaxed);
        self.counters.open.fetch_add(1, Ordering::Relaxed);
        Entry {
            id,
            connections: Rc::clone(self),
        }
    }
}

/// A connection's place among the open ones.
struct Entry {
    id: u64,
    connections: Rc<Connections>,
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.connections
            .counters
            .open
            .fetch_sub(1, Ordering::Relaxed);
        let mut open = self.connections.open.borrow_mut();
        open.remove(&self.id);
        if open.is_empty()
            && let Some(waiting) = self.connections.waiting.take()
        {
            waiting.wake();
        }
    }
}

async fn run(
    connections: &Connections,
    desks: &Rc<Desks>,
    socket: Socket,
    peer: SocketAddr,
    watch: &Rc<Watch>,
) {
    let service = service_fn(|request: Request<Incoming>| {
        // The one of now: it answers this request to its end, whatever is reloaded.
        let (desk, watch) = (desks.current(), Rc::clone(watch));
        let begun = desk.begin(&request, &watch);
        // Boxed: it has 9 KB, which hyper would move twice a request and hold for each
        // connection, idle ones too.
        Box::pin(async move {
            watch.works();
            let reply = desk.answer(request, begun, peer, &watch).await;
            Ok::<_, Infallible>(reply.map(|body| body.watched(watch)))
        })
    });
    let connection = http1::Builder::new()
        .header_read_timeout(None) // The watch does it, and tells an idle connection apart.
        .max_buf_size(BUFFER_BYTES_MAX)
        .serve_connection(
            Watched {
                socket,
                watch: Rc::clone(watch),
            },
            service,
        );
    let mut connection = pin!(connection);
    let mut alarm = CoarseTimer.sleep(watch.look_again());
    let mut is_draining = false;
    let ended = poll_fn(|cx| {
        watch.set_task(cx.waker());
        loop {
            if let Poll::Ready(ended) = connection.as_mut().poll(cx) {
                return Poll::Ready(ended);
            }
            if !is_draining && connections.is_draining.get() {
                is_draining = true;
                connection.as_mut().graceful_shutdown();
                continue;
            }
            if alarm.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
            let now = Instant::now();
            let deadline = watch.deadline().unwrap_or(now + watch.look_again());
            if deadline <= now {
                // Dropping the connection drops what it does, which settles itself.
                return Poll::Ready(Ok(()));
            }
            alarm = CoarseTimer.sleep_until(deadline);
        }
    })
    .await;
    if let Err(error) = ended {
        // The client's fault or its choice; requests are counted by their settlements.
        tracing::debug!(%error, %peer, "a connection ended early");
    }
}
