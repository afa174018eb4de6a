//! The TLS handshakes of one worker.

use super::Watch;
use crate::ServerTls;
use coo_llm_runtime::{CoarseTimer, TcpStream, spawn};
use hyper::rt::Timer;
use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::io;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

/// Makes TLS sessions of connections, with the newest certificate.
#[derive(Clone)]
pub(super) struct Handshakes {
    tls: Arc<ServerTls>,
    /// This worker's own, so that no handshake meets another thread.
    acceptor: Rc<RefCell<TlsAcceptor>>,
}

impl Handshakes {
    /// Follows what `tls` reads, for as long as the worker runs.
    pub(super) fn new(tls: &Arc<ServerTls>) -> Self {
        let mut newest = tls.newest();
        let first = TlsAcceptor::from(Arc::clone(&newest.borrow_and_update()));
        let acceptor = Rc::new(RefCell::new(first));
        let follows = Rc::clone(&acceptor);
        spawn(async move {
            while newest.changed().await.is_ok() {
                let config = Arc::clone(&newest.borrow_and_update());
                follows.replace(TlsAcceptor::from(config));
            }
        });
        Self {
            tls: Arc::clone(tls),
            acceptor,
        }
    }

    /// The session, or nothing: the client does not speak TLS or is refused, takes longer
    /// than `time_max`, or the worker drains. All but the last count as failures.
    pub(super) async fn accept(
        &self,
        stream: TcpStream,
        watch: &Watch,
        is_draining: &Cell<bool>,
        time_max: Duration,
    ) -> Option<TlsStream<TcpStream>> {
        let peer = stream.peer_addr();
        let accept = self.acceptor.borrow().accept(stream);
        let mut accept = pin!(accept);
        let mut alarm = CoarseTimer.sleep(time_max);
        let outcome = poll_fn(|cx| {
            watch.set_task(cx.waker());
            if let Poll::Ready(done) = accept.as_mut().poll(cx) {
                return Poll::Ready(Some(done));
            }
            if is_draining.get() {
                return Poll::Ready(None);
            }
            alarm
                .as_mut()
                .poll(cx)
                .map(|()| Some(Err(io::ErrorKind::TimedOut.into())))
        })
        .await?;
        match outcome {
            Ok(stream) => Some(stream),
            Err(error) => {
                self.tls.count_failure();
                tracing::debug!(%error, %peer, "a TLS handshake failed");
                None
            }
        }
    }
}
