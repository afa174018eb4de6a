//! Records of other gateways: what is done with a line once it is read.
//!
//! ```text
//! wire::ingest::Line -> Intake: whose? which series? what cost? -> Pending
//!        a batch of Pending -> Ledger::claim (seen before?) -> one Record each
//! ```
//! An [`Intake`] belongs to a worker. The [`Ledger`] is shared by all of them, because an
//! id may come to any; it is the one thing here with locks, and no request of a client
//! to a model takes one. They are tried and never waited for: where one is taken, the
//! batch is done in part, and the rest is done after a pause (docs/adr/0012-ingest.md).

mod counters;
mod intake;
mod ledger;
mod report;
mod routes;
mod unpacker;

pub use counters::{IngestCounters, Tally};
pub use intake::{Batch, Intake};
pub use ledger::{Claim, Ledger};
pub(crate) use report::Report;
pub(crate) use unpacker::{UnpackFault, Unpacker};
