//! Exit codes, as INTERFACE.md has them.

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
