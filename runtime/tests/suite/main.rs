//! What every backend must do, on every backend: each test loops over `rig::all()`.

mod accept;
mod panics;
mod pinning;
mod rig;
mod serve;
mod starting;
mod time;
mod wake;
