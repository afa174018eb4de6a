//! All bytes of a connection, heard at once or cut anywhere: what tests and the fuzzer judge.

use bytes::BytesMut;
use http::{HeaderMap, Method};

use super::{BodyDecoder, WireError, parse_head};

/// Status, headers, body, and what stood behind it.
pub(in crate::wire) type Heard = Result<(u16, HeaderMap, Vec<u8>, Vec<u8>), WireError>;

/// What comes of the pieces of a connection, which then ends.
pub(in crate::wire) fn hear(method: &Method, pieces: &[&[u8]]) -> Heard {
    let mut pieces = pieces.iter();
    let mut buffer = BytesMut::new();
    let head = loop {
        if let Some(head) = parse_head(&mut buffer, method)? {
            break head;
        }
        let Some(piece) = pieces.next() else {
            return Err(WireError::Truncated);
        };
        buffer.extend_from_slice(piece);
    };
    let mut decoder = BodyDecoder::new(head.framing);
    let mut body = Vec::new();
    loop {
        let data = decoder.decode(&mut buffer)?;
        body.extend_from_slice(&data);
        if decoder.is_ended() {
            break;
        }
        if !buffer.is_empty() {
            // A byte that is refused, behind data.
            continue;
        }
        let Some(piece) = pieces.next() else {
            decoder.connection_ended()?;
            break;
        };
        buffer.extend_from_slice(piece);
    }
    for piece in pieces {
        buffer.extend_from_slice(piece);
    }
    Ok((head.status.as_u16(), head.headers, body, buffer.to_vec()))
}
