//! Limits by the minute and budgets by the day or month, decided by each worker alone.
//!
//! ```text
//!  worker 1: writes its own words --.        each worker: 1. adds to its own word
//!  worker 2: writes its own words ---+-->                 2. reads the words of all
//!  worker n: writes its own words --'                     3. keeps what it added, or takes it back
//! ```
//! What a worker lets through stands in words that it alone writes and every worker
//! reads, so a limit is checked against what all of them let through until now, not
//! against a share that was dealt out before. Nobody waits, locks or does a
//! read-modify-write; with one worker there is not even a fence.
//!
//! # The bound
//! A worker adds before it looks, with a sequentially consistent fence in between. Of
//! workers that take at the same moment, the one whose fence is last sees what all
//! others added, so **what is taken is never above the limit, whatever the number of
//! workers**. The price: at the edge of a limit, requests of the same nanoseconds may
//! see each other's additions and be refused although one of them would still have
//! fit. What is only known afterwards is outside of this bound: a request that uses
//! more than was reserved for it counts whole, and takes from those that follow.
//!
//! The limit is an argument of each call, not part of the words: it may change while
//! they are in use.

pub mod period;
pub mod seat;
pub mod spending;
pub mod window;

pub use period::Period;
pub use seat::Seat;
pub use spending::{Reserved, Spending, Spent, Terms};
pub use window::{Full, Level, Taken, Window};
