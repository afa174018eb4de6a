//! `coo-llm demo`: the gateway on defaults, under a load that comes over real sockets.

mod load;
mod status;

use crate::gateway::{Failure, Running, Source};
use crate::{exit, keys, say, signals};
use coo_llm_config::{Document, LogLevel};
use load::Load;
use std::io::{IsTerminal as _, stderr};
use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::mpsc::RecvTimeoutError;
use std::time::{Duration, Instant};

/// Further clients of the load, beside the one whose key is shown.
const CLIENTS: [&str; 3] = ["team-search", "team-support", "nightly-batch"];

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
    match demo(options) {
        Ok(()) => exit::FINE,
        Err(failure) => exit::failed(failure),
    }
}

fn demo(options: Options) -> Result<(), Failure> {
    let no_key = |error| Failure::system("no random key can be made", error);
    let mut document = Document::builtin();
    let config = &mut document.config;
    if let Some(listen) = options.listen {
        config.server.listen = listen;
    }
    config.logging.level = LogLevel::Warn;
    // A demo leaves nothing behind.
    config.server.data_dir = None;
    // What it simulates has no place among what happened.
    let folder = std::env::temp_dir().join(format!("coo-llm-demo-{}", std::process::id()));
    if let Some(history) = &mut config.storage.history {
        history.path = folder.join("history.db");
    }
    let made = keys::complete(config, true).map_err(no_key)?;
    let mut client_keys: Vec<_> = made.client.iter().cloned().collect();
    for id in CLIENTS {
        client_keys.push(keys::add_client(config, id).map_err(no_key)?);
    }
    // A line a request, some of which fail on purpose, would bury what the demo shows.
    let running = Running::start(document, Source::None, false)?;
    let end = signals::end(running.control(), running.reload())
        .map_err(|error| Failure::system("signals cannot be handled", error))?;
    invite(&running, &made, options.rate);

    let load = Load::start(running.address(), client_keys, options.rate)
        .map_err(|error| Failure::system("the load cannot start", error))?;
    let mut status = status::Status::new(&running.meter, stderr().is_terminal());
    let ends_at = options
        .seconds
        .map(|seconds| Instant::now() + Duration::from_secs(seconds));
    loop {
        let left = ends_at.map(|at| at.saturating_duration_since(Instant::now()));
        let wait = left.map_or(status::EVERY, |left| left.min(status::EVERY));
        match end.recv_timeout(wait) {
            Err(RecvTimeoutError::Timeout) if left.is_none_or(|left| left > wait) => status.show(),
            // The time is up, or a signal came.
            _ => break,
        }
    }
    load.stop();
    status.close();
    let stopped = running.stop();
    match std::fs::remove_dir_all(&folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            let what = format!("{} cannot be removed", folder.display());
            stopped.and(Err(Failure::system(&what, error)))
        }
        _ => stopped,
    }
}

fn invite(running: &Running, made: &keys::Made, rate: u32) {
    let at = running.address();
    let admin = made.admin.as_ref().map_or("", |key| key.expose());
    let client = made.client.as_ref().map_or("", |key| key.expose());
    say::answer(format_args!(
        "coo-llm {version} demo on http://{at}: {rate} requests a second go through it to a simulated provider.

Try, in another terminal:
  curl -s http://{at}/metrics | grep ^coo_llm_requests_total
  curl -s http://{at}/admin/v1/metrics/global -H 'Authorization: Bearer {admin}'
  curl -s http://{at}/v1/chat/completions -H 'Authorization: Bearer {client}' -H 'Content-Type: application/json' \\
    -d '{{\"model\":\"sim-small\",\"messages\":[{{\"role\":\"user\",\"content\":\"Hello\"}}]}}'

The keys are made for this run. Ctrl-C ends it.
",
        version = env!("CARGO_PKG_VERSION"),
    ));
}
