//! The signals that end the process, and the one that reloads.

use coo_llm_http::ServerTls;
use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use tokio::runtime::Handle;
use tokio::signal::unix::{SignalKind, signal};

/// Listens for SIGTERM and SIGINT on `runtime`; the first of them is received.
///
/// # Errors
/// The handlers cannot be installed.
pub(crate) fn end(runtime: &Handle, tls: Option<Arc<ServerTls>>) -> io::Result<Receiver<()>> {
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
                _ = hup.recv() => hang_up(tls.as_ref()),
            }
        }
        // The main thread may be past waiting: a demo ends by itself.
        let _gone = told.send(());
    });
    Ok(wait)
}

/// A reload, of the certificate so far.
fn hang_up(tls: Option<&Arc<ServerTls>>) {
    let Some(tls) = tls else {
        tracing::warn!("SIGHUP: reloading the configuration is not in this version yet");
        return;
    };
    let tls = Arc::clone(tls);
    // It reads files, which the control thread does not wait for.
    tokio::task::spawn_blocking(move || match tls.reload() {
        Ok(()) => tracing::info!(
            "SIGHUP: the certificate was read again; the rest of the configuration is not reloaded in this version yet"
        ),
        Err(error) => tracing::error!(%error, "SIGHUP: the last certificate stays"),
    });
}
