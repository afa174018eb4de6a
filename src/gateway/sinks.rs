//! The thread that serves the stores outside, from the history.

mod postgres;
mod redis;

use super::Failure;
use super::budgets::now;
use coo_llm_config::{InfluxSink, Sink as Wanted, Storage};
use coo_llm_exporters::history::History;
use coo_llm_exporters::sinks::influx::{self, Influx};
use coo_llm_exporters::sinks::{AsideFile, Delivery, Options, Sink, StatusHandle};
use coo_llm_http::client_tls;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinSet;

/// How long sinks may take rows after everything else has ended; what they did not take waits
/// in the history for the next start.
const LAST_ROUND_MAX: Duration = Duration::from_secs(10);

/// How long a call of a sink may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// The stores and the thread that serves them.
#[derive(Debug)]
pub(super) struct Sinks {
    end: watch::Sender<bool>,
    thread: JoinHandle<()>,
    statuses: Arc<[Status]>,
}

/// How a store does, by its name.
pub(super) type Status = (String, StatusHandle);

/// The deliveries that are to run.
struct Deliveries<'a> {
    history: &'a Arc<History>,
    storage: &'a Storage,
    ended: watch::Receiver<bool>,
    set: JoinSet<()>,
    statuses: Vec<Status>,
}

impl Deliveries<'_> {
    /// Serves a sink; the call must be made within the runtime.
    fn serve(&mut self, kind: &str, sink: impl Sink) {
        self.serve_by(Options::new(kind).rows_max, kind, sink);
    }

    /// The same, with so many rows a call.
    fn serve_by(&mut self, rows_max: usize, kind: &str, sink: impl Sink) {
        let same = |(name, _): &&Status| name.starts_with(kind);
        let name = match self.statuses.iter().filter(same).count() {
            0 => kind.to_owned(),
            n => format!("{kind}-{}", n + 1),
        };
        let mut file = AsideFile::new(&self.storage.spool.path, &name);
        let options = Options {
            interval: self.storage.flush_interval,
            patience: PATIENCE,
            rows_max,
            ..Options::new(&name)
        };
        let delivery = Delivery::new(
            Arc::clone(self.history),
            sink,
            options,
            Arc::new(now),
            Box::new(move |rows| file.keep(rows)),
        );
        self.statuses.push((name, delivery.status()));
        self.set.spawn(delivery.run(self.ended.clone()));
    }

    fn add(&mut self, wanted: &Wanted) -> Result<(), Failure> {
        match wanted {
            Wanted::Redis(wanted) => {
                self.serve_by(redis::ROWS_MAX, "redis", redis::sink(wanted));
                Ok(())
            }
            Wanted::Influx(wanted) => {
                self.serve("influxdb", influx(wanted)?);
                Ok(())
            }
            Wanted::Postgres(wanted) => {
                self.serve("postgres", postgres::sink(wanted)?);
                Ok(())
            }
        }
    }
}

fn influx(wanted: &InfluxSink) -> Result<Influx, Failure> {
    let tls = client_tls(wanted.ca_file.as_deref())
        .map_err(|error| Failure::Config(format!("storage.runtime: influxdb: {error}")))?;
    Influx::new(influx::Options {
        url: wanted.addr.clone(),
        token: wanted.token.as_ref().map(|token| token.expose().to_owned()),
        org: wanted.org.clone(),
        bucket: wanted.bucket.clone(),
        tls: (*tls).clone(),
        patience: PATIENCE,
    })
    .map_err(|error| Failure::system("the sink influxdb", error))
}

/// Starts to serve the sinks of the configuration, if there are any.
pub(super) fn start(
    storage: &Storage,
    history: Option<&Arc<History>>,
) -> Result<Option<Sinks>, Failure> {
    let Some(history) = history else {
        return Ok(None);
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .thread_name("coo-sinks-wait")
        .build()
        .map_err(|error| Failure::system("the sinks' runtime", error))?;
    let (end, ended) = watch::channel(false);
    let mut deliveries = Deliveries {
        history,
        storage,
        ended,
        set: JoinSet::new(),
        statuses: Vec::new(),
    };
    {
        let _within = runtime.enter();
        for wanted in &storage.sinks {
            deliveries.add(wanted)?;
        }
    }
    let Deliveries {
        mut set, statuses, ..
    } = deliveries;
    // What is kept for a sink that is not configured any more would be kept for ever.
    let names: Vec<_> = statuses.iter().map(|(name, _)| name.as_str()).collect();
    history
        .keep_sinks(&names)
        .map_err(|error| Failure::System(error.to_string()))?;
    if statuses.is_empty() {
        return Ok(None);
    }
    let serve = async move {
        while let Some(ended) = set.join_next().await {
            if let Err(error) = ended {
                tracing::error!(%error, "a sink is not served any more");
            }
        }
    };
    let thread = std::thread::Builder::new()
        .name("coo-sinks".to_owned())
        .spawn(move || runtime.block_on(serve))
        .map_err(|error| Failure::system("the sinks' thread", error))?;
    Ok(Some(Sinks {
        end,
        thread,
        statuses: statuses.into(),
    }))
}

impl Sinks {
    pub(super) fn statuses(&self) -> Arc<[Status]> {
        Arc::clone(&self.statuses)
    }

    /// Gives the sinks what is sealed, once nothing comes any more.
    pub(super) fn stop(self) {
        // An error means that all of them have ended.
        let _told = self.end.send(true);
        let (done, is_done) = std::sync::mpsc::sync_channel::<()>(1);
        let waiting = std::thread::Builder::new()
            .name("coo-sinks-end".to_owned())
            .spawn(move || {
                let joined = self.thread.join();
                drop(done);
                joined
            });
        let timed_out =
            is_done.recv_timeout(LAST_ROUND_MAX) == Err(std::sync::mpsc::RecvTimeoutError::Timeout);
        match waiting {
            Err(error) => tracing::error!(%error, "the sinks cannot be waited for"),
            Ok(_) if timed_out => tracing::warn!(
                "a sink did not take its last rows in time: it gets them at the next start"
            ),
            Ok(waiting) => {
                if !matches!(waiting.join(), Ok(Ok(()))) {
                    tracing::error!("the sinks' thread panicked");
                }
            }
        }
    }
}
