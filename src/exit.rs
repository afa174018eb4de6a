//! Exit codes, as INTERFACE.md has them.

use crate::gateway::Failure;
use crate::say;
use std::process::ExitCode;

/// All went well.
pub(crate) const FINE: ExitCode = ExitCode::SUCCESS;

/// The configuration or the call is wrong: 1.
pub(crate) fn usage() -> ExitCode {
    ExitCode::from(1)
}

/// It could not start: a port is taken, a file cannot be written: 2.
pub(crate) fn cannot_start() -> ExitCode {
    ExitCode::from(2)
}

/// Says why the gateway did not start or did not end well.
pub(crate) fn failed(failure: Failure) -> ExitCode {
    match failure {
        Failure::Config(line) => {
            say::complain(line);
            usage()
        }
        Failure::System(line) => {
            say::complain(line);
            cannot_start()
        }
    }
}
