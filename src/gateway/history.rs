//! The thread that fills the history, and what it says in /metrics.

use super::Failure;
use super::budgets::now;
use coo_llm_config::Storage;
use coo_llm_core::{Meter, Micros};
use coo_llm_exporters::history::{History, HistoryError, Options};
use coo_llm_exporters::prometheus::{Extra, Kind, Value};
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
    /// Writes what is left, when nothing records any more.
    pub(super) fn stop(self) {
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
        if let Err(error) = history.close(now()) {
            let rows = history.health(now()).waiting_rows;
            tracing::error!(%error, rows, "the history's last rows are lost");
        }
    }
}

/// The history's part of /metrics.
pub(super) fn families(history: &History) -> Vec<Extra> {
    let health = history.health(now());
    let sink = [("sink", "history")];
    let of_sink =
        |kind, name, help, value| Extra::new(kind, name, help).with(&sink, Value::Count(value));
    let plain =
        |kind, name, help, value| Extra::new(kind, name, help).with(&[], Value::Count(value));
    // Beside `recorded`, which the meter itself knows.
    let help = "Records by stage of their way to the stores.";
    let records = Extra::new(Kind::Counter, "records", help)
        .with(&[("stage", "persisted")], Value::Count(health.persisted))
        .with(&[("stage", "dropped")], Value::Count(health.dropped));
    vec![
        records,
        of_sink(
            Kind::Counter,
            "sink_rows",
            "Rows that a sink has taken.",
            health.rows,
        ),
        of_sink(
            Kind::Counter,
            "sink_failures",
            "Flushes that a sink did not take; their rows wait.",
            health.failures,
        ),
        of_sink(
            Kind::Gauge,
            "sink_lag_seconds",
            "Age of the oldest row that waits for a sink.",
            health.lag_s,
        ),
        of_sink(
            Kind::Gauge,
            "sink_waiting_rows",
            "Rows that wait for a sink in memory.",
            health.waiting_rows,
        ),
        plain(
            Kind::Counter,
            "history_folds",
            "Times that waiting rows were folded to hours, because there were 200,000.",
            health.folds,
        ),
        plain(
            Kind::Counter,
            "history_latencies_missed",
            "Latencies that percentiles of the history lack, because nobody took them in time.",
            health.latencies_missed,
        ),
        Extra::new(
            Kind::Gauge,
            "history_clock_behind_seconds",
            "How far the clock is behind the history's last stamp, because it was set back.",
        )
        .with(
            &[],
            Value::Seconds(Micros(health.clock_behind_ms.saturating_mul(1000))),
        ),
    ]
}
