//! The head of an answer, and what it says of the body.

use std::mem::MaybeUninit;

use bytes::{Bytes, BytesMut};
use http::header::{CONNECTION, CONTENT_LENGTH, TRANSFER_ENCODING};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};

use super::WireError;
use super::body::Framing;

/// Bytes of a head; those of providers have 1 to 3 KiB.
pub const HEAD_BYTES_MAX: usize = 64 * 1024;
/// Headers of an answer: as many as hyper takes.
pub const HEADERS_MAX: usize = 100;

/// A body that is longer cannot be counted; hyper's bound.
const LENGTH_MAX: u64 = u64::MAX - 2;

/// The head of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// The status, 200 or above.
    pub status: StatusCode,
    /// The reason phrase, where it is not the usual one.
    pub reason: Option<Bytes>,
    /// All headers, slices of what was read.
    pub headers: HeaderMap,
    /// How the body's end is found.
    pub framing: Framing,
    /// Whether another request may follow on the connection.
    pub keeps_alive: bool,
}

/// Where a header's name and value stand.
#[derive(Clone, Copy, Default)]
struct Place {
    name: (u32, u32),
    value: (u32, u32),
}

/// Takes a whole head from `buffer`, and those of 1xx before it; `None` where more is to come.
///
/// # Errors
/// What is refused; the connection is of no use then.
pub fn parse_head(buffer: &mut BytesMut, method: &Method) -> Result<Option<Head>, WireError> {
    while !buffer.is_empty() {
        let Some(head) = parse_one(buffer, method)? else {
            if buffer.len() >= HEAD_BYTES_MAX {
                return Err(WireError::HeadTooLarge);
            }
            return Ok(None);
        };
        match head.status.as_u16() {
            101 => return Err(WireError::Upgrade),
            100..200 => {}
            _ => return Ok(Some(head)),
        }
    }
    Ok(None)
}

fn parse_one(buffer: &mut BytesMut, method: &Method) -> Result<Option<Head>, WireError> {
    let mut places = [Place::default(); HEADERS_MAX];
    let mut headers = [const { MaybeUninit::uninit() }; HEADERS_MAX];
    let mut answer = httparse::Response::new(&mut []);
    let config = httparse::ParserConfig::default();
    let bytes = match config.parse_response_with_uninit_headers(&mut answer, buffer, &mut headers) {
        Ok(httparse::Status::Complete(bytes)) => bytes,
        Ok(httparse::Status::Partial) => return Ok(None),
        Err(httparse::Error::TooManyHeaders) => return Err(WireError::HeadTooLarge),
        Err(_) => return Err(WireError::Head),
    };
    if bytes > HEAD_BYTES_MAX {
        return Err(WireError::HeadTooLarge);
    }
    let status = answer.code.unwrap_or_default();
    let status = StatusCode::from_u16(status).map_err(|_| WireError::Head)?;
    let reason = answer.reason.unwrap_or_default();
    let reason = (status.canonical_reason() != Some(reason))
        .then(|| Bytes::copy_from_slice(reason.as_bytes()));
    let is_http11 = answer.version == Some(1);
    let count = answer.headers.len();
    let place = |part: &[u8]| {
        // Both below the bound above.
        let start = (part.as_ptr().addr() - buffer.as_ptr().addr()) as u32;
        (start, start + part.len() as u32)
    };
    for (header, at) in answer.headers.iter().zip(&mut places) {
        *at = Place {
            name: place(header.name.as_bytes()),
            value: place(header.value),
        };
    }
    let text = buffer.split_to(bytes).freeze();
    let mut headers = HeaderMap::with_capacity(count);
    for Place { name, value } in &places[..count] {
        let name = &text[name.0 as usize..name.1 as usize];
        let name = HeaderName::from_bytes(name).map_err(|_| WireError::Head)?;
        let value = text.slice(value.0 as usize..value.1 as usize);
        let value = HeaderValue::from_maybe_shared(value).map_err(|_| WireError::Head)?;
        headers.append(name, value);
    }
    let keeps_alive = keeps_alive(&headers, is_http11);
    let framing = framing(status, &headers, is_http11, method)?;
    Ok(Some(Head {
        status,
        reason,
        headers,
        framing,
        keeps_alive,
    }))
}

fn keeps_alive(headers: &HeaderMap, is_http11: bool) -> bool {
    let says = |word: &str| {
        headers.get_all(CONNECTION).iter().any(|value| {
            let Ok(text) = value.to_str() else {
                return false;
            };
            text.split(',')
                .any(|said| said.trim().eq_ignore_ascii_case(word))
        })
    };
    !says("close") && (is_http11 || says("keep-alive"))
}

/// RFC 9112, 6.3, and stricter: what could be read in two ways is refused.
fn framing(
    status: StatusCode,
    headers: &HeaderMap,
    is_http11: bool,
    method: &Method,
) -> Result<Framing, WireError> {
    if matches!(status.as_u16(), 100..200 | 204 | 304) || *method == Method::HEAD {
        return Ok(Framing::Length(0));
    }
    let has_length = headers.contains_key(CONTENT_LENGTH);
    let mut codings = headers.get_all(TRANSFER_ENCODING).iter();
    if let Some(coding) = codings.next() {
        if has_length {
            return Err(WireError::TwoLengths);
        }
        let is_chunked = coding
            .as_bytes()
            .trim_ascii()
            .eq_ignore_ascii_case(b"chunked");
        if !is_http11 || !is_chunked || codings.next().is_some() {
            return Err(WireError::TransferEncoding);
        }
        return Ok(Framing::Chunked);
    }
    if !has_length {
        return Ok(Framing::UntilClose);
    }
    let mut length = None;
    for value in headers.get_all(CONTENT_LENGTH) {
        for number in value.as_bytes().split(|byte| *byte == b',') {
            let number = decimal(number.trim_ascii()).ok_or(WireError::ContentLength)?;
            if length.replace(number).is_some_and(|other| other != number) {
                return Err(WireError::ContentLength);
            }
        }
    }
    length.map(Framing::Length).ok_or(WireError::ContentLength)
}

/// Digits alone: no sign, no white space.
fn decimal(text: &[u8]) -> Option<u64> {
    if text.is_empty() {
        return None;
    }
    let mut number = 0_u64;
    for byte in text {
        let digit = byte.is_ascii_digit().then(|| byte - b'0')?;
        number = number.checked_mul(10)?.checked_add(u64::from(digit))?;
    }
    (number <= LENGTH_MAX).then_some(number)
}
