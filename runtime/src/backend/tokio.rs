//! The tokio backend: one current-thread runtime a worker, on every system.

use crate::tasks::Task;
use ::tokio::net::{TcpListener, TcpStream};
use std::io;
use std::net::SocketAddr;

/// A runtime for this thread.
pub(crate) struct Runtime(::tokio::runtime::Runtime);

impl Runtime {
    pub(crate) fn new() -> io::Result<Self> {
        ::tokio::runtime::Builder::new_current_thread()
            .enable_io()
            .enable_time()
            .build()
            .map(Self)
    }

    pub(crate) fn block_on<T>(&mut self, future: impl Future<Output = T>) -> T {
        self.0.block_on(future)
    }
}

/// Schedules a task on this thread. A task is a key, so no `LocalSet` is needed.
pub(crate) fn spawn(task: Task) {
    drop(::tokio::spawn(task));
}

pub(crate) async fn connect(addr: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(addr).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// tokio's accept waits for readiness and may be dropped.
#[derive(Debug)]
pub(crate) struct Listener {
    /// To look into the queue without tokio, which says that it is empty until its
    /// driver has seen an event.
    socket: std::net::TcpListener,
    /// A duplicate of `socket`'s descriptor.
    waiting: TcpListener,
}

impl Listener {
    /// Call it inside the runtime.
    pub(crate) fn new(socket: std::net::TcpListener) -> io::Result<Self> {
        let waiting = TcpListener::from_std(socket.try_clone()?)?;
        Ok(Self { socket, waiting })
    }

    pub(crate) async fn accept(&self) -> io::Result<(TcpStream, SocketAddr)> {
        loop {
            match self.waiting.accept().await {
                Ok((stream, peer)) => {
                    stream.set_nodelay(true)?;
                    return Ok((stream, peer));
                }
                // The client went away in the queue: not our concern.
                Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
                Err(error) => return Err(error),
            }
        }
    }

    pub(crate) fn try_accept(&self) -> Option<io::Result<(TcpStream, SocketAddr)>> {
        let (stream, peer) = match super::accept_now(&self.socket)? {
            Ok(accepted) => accepted,
            Err(error) => return Some(Err(error)),
        };
        Some(TcpStream::from_std(stream).map(|stream| (stream, peer)))
    }
}
