//! The signals: SIGTERM and SIGINT end the process, SIGHUP reloads.

use std::io;
use std::sync::mpsc::{Receiver, channel};
use tokio::runtime::Handle;
use tokio::signal::unix::{SignalKind, signal};

/// Listens on `runtime` for SIGTERM and SIGINT, the first of which is received, and for
/// SIGHUP, at which `reload` is called; it must not wait.
///
/// # Errors
/// The handlers cannot be installed.
pub(crate) fn end(
    runtime: &Handle,
    reload: impl Fn() + Send + 'static,
) -> io::Result<Receiver<()>> {
    let (told, wait) = channel();
    let _inside = runtime.enter();
    let mut term = signal(SignalKind::terminate())?;
    let mut int = signal(SignalKind::interrupt())?;
    let mut hup = signal(SignalKind::hangup())?;
    runtime.spawn(async move {
        loop {
            tokio::select! {
                _ = term.recv() => break,
                _ = int.recv() => break,
                _ = hup.recv() => reload(),
            }
        }
        // The main thread may be past waiting: a demo ends by itself.
        let _gone = told.send(());
    });
    Ok(wait)
}
