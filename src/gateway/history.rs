//! The thread that fills the history.

use super::Failure;
use super::budgets::now;
use super::sinks::Sinks;
use coo_llm_config::Storage;
use coo_llm_core::Meter;
use coo_llm_exporters::history::{History, HistoryError, Options};
use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError, SyncSender};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How often the meter's increments are taken.
const DRAIN_EVERY_MS: u64 = 1000;

/// The history and the thread that fills it.
#[derive(Debug)]
pub(super) struct Filling {
    history: Arc<History>,
    /// Dropping it, or a message, ends the thread.
    end: SyncSender<()>,
    thread: JoinHandle<()>,
}

/// Opens the history, if one is wanted.
pub(super) fn open(storage: &Storage, meter: &Meter) -> Result<Option<Arc<History>>, Failure> {
    let Some(wanted) = &storage.history else {
        return Ok(None);
    };
    let retention = wanted.retention;
    let options = Options {
        path: wanted.path.clone(),
        retention: [
            retention.ten_seconds,
            retention.one_minute,
            retention.one_hour,
        ],
        spool_bytes_max: storage.spool.max_bytes,
    };
    let history = History::open(&options, meter.clone(), now())
        .map_err(|error| Failure::System(error.to_string()))?;
    Ok(Some(Arc::new(history)))
}

/// Starts to fill it.
pub(super) fn start(history: Arc<History>, flush_interval: Duration) -> Result<Filling, Failure> {
    if history.is_new() {
        tracing::info!(path = %history.path().display(), "a new history begins");
    }
    let (end, ended) = mpsc::sync_channel(1);
    let filled = Arc::clone(&history);
    let thread = std::thread::Builder::new()
        .name("coo-history".to_owned())
        .spawn(move || {
            let mut last_flush = Instant::now();
            let mut failing = None;
            // Shortly after each second of the clock, so that rows begin where they say.
            let until_next = || Duration::from_millis(DRAIN_EVERY_MS - now().0 % DRAIN_EVERY_MS);
            while ended.recv_timeout(until_next()) == Err(RecvTimeoutError::Timeout) {
                if last_flush.elapsed() + Duration::from_millis(DRAIN_EVERY_MS / 2) < flush_interval
                {
                    filled.drain(now());
                    continue;
                }
                last_flush = Instant::now();
                say(filled.flush(now()), &mut failing);
            }
        })
        .map_err(|error| Failure::system("the history's thread", error))?;
    Ok(Filling {
        history,
        end,
        thread,
    })
}

/// Says once that flushes fail, and once that they work again.
fn say(flushed: Result<(), HistoryError>, failing: &mut Option<String>) {
    match flushed {
        Ok(()) => {
            if failing.take().is_some() {
                tracing::info!("the history takes rows again");
            }
        }
        Err(error) => {
            let error = error.to_string();
            if failing.as_ref() != Some(&error) {
                tracing::error!(error, "the history takes no rows: they wait in memory");
            }
            *failing = Some(error);
        }
    }
}

impl Filling {
    /// Writes what is left, when nothing records any more, and gives it to the sinks.
    pub(super) fn stop(self, sinks: Option<Sinks>) {
        let Self {
            history,
            end,
            thread,
        } = self;
        // An error means that the thread has ended already.
        let _told = end.send(());
        if thread.join().is_err() {
            tracing::error!("the history's thread panicked");
        }
        if let Some(sinks) = sinks {
            if let Err(error) = history.seal(now()) {
                tracing::error!(%error, "the sinks get the last rows at the next start");
            }
            sinks.stop();
        }
        if let Err(error) = history.close(now()) {
            let rows = history.health(now()).waiting_rows;
            tracing::error!(%error, rows, "the history's last rows are lost");
        }
    }
}
