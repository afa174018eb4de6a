//! A small, strict, blocking HTTP/1.1 client that shows each byte it got.
//!
//! It is written for tests: it does not share code with the gateway's HTTP
//! library, never retries, and treats a framing error as an error.

use crate::patience::PATIENCE;
use rustls::{ClientConfig, ClientConnection, StreamOwned};
use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;

/// A response, or as much of it as came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// The status code.
    pub status: u16,
    /// Header names in lower case, with their values, in order.
    pub headers: Vec<(String, String)>,
    /// The body without its transfer coding.
    pub body: Vec<u8>,
}

impl Reply {
    /// The value of a header.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(n, _)| n == name);
        found.map(|(_, value)| value.as_str())
    }

    /// The body as text.
    ///
    /// # Panics
    /// If it is not UTF-8.
    #[must_use]
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("the body is UTF-8")
    }

    /// The body as JSON.
    ///
    /// # Panics
    /// If it is not JSON; the message has the body.
    #[must_use]
    pub fn json(&self) -> serde_json::Value {
        let parsed = serde_json::from_slice(&self.body);
        parsed.unwrap_or_else(|error| {
            let body = String::from_utf8_lossy(&self.body);
            unreachable!("status {}, not JSON ({error}): {body}", self.status)
        })
    }

    /// The `data` of each SSE event.
    #[must_use]
    pub fn events(&self) -> Vec<String> {
        let data = self.text().lines().filter_map(|l| l.strip_prefix("data: "));
        data.map(ToOwned::to_owned).collect()
    }
}

/// What bytes go over.
enum Wire {
    Plain(TcpStream),
    Tls(Box<StreamOwned<ClientConnection, TcpStream>>),
}

impl io::Read for Wire {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(socket) => socket.read(buf),
            Self::Tls(stream) => stream.read(buf),
        }
    }
}

impl io::Write for Wire {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(socket) => socket.write(buf),
            Self::Tls(stream) => stream.write(buf),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(socket) => socket.flush(),
            Self::Tls(stream) => stream.flush(),
        }
    }
}

/// How the end of a body is known.
enum Framing {
    Length(usize),
    Chunked,
    Close,
}

/// One connection at a time to one address.
pub struct Client {
    addr: SocketAddr,
    socket: Option<BufReader<Wire>>,
    tls: Option<Arc<ClientConfig>>,
    framing: Framing,
    close_after: bool,
}

impl Client {
    /// Connects.
    ///
    /// # Panics
    /// If the address does not accept.
    #[must_use]
    pub fn connect(addr: SocketAddr) -> Self {
        Self::new(addr).dialled()
    }

    /// Connects now.
    ///
    /// # Panics
    /// If the address does not accept.
    #[must_use]
    pub fn dialled(mut self) -> Self {
        self.dial().expect("the server accepts connections");
        self
    }

    /// A client that connects with its first request.
    #[must_use]
    pub fn new(addr: SocketAddr) -> Self {
        Self {
            addr,
            socket: None,
            tls: None,
            framing: Framing::Length(0),
            close_after: false,
        }
    }

    /// The same client, over TLS.
    #[must_use]
    pub fn secured(mut self, tls: Option<Arc<ClientConfig>>) -> Self {
        self.tls = tls;
        self
    }

    /// The certificate that the other side showed, in DER.
    #[must_use]
    pub fn peer_certificate(&self) -> Option<Vec<u8>> {
        match self.socket.as_ref()?.get_ref() {
            Wire::Plain(_) => None,
            Wire::Tls(stream) => Some(stream.conn.peer_certificates()?.first()?.to_vec()),
        }
    }

    fn dial(&mut self) -> io::Result<&mut BufReader<Wire>> {
        let socket = TcpStream::connect(self.addr)?;
        socket.set_nodelay(true)?;
        socket.set_read_timeout(Some(PATIENCE))?;
        socket.set_write_timeout(Some(PATIENCE))?;
        let wire = match &self.tls {
            None => Wire::Plain(socket),
            Some(tls) => {
                let name = self.addr.ip().into();
                let session = ClientConnection::new(Arc::clone(tls), name);
                let session = session.map_err(io::Error::other)?;
                Wire::Tls(Box::new(StreamOwned::new(session, socket)))
            }
        };
        Ok(self.socket.insert(BufReader::new(wire)))
    }

    fn open(&mut self) -> io::Result<&mut BufReader<Wire>> {
        if self.close_after {
            self.socket = None;
            self.close_after = false;
        }
        if self.socket.is_none() {
            self.dial()?;
        }
        let closed = || io::Error::from(io::ErrorKind::NotConnected);
        self.socket.as_mut().ok_or_else(closed)
    }

    /// Our side of the open connection.
    #[must_use]
    pub fn local_addr(&self) -> Option<SocketAddr> {
        let socket = self.socket.as_ref()?;
        match socket.get_ref() {
            Wire::Plain(socket) => socket,
            Wire::Tls(stream) => stream.get_ref(),
        }
        .local_addr()
        .ok()
    }

    /// Closes the connection, whatever is under way on it.
    pub fn hang_up(&mut self) {
        self.socket = None;
    }

    /// Writes bytes as they are.
    ///
    /// # Errors
    /// Where the connection does not take them.
    pub fn send_raw(&mut self, bytes: &[u8]) -> io::Result<()> {
        let wire = self.open()?.get_mut();
        wire.write_all(bytes)?;
        wire.flush()
    }

    /// Writes a request.
    ///
    /// # Errors
    /// Where the connection does not take it.
    pub fn send(
        &mut self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> io::Result<()> {
        let addr = self.addr;
        let mut bytes = format!("{method} {path} HTTP/1.1\r\nhost: {addr}\r\n").into_bytes();
        for (name, value) in headers {
            bytes.extend_from_slice(format!("{name}: {value}\r\n").as_bytes());
        }
        if !body.is_empty() || method == "POST" {
            bytes.extend_from_slice(format!("content-length: {}\r\n", body.len()).as_bytes());
        }
        bytes.extend_from_slice(b"\r\n");
        bytes.extend_from_slice(body);
        self.send_raw(&bytes)
    }

    fn line(&mut self) -> io::Result<String> {
        let closed = || io::Error::from(io::ErrorKind::NotConnected);
        let socket = self.socket.as_mut().ok_or_else(closed)?;
        let mut line = Vec::new();
        socket.read_until(b'\n', &mut line)?;
        if line.is_empty() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let line = line
            .strip_suffix(b"\r\n")
            .ok_or_else(|| bad("a line without CRLF"))?;
        String::from_utf8(line.to_vec()).map_err(|_| bad("a head that is not UTF-8"))
    }

    /// Reads a response's status and headers.
    ///
    /// # Errors
    /// Where the connection closes or does not speak HTTP/1.1.
    pub fn read_head(&mut self) -> io::Result<Reply> {
        let line = self.line()?;
        let status = line
            .strip_prefix("HTTP/1.1 ")
            .and_then(|rest| rest.get(..3));
        let status = status.and_then(|digits| digits.parse().ok());
        let status: u16 = status.ok_or_else(|| bad(&format!("the status line {line:?}")))?;
        let mut headers = Vec::new();
        loop {
            let line = self.line()?;
            if line.is_empty() {
                break;
            }
            let (name, value) = line
                .split_once(':')
                .ok_or_else(|| bad("a header without :"))?;
            headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
        }
        let reply = Reply {
            status,
            headers,
            body: Vec::new(),
        };
        self.framing = match (
            reply.header("transfer-encoding"),
            reply.header("content-length"),
        ) {
            (Some(_), Some(_)) => return Err(bad("a length and a transfer coding")),
            (Some("chunked"), None) => Framing::Chunked,
            (Some(_), None) => return Err(bad("an unknown transfer coding")),
            (None, Some(length)) => {
                Framing::Length(length.parse().map_err(|_| bad("the content-length"))?)
            }
            (None, None) if matches!(status, 204 | 304) => Framing::Length(0),
            (None, None) => Framing::Close,
        };
        self.close_after =
            reply.header("connection") == Some("close") || matches!(self.framing, Framing::Close);
        Ok(reply)
    }

    /// Reads the next piece of the body, as it comes; `None` at its end.
    ///
    /// # Errors
    /// Where the connection closes before the end of the body, or the framing is wrong.
    pub fn read_piece(&mut self) -> io::Result<Option<Vec<u8>>> {
        let closed = || io::Error::from(io::ErrorKind::NotConnected);
        match self.framing {
            Framing::Length(0) => Ok(None),
            Framing::Length(left) => {
                let socket = self.socket.as_mut().ok_or_else(closed)?;
                let have = socket.fill_buf()?;
                if have.is_empty() {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
                let piece = have[..have.len().min(left)].to_vec();
                socket.consume(piece.len());
                self.framing = Framing::Length(left - piece.len());
                Ok(Some(piece))
            }
            Framing::Close => {
                let socket = self.socket.as_mut().ok_or_else(closed)?;
                let piece = socket.fill_buf()?.to_vec();
                socket.consume(piece.len());
                Ok((!piece.is_empty()).then_some(piece))
            }
            Framing::Chunked => {
                let size = self.line()?;
                let size = usize::from_str_radix(&size, 16).map_err(|_| bad("a chunk size"))?;
                let socket = self.socket.as_mut().ok_or_else(closed)?;
                let mut piece = vec![0; size];
                socket.read_exact(&mut piece)?;
                let end = self.line()?;
                if !end.is_empty() {
                    return Err(bad("a chunk that is longer than its size"));
                }
                if size == 0 {
                    self.framing = Framing::Length(0);
                    return Ok(None);
                }
                Ok(Some(piece))
            }
        }
    }

    /// Reads a whole response.
    ///
    /// # Errors
    /// Where it does not come whole.
    pub fn read(&mut self) -> io::Result<Reply> {
        let mut reply = self.read_head()?;
        while let Some(piece) = self.read_piece()? {
            reply.body.extend_from_slice(&piece);
        }
        Ok(reply)
    }

    /// Sends a request and reads its response.
    ///
    /// # Errors
    /// Where either does not go through whole.
    pub fn request(
        &mut self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> io::Result<Reply> {
        let reply = self
            .send(method, path, headers, body)
            .and_then(|()| self.read());
        if reply.is_err() {
            self.hang_up();
        }
        reply
    }

    /// Posts JSON with a bearer key.
    ///
    /// # Panics
    /// If no whole response comes.
    pub fn post(&mut self, path: &str, key: &str, body: &[u8]) -> Reply {
        let bearer = format!("Bearer {key}");
        let headers = [
            ("authorization", bearer.as_str()),
            ("content-type", "application/json"),
        ];
        let reply = self.request("POST", path, &headers, body);
        reply.expect("the server answers with a whole response")
    }

    /// Gets a path without a key.
    ///
    /// # Panics
    /// If no whole response comes.
    pub fn get(&mut self, path: &str) -> Reply {
        let reply = self.request("GET", path, &[], b"");
        reply.expect("the server answers with a whole response")
    }
}

fn bad(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("not HTTP/1.1: {what}"))
}
