//! The listening socket of one worker.

use crate::bind::BACKLOG;
use crate::options::Backend;
use crate::shutdown::Shutdown;
use crate::stream::{Io, TcpStream};
use crate::time::sleep;
use std::cell::Cell;
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

/// Connections taken in a row before the other tasks get their turn.
const BURST_MAX: u32 = 64;

/// The pause after a burst. A timer, because a task that only yields keeps monoio from
/// looking at its timers. 64 a millisecond is above what one core can serve.
const BURST_PAUSE: Duration = Duration::from_millis(1);

/// The pause before an error is returned that would come again at once, such as too
/// many open files: an accept loop must not spin on it.
const ERROR_PAUSE: Duration = Duration::from_millis(20);

/// A listening socket. Dropping it closes it.
#[derive(Debug)]
pub struct Listener {
    socket: Socket,
    local_addr: SocketAddr,
    burst: Cell<u32>,
    drained: Cell<u32>,
}

/// The backend's own listener.
#[derive(Debug)]
enum Socket {
    #[cfg(target_os = "linux")]
    Monoio(crate::backend::monoio::Listener),
    #[cfg(all(feature = "glommio", target_os = "linux"))]
    Glommio(crate::backend::glommio::Listener),
    Tokio(crate::backend::tokio::Listener),
}

impl Listener {
    /// Takes over a socket that listens and does not block.
    pub(crate) fn new(backend: Backend, socket: std::net::TcpListener) -> io::Result<Self> {
        let local_addr = socket.local_addr()?;
        let socket = match backend {
            #[cfg(target_os = "linux")]
            Backend::Monoio => Socket::Monoio(crate::backend::monoio::Listener::new(socket)?),
            #[cfg(not(target_os = "linux"))]
            Backend::Monoio => unreachable!("monoio is never selected on this system"),
            #[cfg(all(feature = "glommio", target_os = "linux"))]
            Backend::Glommio => Socket::Glommio(crate::backend::glommio::Listener::new(socket)),
            #[cfg(not(all(feature = "glommio", target_os = "linux")))]
            Backend::Glommio => unreachable!("glommio is never selected in this build"),
            Backend::Tokio => Socket::Tokio(crate::backend::tokio::Listener::new(socket)?),
        };
        Ok(Self {
            socket,
            local_addr,
            burst: Cell::new(0),
            drained: Cell::new(0),
        })
    }

    /// Address that is listened on.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// The next connection, or `None` when the worker should stop accepting.
    ///
    /// After `shutdown` it still hands out what the kernel has queued, so that clients
    /// that were let in are served, then returns `None`: drop the listener, and new
    /// connections are refused. Waiting is for readiness only, so giving this future up
    /// loses no connection and leaks no descriptor on any backend.
    ///
    /// # Errors
    /// What the system says, for example too many open files. The error comes after a
    /// short pause, so it is fine to count it and loop.
    pub async fn next(&self, shutdown: &Shutdown) -> Option<io::Result<(TcpStream, SocketAddr)>> {
        let accepted = if shutdown.is_set() {
            self.take_queued()?
        } else {
            match self.accept_or(shutdown).await {
                Some(accepted) => accepted,
                None => self.take_queued()?,
            }
        };
        if accepted.is_err() {
            sleep(ERROR_PAUSE).await;
        }
        Some(accepted.map(|stream| {
            let peer = stream.peer_addr();
            (stream, peer)
        }))
    }

    /// The next connection, or `None` on shutdown.
    async fn accept_or(&self, shutdown: &Shutdown) -> Option<io::Result<TcpStream>> {
        let mut accept = pin!(self.accept());
        let mut stop = pin!(shutdown.wait());
        poll_fn(|cx| {
            if let Poll::Ready(accepted) = accept.as_mut().poll(cx) {
                return Poll::Ready(Some(accepted));
            }
            stop.as_mut().poll(cx).map(|()| None)
        })
        .await
    }

    /// The next connection, with a pause after a burst.
    async fn accept(&self) -> io::Result<TcpStream> {
        if self.burst.get() >= BURST_MAX {
            self.burst.set(0);
            sleep(BURST_PAUSE).await;
        }
        if let Some(accepted) = self.try_accept() {
            self.burst.set(self.burst.get() + 1);
            return accepted;
        }
        self.burst.set(0);
        let (io, peer) = match &self.socket {
            #[cfg(target_os = "linux")]
            Socket::Monoio(listener) => {
                let (io, peer) = listener.accept().await?;
                (Io::Monoio(io), peer)
            }
            #[cfg(all(feature = "glommio", target_os = "linux"))]
            Socket::Glommio(listener) => {
                let (io, peer) = listener.accept().await?;
                (Io::Glommio(io), peer)
            }
            Socket::Tokio(listener) => {
                let (io, peer) = listener.accept().await?;
                (Io::Tokio(io), peer)
            }
        };
        Ok(TcpStream::new(io, peer))
    }

    /// A connection that was let in before the shutdown. Bounded: new ones keep coming
    /// until the listener is dropped.
    fn take_queued(&self) -> Option<io::Result<TcpStream>> {
        if self.drained.get() >= BACKLOG.unsigned_abs() {
            return None;
        }
        self.drained.set(self.drained.get() + 1);
        self.try_accept()
    }

    /// A connection that is already there.
    fn try_accept(&self) -> Option<io::Result<TcpStream>> {
        let accepted = match &self.socket {
            #[cfg(target_os = "linux")]
            Socket::Monoio(listener) => listener
                .try_accept()?
                .map(|(io, peer)| TcpStream::new(Io::Monoio(io), peer)),
            #[cfg(all(feature = "glommio", target_os = "linux"))]
            Socket::Glommio(listener) => listener
                .try_accept()?
                .map(|(io, peer)| TcpStream::new(Io::Glommio(io), peer)),
            Socket::Tokio(listener) => listener
                .try_accept()?
                .map(|(io, peer)| TcpStream::new(Io::Tokio(io), peer)),
        };
        Some(accepted)
    }
}
