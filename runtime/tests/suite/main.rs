//! What every backend must do, on every backend: each test loops over `rig::all()`.
#![expect(
    clippy::panic,
    clippy::print_stdout,
    reason = "tests panic on purpose and say which backend they are on"
)]

mod accept;
mod panics;
mod pinning;
mod rig;
mod serve;
mod starting;
mod time;
mod wake;
