//! The metering core.
pub mod price;
pub mod record;
pub mod units;
pub use units::{Micros, NanoUsd, UnixMillis};
