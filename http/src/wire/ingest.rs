//! The body of `POST /ingest/v1/records`: usage records of other gateways, one JSON
//! object a line.
//!
//! ```text
//! pieces of the body -> Lines (whole lines, numbered) -> Parser (simd-json) -> Line | Fault
//! ```
//! A [`Line`] is checked: its numbers are in range, its texts are bounded, its error is
//! one of the closed list. Whose it is, whether its id was seen before and what it costs
//! where it does not say so are the gateway's questions, not this module's.
//!
//! ```
//! use coo_llm_http::wire::ingest::{Lines, Parser, Text};
//!
//! let body = br#"{"id":"a-1","time":1763950000000,"provider":"openai","model":"gpt-4o",
//! "#; // The rest of the line comes with the next piece.
//! # let body = &body[..body.len() - 1];
//! let rest = br#""key_id":"openai-1","client_id":"web","status":200,"latency_ms":812.5,"prompt_tokens":120,"completion_tokens":30,"cost_usd":0.0006}"#;
//!
//! let mut lines = Lines::default();
//! let mut piece: &[u8] = body;
//! assert!(lines.next(&mut piece).is_none());
//! piece = rest;
//! assert!(lines.next(&mut piece).is_none());
//! let (number, text) = lines.last().expect("a last line needs no line feed");
//! let Text::Whole(text) = text else { unreachable!("it is short") };
//! let mut parser = Parser::default();
//! let line = parser.parse(text)?;
//! assert_eq!((number, line.id, line.latency.0), (1, "a-1", 812_500));
//! assert_eq!(line.cost.map(|cost| cost.0), Some(600_000));
//! # Ok::<(), coo_llm_http::wire::ingest::Fault>(())
//! ```

mod decimal;
mod fault;
mod line;
mod lines;
pub(super) mod oracle;
mod parser;
#[cfg(test)]
mod tests;

pub use fault::Fault;
pub use line::{Line, TEXT_BYTES_MAX};
pub use lines::{LINE_BYTES_MAX, Lines, Text};
pub use parser::Parser;
