//! HTTP/1.1 as a client speaks it, without I/O: what the gateway says to providers and hears of them.
//!
//! ```text
//! request -> head bytes + body          bytes read -> head -> framing -> body
//! ```
//! Everything one read brought becomes one piece of body, also where it came as many chunks,
//! so that it goes on to the client in one write. It is strict: where a message can be read in
//! two ways it is refused (docs/adr/0010-upstream-client.md). The server's side is hyper's.

mod body;
mod chunked;
mod head;
mod hearing;
mod request;

#[cfg(test)]
pub(super) mod oracle;
#[cfg(test)]
mod tests;

pub use body::{BodyDecoder, Framing};
pub use chunked::{CHUNK_EXTENSION_BYTES_MAX, TRAILER_BYTES_MAX};
pub use head::{HEAD_BYTES_MAX, HEADERS_MAX, Head, parse_head};
pub(super) use hearing::hear;
pub use request::encode_request;

use std::fmt;

/// Why an answer is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum WireError {
    /// The status line or a header is no HTTP/1.1.
    Head,
    /// The head is above [`HEAD_BYTES_MAX`], or has more than [`HEADERS_MAX`] headers.
    HeadTooLarge,
    /// 101, which nobody asked for.
    Upgrade,
    /// A `Content-Length` that is no number, or several that differ.
    ContentLength,
    /// `Transfer-Encoding` and `Content-Length` in one head.
    TwoLengths,
    /// A transfer coding other than `chunked` alone, or any in HTTP/1.0.
    TransferEncoding,
    /// A chunk's size, its line, or what stands behind its data.
    Chunk,
    /// Extensions above [`CHUNK_EXTENSION_BYTES_MAX`] in all.
    ChunkExtensions,
    /// Trailers that are no headers, or above [`TRAILER_BYTES_MAX`].
    Trailers,
    /// The connection ended before the body did.
    Truncated,
}

impl fmt::Display for WireError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Head => "the head is no HTTP/1.1",
            Self::HeadTooLarge => "the head is too large",
            Self::Upgrade => "an upgrade that was not asked for",
            Self::ContentLength => "the Content-Length is none, or not one",
            Self::TwoLengths => "Transfer-Encoding and Content-Length together",
            Self::TransferEncoding => "a transfer coding other than chunked",
            Self::Chunk => "a chunk is malformed",
            Self::ChunkExtensions => "the chunk extensions are too long",
            Self::Trailers => "the trailers are malformed or too long",
            Self::Truncated => "the body broke off",
        })
    }
}

impl std::error::Error for WireError {}
