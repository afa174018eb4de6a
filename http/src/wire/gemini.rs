//! Gemini's `generateContent`: what may be used, its usage, its two kinds of streams, its
//! errors.
//!
//! A stream is an event stream with `alt=sse` ([`super::sse`] reads it), else one JSON
//! array whose elements come one by one ([`mod@array`]). Both are made of the same chunks.

pub mod array;
pub(super) mod chunk;
pub mod error;
pub mod request;
pub mod usage;
