//! Routing decisions, without I/O: time and chance are arguments.
//!
//! ```text
//! an answer, a fault -> trouble   is it worth another attempt, and why?
//! trip      how many attempts, until when       backoff   how long to wait before one
//! keys      which key of a provider             breaker   whether a provider is left alone
//! aside     keys that a provider refused        quota     what a provider says is left
//! ```
//! `trip`, `keys` and `breaker` belong to one worker. `aside` and `quota` lie in the plan
//! and are shared: a relaxed load for each choice, stores where there is news.

mod aside;
mod backoff;
mod breaker;
mod keys;
mod quota;
mod trip;
mod trouble;

pub(crate) use aside::{Aside, Why};
pub(crate) use backoff::pause;
pub(crate) use breaker::Breaker;
pub(crate) use keys::Keys;
pub(crate) use quota::Quota;
pub(crate) use trip::Trip;
pub(crate) use trouble::Trouble;
