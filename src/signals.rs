//! The signals that end the process.

use std::io;
use std::sync::mpsc::{Receiver, channel};
use tokio::runtime::Handle;
use tokio::signal::unix::{SignalKind, signal};

/// Listens for SIGTERM and SIGINT on `runtime`; the first of them is received.
///
/// # Errors
/// The handlers cannot be installed.
pub(crate) fn end(runtime: &Handle) -> io::Result<Receiver<()>> {
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
                // Elsewhere it asks for a reload; here it must not end the process.
                _ = hup.recv() => tracing::warn!("SIGHUP: reloading is not in this version yet"),
            }
        }
        // The main thread may be past waiting: a demo ends by itself.
        let _gone = told.send(());
    });
    Ok(wait)
}
