//! The body of an answer: where it ends.

use bytes::{Bytes, BytesMut};

use super::WireError;
use super::chunked::Chunked;

/// How the end of a body is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// After so many bytes.
    Length(u64),
    /// With its last chunk.
    Chunked,
    /// With the connection.
    UntilClose,
}

/// Takes the bytes of a body from those of the connection.
#[derive(Debug)]
pub struct BodyDecoder(Kind);

#[derive(Debug)]
enum Kind {
    Length(u64),
    Chunked(Chunked),
    UntilClose,
    Ended,
}

impl BodyDecoder {
    /// A decoder at the start of a body.
    #[must_use]
    pub fn new(framing: Framing) -> Self {
        Self(match framing {
            Framing::Length(bytes) => Kind::Length(bytes),
            Framing::Chunked => Kind::Chunked(Chunked::default()),
            Framing::UntilClose => Kind::UntilClose,
        })
    }

    /// Takes what of `buffer` is the body's, in one piece; it may be empty. What is left in
    /// `buffer` comes behind the body.
    ///
    /// # Errors
    /// What is refused; the connection is of no use then.
    pub fn decode(&mut self, buffer: &mut BytesMut) -> Result<Bytes, WireError> {
        match &mut self.0 {
            Kind::Length(left) => {
                let bytes = usize::try_from(*left).unwrap_or(usize::MAX);
                let data = buffer.split_to(bytes.min(buffer.len()));
                *left -= data.len() as u64;
                Ok(data.freeze())
            }
            Kind::Chunked(chunked) => chunked.decode(buffer),
            Kind::UntilClose => Ok(buffer.split().freeze()),
            Kind::Ended => Ok(Bytes::new()),
        }
    }

    /// The connection has ended.
    ///
    /// # Errors
    /// If the body has not.
    pub fn connection_ended(&mut self) -> Result<(), WireError> {
        if !self.is_ended() && !matches!(self.0, Kind::UntilClose) {
            return Err(WireError::Truncated);
        }
        self.0 = Kind::Ended;
        Ok(())
    }

    /// Whether all of it was taken.
    #[must_use]
    pub fn is_ended(&self) -> bool {
        match &self.0 {
            Kind::Length(left) => *left == 0,
            Kind::Chunked(chunked) => chunked.is_ended(),
            Kind::UntilClose => false,
            Kind::Ended => true,
        }
    }

    /// Bytes to come, where that is known.
    #[must_use]
    pub fn left_bytes(&self) -> Option<u64> {
        match &self.0 {
            Kind::Length(left) => Some(*left),
            Kind::Ended => Some(0),
            Kind::Chunked(_) | Kind::UntilClose => None,
        }
    }
}
