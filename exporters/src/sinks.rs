//! Stores outside of this process: each gets every row of the history once.
//!
//! It is: the order in which rows go, what happens when a store does not take them, and the
//! stores. It is not: a thread, a configuration; the binary has those.
//!
//! ```text
//! History::next_sealed --> Delivery --> Sink::apply --> Redis | InfluxDB | PostgreSQL | ...
//!        ^                    |
//!        `---- position <-----'        the store's own fence, or what the history noted
//! ```
//!
//! The history is the spool. Its sealed rows never change, so a sink can be given the same
//! ones again; where it is stands in the store beside the numbers ([`Stored::At`]), moved by
//! the same transaction, so none counts twice. A store that was down for long gets coarser
//! rows for that time, and one that lost its newest rows gets them again. docs/sinks.md is
//! the operator's page.

mod aside;
mod delivery;
mod fault;
pub mod influx;
pub mod postgres;
pub mod redis;
mod status;
#[cfg(test)]
mod tests;

pub use aside::AsideFile;
pub use delivery::{Delivery, Options};
pub use fault::{Fault, Reason};
pub use status::{State, Status, StatusHandle};

use crate::history::{Position, Sealed};
use std::future::Future;

/// Where a store is with the rows of one instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stored {
    /// It has everything up to here.
    At(Position),
    /// It has nothing of this instance: it is new, or was emptied.
    Nothing,
    /// It does not say; writing the same row again changes nothing in it.
    Unknown,
}

/// What became of rows that were given to a store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Applied {
    /// It has them, but for those that it will never take.
    Taken(Vec<SetAside>),
    /// It took none, as it was not where it was expected to be.
    Elsewhere,
}

/// A row that a store refuses for what it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SetAside {
    /// The row, as it was sent.
    pub row: String,
    /// Why it was refused.
    pub reason: String,
}

/// A store.
///
/// An error of either call means that the connection is not used again: the next call makes
/// a new one.
pub trait Sink: Send + 'static {
    /// Where the store is with the rows of an instance.
    ///
    /// # Errors
    /// Where it cannot be asked.
    fn position(&mut self, instance: u64) -> impl Future<Output = Result<Stored, Fault>> + Send;

    /// Gives it rows: all of them, and their position, or none. It takes them only where it is
    /// `at`, which is what it said last: [`Sealed::from`], or `None` if it had nothing.
    ///
    /// # Errors
    /// Where it did not take them, or where it is not known whether it did: it is then asked
    /// for its position.
    fn apply(
        &mut self,
        instance: u64,
        at: Option<Position>,
        rows: &Sealed,
    ) -> impl Future<Output = Result<Applied, Fault>> + Send;
}
