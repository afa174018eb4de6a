//! Chunks, put together in place.

use bytes::{Buf, Bytes, BytesMut};
use http::{HeaderName, HeaderValue};

use super::WireError;
use super::head::HEADERS_MAX;

/// Bytes of extensions, and of white space behind sizes, in a whole body: hyper's bound.
pub const CHUNK_EXTENSION_BYTES_MAX: usize = 16 * 1024;
/// Bytes of all trailers.
pub const TRAILER_BYTES_MAX: usize = 16 * 1024;
/// Digits of a size: more cannot be a `u64`, but for zeros in front, which nobody writes.
const SIZE_DIGITS_MAX: u8 = 16;

/// What the next byte is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    /// A digit of a size, or what ends it.
    #[default]
    Size,
    /// White space behind a size.
    Space,
    Extension,
    SizeLf,
    Data,
    DataCr,
    DataLf,
    /// The first byte of a trailer, or the CR of the last line.
    LineStart,
    Trailer,
    TrailerLf,
    EndLf,
    Ended,
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Chunked {
    state: State,
    digits: u8,
    /// The size as far as it is read, then what is left of the chunk.
    left: u64,
    extension_bytes: usize,
    trailers: Vec<u8>,
    /// Why the byte that comes next is refused, once the data before it was taken.
    fault: Option<WireError>,
}

impl Chunked {
    pub(super) fn is_ended(&self) -> bool {
        self.state == State::Ended
    }

    /// Takes all of `buffer` but what comes behind the last chunk; the data of all chunks is
    /// moved together, and stays where it is if it is one run.
    ///
    /// Data before a byte that is refused is taken first, so that it is delivered however the
    /// reads fell; the byte stays in `buffer`, and the next call says what is wrong with it.
    ///
    /// # Cost
    /// A state a byte of framing, and a move of each run but the first.
    pub(super) fn decode(&mut self, buffer: &mut BytesMut) -> Result<Bytes, WireError> {
        if let Some(fault) = self.fault {
            return Err(fault);
        }
        let mut at = 0;
        // The data so far is `start..end`.
        let (mut start, mut end) = (0, 0);
        while at < buffer.len() && self.state != State::Ended {
            if self.state == State::Data {
                let left = usize::try_from(self.left).unwrap_or(usize::MAX);
                let run = left.min(buffer.len() - at);
                if start == end {
                    (start, end) = (at, at + run);
                } else {
                    buffer.copy_within(at..at + run, end);
                    end += run;
                }
                at += run;
                self.left -= run as u64;
                if self.left == 0 {
                    self.state = State::DataCr;
                }
            } else {
                match self.framing(buffer[at]) {
                    Ok(state) => self.state = state,
                    Err(fault) if start == end => return Err(fault),
                    Err(fault) => {
                        self.fault = Some(fault);
                        break;
                    }
                }
                at += 1;
            }
        }
        let mut data = buffer.split_to(at);
        data.truncate(end);
        data.advance(start);
        Ok(data.freeze())
    }

    /// The state after a byte that is none of the data.
    fn framing(&mut self, byte: u8) -> Result<State, WireError> {
        match (self.state, byte) {
            (State::Size, _) => self.size(byte),
            (State::Space, b' ' | b'\t') => self.extended(State::Space),
            (State::Space | State::Extension, b'\r') => Ok(State::SizeLf),
            (State::Space, b';') => self.extended(State::Extension),
            // Who takes a LF alone as the end would read another body.
            (State::Extension, b'\n') => Err(WireError::Chunk),
            (State::Extension, _) => self.extended(State::Extension),
            (State::SizeLf, b'\n') => {
                self.digits = 0;
                Ok(match self.left {
                    0 => State::LineStart,
                    _ => State::Data,
                })
            }
            (State::DataCr, b'\r') => Ok(State::DataLf),
            (State::DataLf, b'\n') => Ok(State::Size),
            (State::LineStart, b'\r') => Ok(State::EndLf),
            (State::Trailer, b'\r') => Ok(State::TrailerLf),
            (State::LineStart | State::Trailer, _) => self.trailer(byte, State::Trailer),
            (State::TrailerLf, b'\n') => {
                self.trailer(b'\r', State::TrailerLf)?;
                self.trailer(b'\n', State::LineStart)
            }
            (State::EndLf, b'\n') => self.end(),
            _ => Err(WireError::Chunk),
        }
    }

    fn size(&mut self, byte: u8) -> Result<State, WireError> {
        let digit = match byte {
            b'0'..=b'9' => byte - b'0',
            b'a'..=b'f' => byte - b'a' + 10,
            b'A'..=b'F' => byte - b'A' + 10,
            _ if self.digits == 0 => return Err(WireError::Chunk),
            b' ' | b'\t' => return self.extended(State::Space),
            b';' => return self.extended(State::Extension),
            b'\r' => return Ok(State::SizeLf),
            _ => return Err(WireError::Chunk),
        };
        if self.digits == SIZE_DIGITS_MAX {
            return Err(WireError::Chunk);
        }
        self.digits += 1;
        self.left = (self.left << 4) | u64::from(digit);
        Ok(State::Size)
    }

    fn extended(&mut self, state: State) -> Result<State, WireError> {
        self.extension_bytes += 1;
        if self.extension_bytes >= CHUNK_EXTENSION_BYTES_MAX {
            return Err(WireError::ChunkExtensions);
        }
        Ok(state)
    }

    fn trailer(&mut self, byte: u8, state: State) -> Result<State, WireError> {
        self.trailers.push(byte);
        if self.trailers.len() >= TRAILER_BYTES_MAX {
            return Err(WireError::Trailers);
        }
        Ok(state)
    }

    /// Trailers are read, so that what is none is refused, and dropped.
    fn end(&mut self) -> Result<State, WireError> {
        if self.trailers.is_empty() {
            return Ok(State::Ended);
        }
        let mut trailers = std::mem::take(&mut self.trailers);
        trailers.extend_from_slice(b"\r\n");
        let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
        let Ok(httparse::Status::Complete((bytes, read))) =
            httparse::parse_headers(&trailers, &mut headers)
        else {
            return Err(WireError::Trailers);
        };
        let is_header = |header: &httparse::Header<'_>| {
            HeaderName::from_bytes(header.name.as_bytes()).is_ok()
                && HeaderValue::from_bytes(header.value).is_ok()
        };
        if bytes != trailers.len() || !read.iter().all(is_header) {
            return Err(WireError::Trailers);
        }
        Ok(State::Ended)
    }
}
