//! The head of a request.

use bytes::{BufMut, BytesMut};
use http::header::{CONTENT_LENGTH, TRANSFER_ENCODING};
use http::{HeaderMap, Method, Uri};

/// What a head has beside its headers, and a little more.
const HEAD_BYTES: usize = 256;
/// A name and its value, on the mean.
const HEADER_BYTES: usize = 48;

/// Writes a head for a body of `body_bytes`, in origin form.
///
/// Lengths are said here alone: a `Content-Length` or `Transfer-Encoding` of `headers` is left out.
#[must_use]
pub fn encode_request(
    method: &Method,
    uri: &Uri,
    headers: &HeaderMap,
    body_bytes: usize,
) -> BytesMut {
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    let bytes = HEAD_BYTES + path.len() + headers.len() * HEADER_BYTES;
    let mut out = BytesMut::with_capacity(bytes);
    for part in [method.as_str(), " ", path, " HTTP/1.1\r\n"] {
        out.put_slice(part.as_bytes());
    }
    for (name, value) in headers {
        if *name == CONTENT_LENGTH || *name == TRANSFER_ENCODING {
            continue;
        }
        out.put_slice(name.as_str().as_bytes());
        out.put_slice(b": ");
        out.put_slice(value.as_bytes());
        out.put_slice(b"\r\n");
    }
    out.put_slice(b"content-length: ");
    put_decimal(&mut out, body_bytes);
    out.put_slice(b"\r\n\r\n");
    out
}

fn put_decimal(out: &mut BytesMut, mut number: usize) {
    /// Digits of [`u64::MAX`].
    const DIGITS_MAX: usize = 20;
    let mut digits = [0; DIGITS_MAX];
    let mut at = DIGITS_MAX;
    loop {
        at -= 1;
        digits[at] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            break;
        }
    }
    out.put_slice(&digits[at..]);
}
