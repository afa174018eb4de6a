//! `coo-llm serve`.

use crate::gateway::{Failure, Running, Source};
use crate::keys::{self, Made};
use crate::{exit, say, signals};
use coo_llm_config::Document;
use std::path::PathBuf;
use std::process::ExitCode;

/// Runs the gateway until it is told to end. `file` is what the command line named, which
/// a reload reads again.
pub(crate) fn run(document: Document, file: Option<PathBuf>, is_builtin: bool) -> ExitCode {
    match serve(document, file, is_builtin) {
        Ok(()) => exit::FINE,
        Err(failure) => exit::failed(failure),
    }
}

fn serve(mut document: Document, file: Option<PathBuf>, is_builtin: bool) -> Result<(), Failure> {
    let made = keys::complete(&mut document.config, is_builtin)
        .map_err(|error| Failure::system("no random key can be made", error))?;
    let running = Running::start(document, Source::File(file), true)?;
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
