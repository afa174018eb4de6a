//! The audit trail: every request to the admin API, on disk, in a chain of hashes.
//!
//! ```text
//! gate --Place--> [ queue, bounded ] --> thread coo-audit --> audit-N.jsonl, anchor
//!                                                              |
//!                   GET /admin/v1/audit, coo-llm audit verify <-'
//! ```
//! A request takes its place in the queue before it is worked on, so that its row cannot be
//! without one afterwards. Where there is none, because the disk does not take rows, what would
//! change something is refused, and what reads goes on: its row is counted as lost, and the next
//! one that is written says so.
//!
//! Rows are on the disk (`fdatasync`) at most one batch after their request; requests do not
//! wait for it. docs/admin-auth.md says what the chain shows and what it cannot.

mod anchor;
mod chain;
pub(super) mod endpoint;
mod error;
mod files;
mod place;
mod read;
mod row;
mod verify;
mod writer;

pub use error::{Broken, TrailError};
pub use verify::{Anchor, Report, verify};

pub(super) use place::Place;
pub(super) use row::{Note, Request, escaped};

use coo_llm_config as config;
use coo_llm_exporters::prometheus::{Extra, Kind, Value};
use row::Row;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use writer::Writer;

/// The trail's folder in the data folder.
pub const FOLDER: &str = "audit";

/// Rows that wait for the disk: some minutes of one address, 2 MiB.
const QUEUE_ROWS_MAX: usize = 4096;

/// How long who reads the trail waits for the rows so far.
const FLUSH_MAX: Duration = Duration::from_secs(1);

/// What goes to the thread.
#[derive(Debug)]
enum Message {
    Row(Box<Row>),
    /// Answered when what came before is written, or cannot be.
    Flush(oneshot::Sender<()>),
    /// Look whether it is the end.
    Wake,
}

/// What the thread tells, and what it is told besides rows. Statistics but for `stops`, which
/// is followed by a message that orders it: all Relaxed.
#[derive(Debug, Default)]
struct Status {
    written: AtomicU64,
    head: AtomicU64,
    failures: AtomicU64,
    lost: AtomicU64,
    stops: AtomicBool,
}

/// The way to the trail. Clones share it.
#[derive(Clone, Debug)]
pub struct Trail {
    queue: mpsc::Sender<Message>,
    status: Arc<Status>,
    folder: Arc<Path>,
}

/// Ends the trail when it is dropped: what waits is written then.
#[derive(Debug)]
pub struct TrailGuard {
    trail: Trail,
    thread: Option<JoinHandle<()>>,
}

impl Trail {
    /// Opens the trail in the folder `audit` of `data_dir`, checks its end, and starts the
    /// thread that writes it.
    ///
    /// # Errors
    /// The folder cannot be written, another process writes it, or the trail is broken: then
    /// it is left as it is.
    pub fn open(
        data_dir: &Path,
        settings: config::Audit,
    ) -> Result<(Self, TrailGuard), TrailError> {
        let folder = data_dir.join(FOLDER);
        let status = Arc::new(Status::default());
        let writer = Writer::open(&folder, settings, Arc::clone(&status))?;
        let (queue, messages) = mpsc::channel(QUEUE_ROWS_MAX);
        let thread = std::thread::Builder::new()
            .name("coo-audit".into())
            .spawn(move || writer.run(messages))
            .map_err(|error| TrailError::File(folder.clone(), error))?;
        let trail = Self {
            queue,
            status,
            folder: folder.into(),
        };
        let guard = TrailGuard {
            trail: trail.clone(),
            thread: Some(thread),
        };
        Ok((trail, guard))
    }

    /// One whose queue is full, and stays so.
    #[cfg(test)]
    pub(super) fn stuck(folder: &Path) -> Self {
        let (queue, messages) = mpsc::channel(1);
        let full = queue.clone().try_reserve_owned();
        std::mem::forget((messages, full));
        Self {
            queue,
            status: Arc::default(),
            folder: folder.into(),
        }
    }

    /// A place in the queue; `None` where all are taken.
    fn place(&self) -> Option<mpsc::OwnedPermit<Message>> {
        self.queue.clone().try_reserve_owned().ok()
    }

    fn lose(&self) {
        self.status.lost.fetch_add(1, Ordering::Relaxed);
    }

    /// Returns when the rows so far are written; `false` where that takes too long.
    async fn flush(&self) -> bool {
        let (done, flushed) = oneshot::channel();
        let sent = self.queue.try_send(Message::Flush(done));
        let flushed = tokio::time::timeout(FLUSH_MAX, flushed);
        sent.is_ok() && matches!(flushed.await, Ok(Ok(())))
    }

    fn folder(&self) -> PathBuf {
        self.folder.to_path_buf()
    }

    /// How it stands.
    pub(super) fn families(&self) -> [Extra; 5] {
        let count = |value: &AtomicU64| Value::Count(value.load(Ordering::Relaxed));
        let counter = |name, help, value| Extra::new(Kind::Counter, name, help).with(&[], value);
        let gauge = |name, help, value| Extra::new(Kind::Gauge, name, help).with(&[], value);
        let waiting = self.queue.max_capacity() - self.queue.capacity();
        [
            counter(
                "audit_rows_written",
                "Rows of the audit trail that are on the disk.",
                count(&self.status.written),
            ),
            counter(
                "audit_rows_lost",
                "Rows that the audit trail's queue had no place for; the trail says so too.",
                count(&self.status.lost),
            ),
            counter(
                "audit_write_failures",
                "Writes to the audit trail that failed; they are tried again.",
                count(&self.status.failures),
            ),
            gauge(
                "audit_queue_rows",
                "Places taken in the audit trail's queue.",
                Value::Count(waiting as u64),
            ),
            gauge(
                "audit_head_row",
                "The number of the audit trail's last row.",
                count(&self.status.head),
            ),
        ]
    }
}

impl Drop for TrailGuard {
    fn drop(&mut self) {
        self.trail.status.stops.store(true, Ordering::Relaxed);
        // Where the queue is full the thread is awake.
        let _awake = self.trail.queue.try_send(Message::Wake);
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the thread of the audit trail panicked");
        }
    }
}

#[cfg(test)]
mod tests;
