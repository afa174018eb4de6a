//! A socket that can be told to send bytes that are not HTTP.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// What is sent in place of a response.
const GARBAGE: &[u8] = b"SSH-2.0-upstream_0.1 \x00\xff\xfe this is no HTTP\r\n\r\n";

/// Passes everything through until `on` is set; then the next write becomes garbage and the last.
pub(super) struct Garble<S> {
    pub(super) socket: S,
    pub(super) on: Arc<AtomicBool>,
}

impl<S: AsyncRead + Unpin> AsyncRead for Garble<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_read(cx, buf)
    }
}

impl<S: AsyncWrite + Unpin> Garble<S> {
    fn poll_garbage(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let sent = ready!(Pin::new(&mut self.socket).poll_write(cx, GARBAGE))?;
        assert_eq!(sent, GARBAGE.len(), "an idle socket takes a few bytes");
        Poll::Ready(Err(io::Error::other("the script sends garbage")))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Garble<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        // Relaxed: the flag and the socket belong to one task.
        if self.on.load(Ordering::Relaxed) {
            return self.poll_garbage(cx);
        }
        Pin::new(&mut self.socket).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if self.on.load(Ordering::Relaxed) {
            return self.poll_garbage(cx);
        }
        Pin::new(&mut self.socket).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(cx)
    }
}
