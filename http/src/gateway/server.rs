//! The workers: they accept connections and serve them until they are asked to stop.

mod connection;
mod desks;
mod handshake;
mod heartbeats;
mod socket;
mod watch;

pub use heartbeats::Heartbeats;
pub(crate) use watch::Watch;

use super::desk::{Desk, Supplies};
use super::ingest::{IngestCounters, Ledger};
use super::request_line::RequestLog;
use super::setup::{Setup, Setups};
use crate::ServerTls;
use crate::control::Handover;
use crate::wire::request_id::ProcessTag;
use connection::Connections;
use coo_llm_runtime::{LocalBoxFuture, Worker, sleep, spawn, timeout};
use desks::Desks;
use handshake::Handshakes;
use std::fmt;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::watch::Receiver;

/// How often a worker tidies up.
const TIDY_EVERY: Duration = Duration::from_secs(1);

/// What the workers count of connections, for the control plane to read.
#[derive(Debug, Default)]
pub struct GatewayCounters {
    accepted: AtomicU64,
    refused: AtomicU64,
    accept_errors: AtomicU64,
    open: AtomicU64,
}

impl GatewayCounters {
    /// Connections accepted.
    #[must_use]
    pub fn accepted(&self) -> u64 {
        self.accepted.load(Ordering::Relaxed)
    }

    /// Connections closed at once because `server.limits.max_connections` were open.
    #[must_use]
    pub fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }

    /// Connections that could not be accepted.
    #[must_use]
    pub fn accept_errors(&self) -> u64 {
        self.accept_errors.load(Ordering::Relaxed)
    }

    /// Connections open now.
    #[must_use]
    pub fn open(&self) -> u64 {
        self.open.load(Ordering::Relaxed)
    }
}

/// The data plane, ready to run on workers.
#[derive(Clone)]
pub struct Gateway {
    supplies: Supplies,
    setups: Receiver<Arc<Setup>>,
    counters: Arc<GatewayCounters>,
    tls: Option<Arc<ServerTls>>,
    workers: usize,
    heartbeats: Heartbeats,
}

impl fmt::Debug for Gateway {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gateway")
            .field("workers", &self.workers)
            .finish_non_exhaustive()
    }
}

impl Gateway {
    /// A data plane of `workers` workers.
    ///
    /// `setups` brings what to go by, now and later; `handover` takes what is not the data
    /// plane's, unless `is_control_apart` says that the control plane has its own socket.
    #[must_use]
    pub fn new(
        setups: &Setups,
        handover: Handover,
        is_control_apart: bool,
        log: RequestLog,
        workers: usize,
    ) -> Self {
        let process = ProcessTag::random();
        let ledger = Arc::new(Ledger::new(&setups.current().plan.ingest));
        let supplies = Supplies {
            log,
            handover,
            is_control_apart,
            process,
            ingest: Arc::new(IngestCounters::new(ledger)),
        };
        Self {
            supplies,
            setups: setups.follow(),
            counters: Arc::default(),
            tls: None,
            workers,
            heartbeats: Heartbeats::new(workers),
        }
    }

    /// Has clients speak TLS.
    #[must_use]
    pub fn with_tls(mut self, tls: Option<Arc<ServerTls>>) -> Self {
        self.tls = tls;
        self
    }

    /// Has the workers give their signs of life there.
    #[must_use]
    pub fn with_heartbeats(mut self, heartbeats: Heartbeats) -> Self {
        self.heartbeats = heartbeats;
        self
    }

    /// What the workers count.
    #[must_use]
    pub fn counters(&self) -> Arc<GatewayCounters> {
        Arc::clone(&self.counters)
    }

    /// What they count of ingest.
    #[must_use]
    pub fn ingest_counters(&self) -> Arc<IngestCounters> {
        Arc::clone(&self.supplies.ingest)
    }

    /// The main future of a worker, for [`coo_llm_runtime::start`].
    #[must_use]
    pub fn run(&self, worker: Worker) -> LocalBoxFuture<'static, ()> {
        Box::pin(self.clone().serve(worker))
    }

    async fn serve(self, worker: Worker) {
        let mut setups = self.setups;
        let setup = Arc::clone(&setups.borrow_and_update());
        setup.is_taken();
        let desks = Rc::new(Desks::new(Desk::new(&self.supplies, &setup, worker.index)));
        let connections = Rc::new(Connections::new(Arc::clone(&self.counters)));
        let tls = self.tls.as_ref().map(Handshakes::new);
        spawn({
            let desks = Rc::clone(&desks);
            async move {
                while setups.changed().await.is_ok() {
                    let setup = Arc::clone(&setups.borrow_and_update());
                    desks.take(&setup);
                }
            }
        });
        spawn({
            let desks = Rc::clone(&desks);
            let (heartbeats, index) = (self.heartbeats.clone(), worker.index);
            async move {
                loop {
                    heartbeats.beat(index, Instant::now());
                    sleep(TIDY_EVERY).await;
                    desks.current().tidy();
                }
            }
        });
        while let Some(accepted) = worker.listener.next(&worker.shutdown).await {
            match accepted {
                Ok((stream, peer)) => {
                    let connections_max = desks.current().plan().connections_max as usize;
                    if connections.open() >= connections_max.div_ceil(self.workers) {
                        self.counters.refused.fetch_add(1, Ordering::Relaxed);
                        continue;
                    }
                    spawn(connections.serve(Rc::clone(&desks), stream, peer, tls.clone()));
                }
                Err(error) => {
                    self.counters.accept_errors.fetch_add(1, Ordering::Relaxed);
                    tracing::warn!(%error, "a connection cannot be accepted");
                }
            }
        }
        drop(worker.listener);
        let desk = desks.current();
        desk.close();
        connections.drain();
        if timeout(desk.plan().drain_timeout, connections.all_closed())
            .await
            .is_err()
        {
            let open = connections.open();
            tracing::warn!(open, "connections were cut off at the end of the drain");
        }
    }
}
