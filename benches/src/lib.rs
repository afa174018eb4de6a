//! What the benches share: sets of series, a fixed sequence of work, the peers that do
//! the same work, and the rig that measures a proxied request between real processes.
//!
//! It is not a library for others. Results are in `RESULTS.md`.

pub mod backend;
pub mod ours;
#[cfg(feature = "peers")]
pub mod peers;
pub mod pick;
#[cfg(feature = "rig")]
pub mod rig;
pub mod set;
pub mod stats;
pub mod steady;
pub mod tally;
