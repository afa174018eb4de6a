//! Which process may run where.

use super::Outcome;
use std::process::Command;

/// The core of what is measured.
pub const MEASURED: u32 = 0;
/// The core of the load and of the upstream.
pub const LOAD: u32 = 1;

/// A command that runs on one core.
#[must_use]
pub fn command_on(core: u32, program: &str) -> Command {
    let mut command = Command::new("taskset");
    command.arg("-c").arg(core.to_string()).arg(program);
    command
}

/// Moves this process to one core; its children follow.
///
/// # Errors
/// Where `taskset` is missing or refuses.
pub fn move_here(core: u32) -> Outcome<()> {
    let pid = std::process::id().to_string();
    let status = Command::new("taskset")
        .args(["-a", "-c", "-p", &core.to_string(), &pid])
        .stdout(std::process::Stdio::null())
        .status();
    match status {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("taskset: {status}")),
        Err(error) => Err(format!("taskset: {error}")),
    }
}
