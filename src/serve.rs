//! `coo-llm serve`.

use crate::gateway::{Failure, Running};
use crate::keys::{self, Made};
use crate::{exit, say, signals};
use coo_llm_config::Config;
use std::process::ExitCode;

/// Runs the gateway until it is told to end.
pub(crate) fn run(mut config: Config, is_builtin: bool) -> ExitCode {
    match serve(&mut config, is_builtin) {
        Ok(()) => exit::FINE,
        Err(failure) => exit::failed(failure),
    }
}

fn serve(config: &mut Config, is_builtin: bool) -> Result<(), Failure> {
    let made = keys::complete(config, is_builtin)
        .map_err(|error| Failure::system("no random key can be made", error))?;
    let running = Running::start(config, true)?;
    let end = signals::end(running.control(), running.reload())
        .map_err(|error| Failure::system("signals cannot be handled", error))?;
    let scheme = if running.tls().is_some() {
        "https"
    } else {
        "http"
    };
    say::answer(format_args!(
        "coo-llm {} listens on {scheme}://{}",
        env!("CARGO_PKG_VERSION"),
        running.address()
    ));
    let admin = running.admin_address();
    if admin != running.address() {
        say::answer(format_args!("control plane on {scheme}://{admin}"));
    }
    show(&made);
    // An error means that the control thread is gone, which ends the process too.
    let _told = end.recv();
    running.stop()
}

/// Shows keys that were made, the only time that anyone sees them.
pub(crate) fn show(made: &Made) {
    if let Some(key) = &made.admin {
        say::answer(format_args!(
            "admin key (made for this run): {}",
            key.expose()
        ));
    }
    if let Some(key) = &made.client {
        say::answer(format_args!(
            "client key (made for this run): {}",
            key.expose()
        ));
    }
}
