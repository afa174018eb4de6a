//! What a client's connection reads and writes.

use super::Watch;
use coo_llm_runtime::TcpStream;
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::rt::TokioIo;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use tokio_rustls::server::TlsStream;

/// A connection's bytes, as they are or in TLS. One type, so that hyper is compiled once.
pub(super) enum Socket {
    Plain(TcpStream),
    Tls(Box<TokioIo<TlsStream<TcpStream>>>),
}

/// Runs one expression on whichever stream it is.
macro_rules! on {
    ($socket:expr, $stream:ident => $call:expr) => {
        match $socket {
            Socket::Plain($stream) => $call,
            Socket::Tls($stream) => $call,
        }
    };
}

/// The stream, seen by the watch.
pub(super) struct Watched {
    pub(super) socket: Socket,
    pub(super) watch: Rc<Watch>,
}

impl Read for Watched {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        let read = on!(&mut self.socket, stream => Read::poll_read(Pin::new(stream), cx, buf));
        if matches!(read, Poll::Ready(Ok(()))) {
            // The end counts too: there is nothing to wait for then.
            self.watch.has_read();
        }
        read
    }
}

impl Write for Watched {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = on!(&mut self.socket, stream => Write::poll_write(Pin::new(stream), cx, buf));
        self.watch.has_written(written.is_ready());
        written
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written =
            on!(&mut self.socket, stream => Write::poll_write_vectored(Pin::new(stream), cx, bufs));
        self.watch.has_written(written.is_ready());
        written
    }

    fn is_write_vectored(&self) -> bool {
        on!(&self.socket, stream => Write::is_write_vectored(stream))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = on!(&mut self.socket, stream => Write::poll_flush(Pin::new(stream), cx));
        // TLS keeps bytes of its own until here; without it this is always ready.
        self.watch.has_written(flushed.is_ready());
        flushed
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        on!(&mut self.socket, stream => Write::poll_shutdown(Pin::new(stream), cx))
    }
}
