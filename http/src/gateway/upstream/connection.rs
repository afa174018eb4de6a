//! One connection to a provider: a request goes out, an answer comes in.
//!
//! No task and no channel: whoever waits for the answer reads it. Dropping the connection
//! closes it at once.

use super::socket::Socket;
use crate::wire::http1::{BodyDecoder, Head, WireError, encode_request, parse_head};
use bytes::{Buf, Bytes, BytesMut};
use http::{Method, Request};
use std::fmt;
use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};

/// Bytes of a first read; a head and most answers fit.
const READ_BYTES: usize = 8 * 1024;
/// Bytes of a read where those before were full; so much is held of an answer at most,
/// before the client takes it.
const READ_BYTES_MAX: usize = 32 * 1024;
/// A body that is copied behind its head where the socket writes one slice at a time.
const JOINED_BYTES_MAX: usize = 16 * 1024;

/// Why no head came.
#[derive(Debug)]
pub(super) enum Fault {
    /// Nothing was sent: the request may go another way.
    Unsent(io::Error),
    /// The connection ended or broke before the head was whole.
    Broken(io::Error),
    /// What came is refused.
    Refused(WireError),
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unsent(error) | Self::Broken(error) => error.fmt(f),
            Self::Refused(error) => error.fmt(f),
        }
    }
}

/// See the module.
#[derive(Debug)]
pub(super) struct Connection {
    socket: Socket,
    /// Bytes that were read and not taken.
    read: BytesMut,
    read_bytes: usize,
    /// What is to be written: a head, then a body.
    head: Bytes,
    body: Bytes,
    /// Whether something was written that may wait in TLS.
    must_flush: bool,
    keeps_alive: bool,
}

impl Connection {
    pub(super) fn new(socket: Socket) -> Self {
        Self {
            socket,
            read: BytesMut::new(),
            read_bytes: READ_BYTES,
            head: Bytes::new(),
            body: Bytes::new(),
            must_flush: false,
            keeps_alive: false,
        }
    }

    /// Whether an idle connection is open: neither its end nor a byte that nobody asked for
    /// has come.
    pub(super) fn poll_is_alive(&mut self, cx: &mut Context<'_>) -> bool {
        let mut byte = [0];
        let mut buf = ReadBuf::new(&mut byte);
        Pin::new(&mut self.socket)
            .poll_read(cx, &mut buf)
            .is_pending()
    }

    /// Sends a request and waits for the head of its answer, which may come before all of
    /// the request is out.
    pub(super) async fn exchange(&mut self, request: &Request<Bytes>) -> Result<Head, Fault> {
        let (method, body) = (request.method(), request.body());
        let mut head = encode_request(method, request.uri(), request.headers(), body.len());
        self.body = body.clone();
        if !self.socket.is_write_vectored() && body.len() <= JOINED_BYTES_MAX {
            head.extend_from_slice(&std::mem::take(&mut self.body));
        }
        self.head = head.freeze();
        self.keeps_alive = false;
        let all_bytes = self.unsent_bytes();
        let head = poll_fn(|cx| self.poll_head(cx, method, all_bytes)).await?;
        self.keeps_alive = head.keeps_alive;
        Ok(head)
    }

    fn poll_head(
        &mut self,
        cx: &mut Context<'_>,
        method: &Method,
        all_bytes: usize,
    ) -> Poll<Result<Head, Fault>> {
        if let Poll::Ready(Err(error)) = self.poll_write(cx) {
            if self.unsent_bytes() == all_bytes {
                return Poll::Ready(Err(Fault::Unsent(error)));
            }
            // An answer may have come all the same: why the request is not wanted.
            self.give_up_writing();
        }
        loop {
            match parse_head(&mut self.read, method) {
                Ok(Some(head)) => return Poll::Ready(Ok(head)),
                Ok(None) => {}
                Err(error) => return Poll::Ready(Err(Fault::Refused(error))),
            }
            match ready!(self.poll_read(cx)) {
                Ok(0) => {
                    let error = io::Error::from(io::ErrorKind::UnexpectedEof);
                    return Poll::Ready(Err(Fault::Broken(error)));
                }
                Ok(_) => {}
                Err(error) => return Poll::Ready(Err(Fault::Broken(error))),
            }
        }
    }

    /// More bytes of the body, in one piece; `None` at its end.
    pub(super) fn poll_body(
        &mut self,
        cx: &mut Context<'_>,
        decoder: &mut BodyDecoder,
    ) -> Poll<Option<io::Result<Bytes>>> {
        let refused = |error| Poll::Ready(Some(Err(io::Error::other(error))));
        if self.is_writing() && matches!(self.poll_write(cx), Poll::Ready(Err(_))) {
            // The provider wants no more of the request; its answer goes on.
            self.give_up_writing();
        }
        loop {
            if !self.read.is_empty() {
                match decoder.decode(&mut self.read) {
                    Ok(data) if data.is_empty() => {}
                    Ok(data) => return Poll::Ready(Some(Ok(data))),
                    Err(error) => return refused(error),
                }
            }
            if decoder.is_ended() {
                return Poll::Ready(None);
            }
            match ready!(self.poll_read(cx)) {
                Ok(0) => {
                    self.keeps_alive = false;
                    if let Err(error) = decoder.connection_ended() {
                        return refused(error);
                    }
                }
                Ok(_) => {}
                Err(error) => return Poll::Ready(Some(Err(error))),
            }
        }
    }

    /// Whether the next request may use it, at the end of an answer.
    pub(super) fn is_reusable(&self) -> bool {
        self.keeps_alive && self.read.is_empty() && !self.is_writing()
    }

    /// Makes it small, to wait for the next request.
    pub(super) fn rests(&mut self) {
        if self.read_bytes > READ_BYTES {
            self.read = BytesMut::new();
            self.read_bytes = READ_BYTES;
        }
        self.head = Bytes::new();
        self.body = Bytes::new();
    }

    fn unsent_bytes(&self) -> usize {
        self.head.len() + self.body.len()
    }

    fn is_writing(&self) -> bool {
        self.must_flush || self.unsent_bytes() > 0
    }

    fn give_up_writing(&mut self) {
        self.head = Bytes::new();
        self.body = Bytes::new();
        self.must_flush = false;
        self.keeps_alive = false;
    }

    fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.unsent_bytes() > 0 {
            let slices = [IoSlice::new(&self.head), IoSlice::new(&self.body)];
            let from = usize::from(self.head.is_empty());
            let socket = Pin::new(&mut self.socket);
            let written = ready!(socket.poll_write_vectored(cx, &slices[from..]))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            let of_head = written.min(self.head.len());
            self.head.advance(of_head);
            self.body.advance(written - of_head);
            self.must_flush = true;
        }
        if self.must_flush {
            ready!(Pin::new(&mut self.socket).poll_flush(cx))?;
            self.must_flush = false;
        }
        Poll::Ready(Ok(()))
    }

    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        // What is left of the last one will do, where a stream comes in small pieces.
        if self.read.capacity() - self.read.len() < self.read_bytes / 2 {
            self.read.reserve(self.read_bytes);
        }
        let room = self.read.capacity() - self.read.len();
        // It keeps nothing from one poll to the next, so it may be made anew for each.
        let read = pin!(self.socket.read_buf(&mut self.read));
        let count = ready!(read.poll(cx))?;
        if count == room {
            self.read_bytes = (self.read_bytes * 2).min(READ_BYTES_MAX);
        }
        Poll::Ready(Ok(count))
    }
}
