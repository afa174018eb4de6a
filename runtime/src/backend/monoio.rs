//! The monoio backend: io_uring or epoll, Linux only.
//!
//! IO is readiness based under both drivers (`poll-io`). Under io_uring the ring waits
//! for an epoll set, so that a future can be dropped at any point: a completion-based
//! accept that is cancelled leaks its descriptor, a read its bytes.

use crate::options::Driver;
use crate::tasks::Task;
use ::monoio::net::tcp::stream_poll::TcpStreamPoll;
use ::monoio::time::TimeDriver;
use ::monoio::{IoUringDriver, LegacyDriver, RuntimeBuilder};
use std::io;
use std::net::SocketAddr;

/// A runtime for this thread.
pub(crate) enum Runtime {
    IoUring(Box<::monoio::Runtime<TimeDriver<IoUringDriver>>>),
    Epoll(Box<::monoio::Runtime<TimeDriver<LegacyDriver>>>),
}

impl Runtime {
    /// Builds the runtime on the thread that will run it.
    ///
    /// # Errors
    /// What the system says; with io_uring that may be a refusal.
    pub(crate) fn new(driver: Driver) -> io::Result<Self> {
        Ok(match driver {
            Driver::IoUring => {
                super::probe::probe_for_monoio()?;
                let builder = RuntimeBuilder::<IoUringDriver>::new().enable_timer();
                Self::IoUring(Box::new(builder.build()?))
            }
            Driver::Epoll => {
                let builder = RuntimeBuilder::<LegacyDriver>::new().enable_timer();
                Self::Epoll(Box::new(builder.build()?))
            }
        })
    }

    pub(crate) fn block_on<T>(&mut self, future: impl Future<Output = T>) -> T {
        match self {
            Self::IoUring(runtime) => runtime.block_on(future),
            Self::Epoll(runtime) => runtime.block_on(future),
        }
    }
}

/// Schedules a task on this thread.
pub(crate) fn spawn(task: Task) {
    drop(::monoio::spawn(task));
}

/// Connects; under io_uring that is one operation, which holds the socket until the
/// kernel is done with it, also if it is given up.
pub(crate) async fn connect(addr: SocketAddr) -> io::Result<TcpStreamPoll> {
    let stream = ::monoio::net::TcpStream::connect_addr(addr).await?;
    stream.set_nodelay(true)?;
    pollable(stream)
}

fn pollable(stream: ::monoio::net::TcpStream) -> io::Result<TcpStreamPoll> {
    stream.try_into_poll_io().map_err(|(error, _stream)| error)
}

/// Accepts by itself and lets monoio only wait.
#[derive(Debug)]
pub(crate) struct Listener {
    socket: std::net::TcpListener,
    /// A duplicate of `socket`'s descriptor that monoio owns.
    readiness: ::monoio::net::TcpListener,
}

impl Listener {
    pub(crate) fn new(socket: std::net::TcpListener) -> io::Result<Self> {
        let readiness = ::monoio::net::TcpListener::from_std(socket.try_clone()?)?;
        Ok(Self { socket, readiness })
    }

    pub(crate) async fn accept(&self) -> io::Result<(TcpStreamPoll, SocketAddr)> {
        loop {
            if let Some(accepted) = self.try_accept() {
                return accepted;
            }
            // Not relaxed: readiness may be left over from a connection that is taken.
            self.readiness.readable(false).await?;
        }
    }

    pub(crate) fn try_accept(&self) -> Option<io::Result<(TcpStreamPoll, SocketAddr)>> {
        let accepted = super::accept_now(&self.socket)?;
        Some(accepted.and_then(|(stream, peer)| Ok((adopt(stream)?, peer))))
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        // The duplicate is closed when the ring gets to it; stop listening now. The
        // socket is ours and listens, so this cannot fail in a way that matters.
        let _stopped = socket2::SockRef::from(&self.socket).shutdown(std::net::Shutdown::Both);
    }
}

fn adopt(stream: std::net::TcpStream) -> io::Result<TcpStreamPoll> {
    pollable(::monoio::net::TcpStream::from_std(stream)?)
}
