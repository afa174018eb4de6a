//! `coo-llm demo`.

use crate::{exit, say};
use std::net::SocketAddr;
use std::process::ExitCode;

/// What the command line says about the demo.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Options {
    /// Requests a second.
    pub(crate) rate: u32,
    /// How long, in seconds; `None` is until it is stopped.
    pub(crate) seconds: Option<u64>,
    /// Where to listen instead of the built-in address; a loopback address.
    pub(crate) listen: Option<SocketAddr>,
}

/// Runs the gateway on defaults, with load.
pub(crate) fn run(options: Options) -> ExitCode {
    let Options {
        rate,
        seconds,
        listen,
    } = options;
    say::complain(format_args!(
        "demo is not in this build yet (rate {rate}, seconds {seconds:?}, listen {listen:?})"
    ));
    exit::cannot_start()
}
