//! A TCP connection of this worker.

use crate::local;
use crate::options::Backend;
use hyper_util::rt::TokioIo;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// A TCP connection, with `TCP_NODELAY` set.
///
/// It speaks hyper's IO traits and tokio's (for TLS), writes vectored, and stays on its
/// worker. Dropping it closes the connection.
#[derive(Debug)]
pub struct TcpStream {
    io: TokioIo<Io>,
    peer: SocketAddr,
}

/// The backend's own stream.
#[derive(Debug)]
pub(crate) enum Io {
    #[cfg(target_os = "linux")]
    Monoio(::monoio::net::tcp::stream_poll::TcpStreamPoll),
    #[cfg(all(feature = "glommio", target_os = "linux"))]
    Glommio(crate::backend::glommio::Stream),
    Tokio(::tokio::net::TcpStream),
}

/// Runs one expression on whichever stream it is; both have the same methods.
macro_rules! on {
    ($io:expr, $stream:ident => $call:expr) => {
        match $io {
            #[cfg(target_os = "linux")]
            Io::Monoio($stream) => $call,
            #[cfg(all(feature = "glommio", target_os = "linux"))]
            Io::Glommio($stream) => $call,
            Io::Tokio($stream) => $call,
        }
    };
}

/// Connects to an address, with `TCP_NODELAY` set.
///
/// It takes no host name: resolving blocks the worker. It may be given up in a
/// [`timeout`](crate::timeout).
///
/// # Errors
/// What the system says, for example `ConnectionRefused`.
///
/// # Panics
/// Outside of a worker.
pub async fn connect(addr: SocketAddr) -> io::Result<TcpStream> {
    let io = match local::current().backend {
        #[cfg(target_os = "linux")]
        Backend::Monoio => Io::Monoio(crate::backend::monoio::connect(addr).await?),
        #[cfg(not(target_os = "linux"))]
        Backend::Monoio => unreachable!("monoio is never selected on this system"),
        #[cfg(all(feature = "glommio", target_os = "linux"))]
        Backend::Glommio => Io::Glommio(crate::backend::glommio::connect(addr).await?),
        #[cfg(not(all(feature = "glommio", target_os = "linux")))]
        Backend::Glommio => unreachable!("glommio is never selected in this build"),
        Backend::Tokio => Io::Tokio(crate::backend::tokio::connect(addr).await?),
    };
    Ok(TcpStream::new(io, addr))
}

impl TcpStream {
    pub(crate) fn new(io: Io, peer: SocketAddr) -> Self {
        let io = TokioIo::new(io);
        Self { io, peer }
    }

    /// Address of the other side.
    #[must_use]
    pub fn peer_addr(&self) -> SocketAddr {
        self.peer
    }

    /// Address of this side.
    ///
    /// # Errors
    /// What the system says.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        on!(self.io.inner(), stream => stream.local_addr())
    }

    /// Whether small writes go out at once; true for every stream of this crate.
    ///
    /// # Errors
    /// What the system says.
    pub fn nodelay(&self) -> io::Result<bool> {
        on!(self.io.inner(), stream => stream.nodelay())
    }
}

impl AsyncRead for Io {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        on!(self.get_mut(), stream => Pin::new(stream).poll_read(cx, buf))
    }
}

impl AsyncWrite for Io {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        on!(self.get_mut(), stream => Pin::new(stream).poll_write(cx, buf))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        on!(self.get_mut(), stream => Pin::new(stream).poll_write_vectored(cx, bufs))
    }

    fn is_write_vectored(&self) -> bool {
        on!(self, stream => stream.is_write_vectored())
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        on!(self.get_mut(), stream => Pin::new(stream).poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        on!(self.get_mut(), stream => Pin::new(stream).poll_shutdown(cx))
    }
}

impl AsyncRead for TcpStream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(self.get_mut().io.inner_mut()).poll_read(cx, buf)
    }
}

impl AsyncWrite for TcpStream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(self.get_mut().io.inner_mut()).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(self.get_mut().io.inner_mut()).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.inner().is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(self.get_mut().io.inner_mut()).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(self.get_mut().io.inner_mut()).poll_shutdown(cx)
    }
}

impl hyper::rt::Read for TcpStream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: hyper::rt::ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        hyper::rt::Read::poll_read(Pin::new(&mut self.get_mut().io), cx, buf)
    }
}

impl hyper::rt::Write for TcpStream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        hyper::rt::Write::poll_write(Pin::new(&mut self.get_mut().io), cx, buf)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        hyper::rt::Write::poll_write_vectored(Pin::new(&mut self.get_mut().io), cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        hyper::rt::Write::is_write_vectored(&self.io)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        hyper::rt::Write::poll_flush(Pin::new(&mut self.get_mut().io), cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        hyper::rt::Write::poll_shutdown(Pin::new(&mut self.get_mut().io), cx)
    }
}
