//! A load of an exact number of requests, and its latencies.

use super::{CHAT, CLIENT_KEY, Outcome, chat_body};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

/// An answer takes less, even under valgrind.
const ANSWER_MAX: Duration = Duration::from_secs(30);
/// An answer of the upstream is far smaller.
const ANSWER_BYTES_MAX: usize = 64 << 10;

/// One connection that is kept open.
#[derive(Debug)]
pub struct Caller {
    socket: TcpStream,
    request: Vec<u8>,
    answer: Vec<u8>,
}

impl Caller {
    /// Connects.
    ///
    /// # Errors
    /// Where no one listens.
    pub fn connect(addr: SocketAddr, model: &str) -> Outcome<Self> {
        let failed = |error: std::io::Error| format!("{addr}: {error}");
        let socket = TcpStream::connect(addr).map_err(failed)?;
        socket.set_nodelay(true).map_err(failed)?;
        socket.set_read_timeout(Some(ANSWER_MAX)).map_err(failed)?;
        let body = chat_body(model);
        let request = format!(
            "POST {CHAT} HTTP/1.1\r\nhost: {addr}\r\ncontent-type: application/json\r\n\
             authorization: Bearer {CLIENT_KEY}\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        Ok(Self {
            socket,
            request: request.into_bytes(),
            answer: vec![0; ANSWER_BYTES_MAX],
        })
    }

    /// One request; the time to the answer's last byte.
    ///
    /// # Errors
    /// Where the answer is not a whole 200.
    pub fn call(&mut self) -> Outcome<Duration> {
        let start = Instant::now();
        let sent = self.socket.write_all(&self.request);
        sent.map_err(|error| format!("no request: {error}"))?;
        let mut have = 0;
        loop {
            let more = self.socket.read(&mut self.answer[have..]);
            match more.map_err(|error| format!("no answer: {error}"))? {
                0 => return Err("an answer that breaks off".to_owned()),
                n => have += n,
            }
            if is_whole(&self.answer[..have])? {
                return Ok(start.elapsed());
            }
        }
    }
}

/// Whether a 200 with a `content-length` is all there.
fn is_whole(answer: &[u8]) -> Outcome<bool> {
    let Some(end) = answer.windows(4).position(|four| four == b"\r\n\r\n") else {
        return Ok(false);
    };
    let head = String::from_utf8_lossy(&answer[..end]).to_ascii_lowercase();
    if !head.starts_with("http/1.1 200") {
        return Err(format!("not a 200: {head}"));
    }
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length:"));
    let length: usize = length
        .and_then(|text| text.trim().parse().ok())
        .ok_or_else(|| format!("no length: {head}"))?;
    Ok(answer.len() >= end + 4 + length)
}

/// Exactly `requests` requests over one connection; their latencies in microseconds.
///
/// # Errors
/// At the first answer that is not a whole 200.
pub fn exact(addr: SocketAddr, model: &str, requests: u64) -> Outcome<Vec<f64>> {
    let mut caller = Caller::connect(addr, model)?;
    (0..requests)
        .map(|_| Ok(caller.call()?.as_secs_f64() * 1e6))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_whole_with_its_last_byte() {
        let text = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
        assert_eq!(is_whole(text), Ok(true));
        assert_eq!(is_whole(&text[..text.len() - 1]), Ok(false));
        assert_eq!(is_whole(b"HTTP/1.1 200"), Ok(false));
        assert!(is_whole(b"HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n").is_err());
    }
}
