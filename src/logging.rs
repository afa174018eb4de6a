//! The log: JSON lines to stderr or to a rotated file, written by a thread of its own.
//!
//! ```text
//! tracing event --> JSON text --+
//!                               +--> bounded queue --> log thread --> stderr | file
//! worker: RequestLine ----------+        full: dropped and counted
//! ```
//! Who logs never waits: not for the disk, not for a slow terminal, not for the
//! log thread. What does not fit is dropped and counted.

mod line;
mod output;
mod rfc3339;
mod rotate;
mod subscriber;

use coo_llm_config::{LogLevel, Logging};
use coo_llm_http::gateway::RequestLine;
use crossbeam_channel::{Receiver, Sender, bounded};
use output::Output;
pub(crate) use rfc3339::Rfc3339;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;
use tracing::Level;

/// Lines that may wait for the log thread: a quarter of a second at 30,000 requests
/// a second, and a few MiB at most.
const QUEUE_LINES_MAX: usize = 8192;

/// The log thread rests this long after it has written what was there. A sleeping
/// receiver would cost the next sender a system call, on a worker, for each line.
const WRITE_PAUSE: Duration = Duration::from_millis(10);

/// How long a stop waits for a log that cannot be written, such as a full pipe.
const STOP_WAIT_MAX: Duration = Duration::from_secs(5);

/// All levels, to find one by its number.
const LEVELS: [LogLevel; 5] = [
    LogLevel::Error,
    LogLevel::Warn,
    LogLevel::Info,
    LogLevel::Debug,
    LogLevel::Trace,
];

/// What travels to the log thread.
#[derive(Debug)]
enum Message {
    /// A finished line.
    Text(String),
    /// A request, still to be rendered.
    Request(Box<RequestLine>),
    /// The end: write what is here and return.
    Stop,
}

/// Sends lines to the log thread. Cheap to clone; one for each worker.
#[derive(Clone)]
pub(crate) struct LogHandle {
    queue: Sender<Message>,
    dropped: Arc<AtomicU64>,
    /// A [`LogLevel`], by its number.
    level: Arc<AtomicU8>,
}

impl LogHandle {
    /// Logs a finished request, if its level is wanted. Never waits.
    pub(crate) fn request(&self, line: RequestLine) {
        if line::request_level(&line) <= self.level() {
            self.send(Message::Request(Box::new(line)));
        }
    }

    /// The least severe level that is written.
    fn level(&self) -> Level {
        // Relaxed: nothing else is published with it.
        let number = self.level.load(Ordering::Relaxed);
        let known = LEVELS.into_iter().find(|known| *known as u8 == number);
        level(known.unwrap_or(LogLevel::Trace))
    }

    /// Writes what is of this level from now on.
    pub(crate) fn set_level(&self, level: LogLevel) {
        self.level.store(level as u8, Ordering::Relaxed);
        // What each line of code was told about its level is asked for again.
        tracing::callsite::rebuild_interest_cache();
    }

    /// Lines lost so far: the queue was full, or the output could not be written.
    pub(crate) fn lines_dropped(&self) -> u64 {
        // A statistic: nothing else is read by it.
        self.dropped.load(Ordering::Relaxed)
    }

    fn send(&self, message: Message) {
        if self.queue.try_send(message).is_err() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// Ends the log when it is dropped: what was logged before is written then.
#[derive(Debug)]
pub(crate) struct LogGuard {
    queue: Sender<Message>,
    finished: Receiver<()>,
}

impl Drop for LogGuard {
    fn drop(&mut self) {
        // Either may time out where the output stands still; lines are lost then, as
        // they would be to a `kill`.
        if self
            .queue
            .send_timeout(Message::Stop, STOP_WAIT_MAX)
            .is_ok()
        {
            let _stopped_or_stuck = self.finished.recv_timeout(STOP_WAIT_MAX);
        }
    }
}

/// Opens the output and starts the log thread; `tracing` is not touched.
///
/// # Errors
/// The file cannot be opened, or no thread be started.
pub(crate) fn start(config: &Logging) -> io::Result<(LogHandle, LogGuard)> {
    start_with(Output::open(config)?, config.level)
}

/// Makes `handle` the destination of all `tracing` events of this process.
///
/// # Errors
/// Another subscriber is there already.
pub(crate) fn install(
    handle: &LogHandle,
) -> Result<(), tracing::subscriber::SetGlobalDefaultError> {
    tracing::subscriber::set_global_default(subscriber::JsonSubscriber::new(handle.clone()))
}

fn start_with(output: Output, level: LogLevel) -> io::Result<(LogHandle, LogGuard)> {
    let (queue, messages) = bounded(QUEUE_LINES_MAX);
    let (done, finished) = bounded(1);
    let dropped = Arc::new(AtomicU64::new(0));
    let handle = LogHandle {
        queue: queue.clone(),
        dropped: Arc::clone(&dropped),
        level: Arc::new(AtomicU8::new(level as u8)),
    };
    thread::Builder::new().name("log".into()).spawn(move || {
        write_all(&messages, output, &dropped);
        // Dropping it is the signal.
        drop(done);
    })?;
    Ok((handle, LogGuard { queue, finished }))
}

/// The log thread: writes until it is told to stop.
fn write_all(messages: &Receiver<Message>, mut output: Output, dropped: &AtomicU64) {
    while let Ok(first) = messages.recv() {
        let mut next = Some(first);
        let mut lost = 0;
        let mut stop = false;
        while let Some(message) = next {
            match message {
                Message::Text(line) => lost += output.write(&line),
                Message::Request(request) => lost += output.write(&line::render_request(&request)),
                Message::Stop => {
                    stop = true;
                    break;
                }
            }
            next = messages.try_recv().ok();
        }
        lost += output.flush();
        dropped.fetch_add(lost, Ordering::Relaxed);
        if stop {
            return;
        }
        thread::sleep(WRITE_PAUSE);
    }
}

fn level(level: LogLevel) -> Level {
    match level {
        LogLevel::Error => Level::ERROR,
        LogLevel::Warn => Level::WARN,
        LogLevel::Info => Level::INFO,
        LogLevel::Debug => Level::DEBUG,
        LogLevel::Trace => Level::TRACE,
    }
}

#[cfg(test)]
mod tests;
