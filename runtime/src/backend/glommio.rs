//! The glommio backend: io_uring, Linux only, behind the cargo feature `glommio`.
//!
//! Off by default. glommio 0.9.0 is its last release and nobody maintains it, so its faults
//! are ours to go around:
//! - Cloned handles of its `spsc_queue` and `shared_channel` are unsound. None is used here:
//!   what crosses threads are tokio's channels, whose wakers glommio's eventfd serves.
//! - It panics where io_uring is refused. The ring is probed first, and the refusal is an error.
//! - It wants 512 KiB of locked memory whatever the kernel needs. The limit is raised where
//!   that is allowed, and the error says so where it is not.
//! - Its `spawn_local` polls the task inside the call that spawns it. Here tasks are scheduled.
//! - Its accept may lose a connection when it is given up, and its listener takes no socket
//!   that it did not bind. So we accept, and a stream over a duplicate of the socket waits.
//! - It never closes an executor's eventfd: one descriptor a worker and start stays open.
//! - A task has at most 32,767 wakers, and its streams write one slice at a time.
//!
//! Its streams are readiness based (`recv`, then `POLL_ADD`), as those of the other backends.

use crate::tasks::Task;
use ::glommio::{LocalExecutor, LocalExecutorBuilder, Placement, TaskQueueHandle};
use futures_io::{AsyncRead, AsyncWrite};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::ReadBuf;

/// The locked memory without which glommio does not start.
const MEMLOCK_BYTES_MIN: u64 = 512 * 1024;

/// Memory for storage IO, of which there is none; glommio takes at least 64 KiB.
const IO_MEMORY_BYTES: usize = 64 * 1024;

/// Entries of each ring; a connection that waits takes one until it is submitted.
const RING_DEPTH: usize = 1024;

/// How long tasks may run before the ring is looked at. glommio's own 100 ms would let a
/// busy worker read nothing for that long.
const PREEMPT: Duration = Duration::from_millis(2);

/// A runtime for this thread.
pub(crate) struct Runtime(LocalExecutor);

impl Runtime {
    /// Builds the runtime on the thread that will run it.
    ///
    /// # Errors
    /// What the system says: a refusal of io_uring, or of the locked memory.
    pub(crate) fn new() -> io::Result<Self> {
        super::probe::probe_for_glommio()?;
        raise_memlock()?;
        // Unbound: this crate pins its threads itself.
        let builder = LocalExecutorBuilder::new(Placement::Unbound)
            .io_memory(IO_MEMORY_BYTES)
            .ring_depth(RING_DEPTH)
            .preempt_timer(PREEMPT);
        Ok(Self(builder.make()?))
    }

    pub(crate) fn block_on<T>(&mut self, future: impl Future<Output = T>) -> T {
        self.0.run(future)
    }
}

/// Raises the soft limit, and the hard one where this process may.
fn raise_memlock() -> io::Result<()> {
    let limit = getrlimit(Resource::Memlock);
    // No number means no limit.
    if limit.current.is_none_or(|bytes| bytes >= MEMLOCK_BYTES_MIN) {
        return Ok(());
    }
    let raised = Rlimit {
        current: Some(MEMLOCK_BYTES_MIN),
        maximum: limit.maximum.map(|bytes| bytes.max(MEMLOCK_BYTES_MIN)),
    };
    setrlimit(Resource::Memlock, raised).map_err(|error| {
        let have = limit.current.unwrap_or_default();
        io::Error::new(
            io::ErrorKind::OutOfMemory,
            format!(
                "glommio needs {MEMLOCK_BYTES_MIN} bytes of locked memory, the limit is {have} and cannot be raised ({error})"
            ),
        )
    })
}

/// Schedules a task on this thread.
pub(crate) fn spawn(task: Task) {
    ::glommio::executor()
        .spawn_local_into(task, TaskQueueHandle::default())
        .expect("the default queue lives as long as its executor")
        .detach();
}

/// A stream of glommio with tokio's IO traits, as the other backends' streams have them.
#[derive(Debug)]
pub(crate) struct Stream(::glommio::net::TcpStream);

/// Connects; the ring holds the socket until the kernel is done with it, also if it is given up.
pub(crate) async fn connect(addr: SocketAddr) -> io::Result<Stream> {
    let stream = ::glommio::net::TcpStream::connect(addr).await?;
    stream.set_nodelay(true)?;
    Ok(Stream(stream))
}

fn adopt(stream: std::net::TcpStream) -> Stream {
    Stream(glommio_socket2::Socket::from(stream).into())
}

impl Stream {
    pub(crate) fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.0.local_addr()?)
    }

    pub(crate) fn nodelay(&self) -> io::Result<bool> {
        Ok(self.0.nodelay()?)
    }
}

impl tokio::io::AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let room = buf.initialize_unfilled();
        if room.is_empty() {
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut self.get_mut().0)
            .poll_read(cx, room)
            .map_ok(|count| buf.advance(count))
    }
}

impl tokio::io::AsyncWrite for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().0).poll_write(cx, buf)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().0).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().0).poll_close(cx)
    }
}

/// Accepts by itself and lets glommio only wait.
#[derive(Debug)]
pub(crate) struct Listener {
    socket: std::net::TcpListener,
}

impl Listener {
    pub(crate) fn new(socket: std::net::TcpListener) -> Self {
        Self { socket }
    }

    pub(crate) async fn accept(&self) -> io::Result<(Stream, SocketAddr)> {
        loop {
            if let Some(accepted) = self.try_accept() {
                return accepted;
            }
            self.readable().await?;
        }
    }

    /// Waits until the queue is not empty.
    ///
    /// glommio's one way to wait for a socket that is not its own is a read from a stream.
    /// A new stream starts with a `POLL_ADD`, so its first read waits for that; the read
    /// itself then fails, since a listening socket has no bytes, and takes nothing.
    async fn readable(&self) -> io::Result<()> {
        let twin = OwnedFd::from(self.socket.try_clone()?);
        let mut waiting = adopt(std::net::TcpStream::from(twin)).0;
        poll_fn(|cx| {
            Pin::new(&mut waiting)
                .poll_read(cx, &mut [0])
                .map(|_nothing_read| ())
        })
        .await;
        Ok(())
    }

    pub(crate) fn try_accept(&self) -> Option<io::Result<(Stream, SocketAddr)>> {
        let accepted = super::accept_now(&self.socket)?;
        Some(accepted.map(|(stream, peer)| (adopt(stream), peer)))
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        // A wait that is cancelled holds the socket until the ring gets to it; stop
        // listening now. The socket is ours and listens, so this cannot fail in a way
        // that matters.
        let _stopped = socket2::SockRef::from(&self.socket).shutdown(std::net::Shutdown::Both);
    }
}
