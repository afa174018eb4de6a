//! The running gateway: every part put together, started in order and stopped in order.
//!
//! ```text
//! log -> meter -> plan -> control thread -> addresses, prices -> workers -> reloader -> ready
//! ```

mod budgets;
mod client_health;
mod extras;
mod fixed;
mod history;
pub(crate) mod price_file;
mod reloading;
mod resolving;
mod sinks;
mod store_families;

pub(crate) use budgets::now;
pub(crate) use reloading::Source;

use crate::logging::{self, LogGuard, LogHandle};
use coo_llm_config::{Config, Document, Driver, Runtime, Workers as WorkerCount};
use coo_llm_core::Meter;
use coo_llm_exporters::prometheus::Namespace;
use coo_llm_exporters::watch::Watch;
use coo_llm_http::ServerTls;
use coo_llm_http::control::audit::{Trail, TrailGuard};
use coo_llm_http::control::clients::{ClientStore, Clients, Roster};
use coo_llm_http::control::{
    Auth, Checks, Control, Front, Metrics, MetricsPath, Options as ControlOptions, Order, Orders,
    Readiness, State, Thread,
};
use coo_llm_http::gateway::{
    AddressBook, Gateway, Heartbeats, Ledgers, Plan, PriceBook, RequestLog, Setup, Setups,
};
use coo_llm_runtime::{BackendChoice, DriverChoice, Options, Workers};
use extras::Extras;
use price_file::Prices;
use reloading::{Reloader, Reloads};
use std::fmt::Display;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::SystemTime;

/// Why the gateway did not start, as one line, with the exit code that INTERFACE.md gives it.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The configuration cannot be used: exit code 1.
    Config(String),
    /// The system refuses something: exit code 2.
    System(String),
}

impl Failure {
    pub(crate) fn system(what: &str, error: impl Display) -> Self {
        Self::System(format!("{what}: {error}"))
    }
}

/// Every part, running.
#[derive(Debug)]
pub(crate) struct Running {
    pub(crate) meter: Meter,
    workers: Workers,
    control: Thread,
    readiness: Readiness,
    tls: Option<Arc<ServerTls>>,
    orders: Orders,
    // After the control plane, whose rows it writes.
    _audit: Option<TrailGuard>,
    filling: Option<history::Filling>,
    sinks: Option<sinks::Sinks>,
    watching: Option<client_health::Watching>,
    // Last, so that what the others say at their end is written.
    _log: LogGuard,
}

impl Running {
    /// Starts everything; when it returns, requests are answered.
    ///
    /// `source` is where a reload reads. Without `logs_requests` finished requests are counted and not logged.
    pub(crate) fn start(
        document: Document,
        source: Source,
        logs_requests: bool,
    ) -> Result<Self, Failure> {
        let config = &document.config;
        let (log, guard) = logging::start(&config.logging)
            .map_err(|error| Failure::system("the log cannot be opened", error))?;
        logging::install(&log).map_err(|error| Failure::system("the log", error))?;
        let series_max = u32::try_from(config.metrics.max_series).unwrap_or(u32::MAX);
        let meter = if config.storage.history.is_some() {
            Meter::with_pairs(series_max)
        } else {
            Meter::new(series_max)
        };
        let history = history::open(&config.storage, &meter)?;
        let clients = Arc::new(clients(config)?);
        let all = Config {
            clients: clients.current().clients().to_vec(),
            ..config.clone()
        };
        let plan = Plan::new(&all, &meter).map_err(|error| Failure::Config(error.to_string()))?;
        let literals = AddressBook::of_literals(&plan.hosts());
        let count = match config.server.workers {
            WorkerCount::Auto => coo_llm_runtime::cores(),
            WorkerCount::Count(count) => usize::from(count),
        };
        let (prices, table) = Prices::open(config.prices.as_deref()).map_err(Failure::Config)?;
        let book = PriceBook::new(&plan, table.as_ref());
        prices.announce(table.as_ref(), &book, &plan);
        let budgets = Ledgers::with_budgets(&plan);
        let spent = history
            .as_ref()
            .map(|it| budgets::spent_before(it, &budgets));
        let ledgers = Ledgers::new(&plan, count, &spent.unwrap_or_default());
        let setups = Setups::new(Setup::new(plan, literals, book, ledgers));
        let readiness = Readiness::new(State::NotConfigured);
        let reloads = Arc::new(Reloads::new());
        let extras = Arc::new(Extras::new(log.clone(), Arc::clone(&reloads)));
        extras.watch_setups(setups.clone());
        extras.watch_prices(prices.clone());
        let auth = Arc::new(auth(config)?);
        let (trail, audit) = audit(config)?.unzip();
        if let Some(history) = &history {
            extras.watch_history(Arc::clone(history));
        }
        let watch = client_health::watch(config, history.as_ref());
        if let Some(watch) = &watch {
            extras.watch_clients(watch.board());
        }
        let (orders, orders_end) = Orders::new();
        let heartbeats = Heartbeats::new(count);
        let checks = Checks::new(
            setups.clone(),
            history.clone(),
            heartbeats.clone(),
            Box::new({
                let extras = Arc::clone(&extras);
                move || extras.facts()
            }),
            env!("CARGO_PKG_VERSION"),
        );
        let control = Control {
            audit: trail,
            roster: Arc::clone(&clients),
            history: history.clone(),
            checks: Some(Arc::new(checks)),
            clients: watch.as_ref().map(Watch::board),
            ..control(config, &setups, &meter, &readiness, &extras, &orders, &auth)?
        };
        let tls = config.server.tls.as_ref().map(ServerTls::load);
        let tls = tls
            .transpose()
            .map_err(|error| Failure::Config(error.to_string()))?
            .map(Arc::new);
        let options = ControlOptions {
            admin_listen: config.server.admin_listen,
            tls: tls.clone(),
            ..ControlOptions::default()
        };
        let control = Thread::start(control, &options).map_err(|error| {
            let place = match options.admin_listen {
                Some(address) => format!("the control plane cannot listen on {address}"),
                None => "the control plane cannot start".to_owned(),
            };
            Failure::system(&place, error)
        })?;
        resolving::start(setups.clone(), control.handle());
        let gateway = Gateway::new(
            &setups,
            control.handover(),
            config.server.admin_listen.is_some(),
            request_log(log.clone(), logs_requests),
            count,
        )
        .with_tls(tls.clone())
        .with_heartbeats(heartbeats);
        extras.watch_connections(gateway.counters());
        if let Some(tls) = &tls {
            extras.watch_tls(Arc::clone(tls));
        }
        extras.watch_ingest(gateway.ingest_counters());
        budgets::start(setups.clone(), control.handle());
        let options = Options {
            workers: count,
            backend: match config.server.runtime {
                Runtime::Auto => BackendChoice::Auto,
                Runtime::Monoio => BackendChoice::Monoio,
                Runtime::Glommio => BackendChoice::Glommio,
                Runtime::Tokio => BackendChoice::Tokio,
            },
            driver: match config.server.driver {
                Driver::Auto => DriverChoice::Auto,
                Driver::IoUring => DriverChoice::PreferIoUring,
                Driver::Epoll => DriverChoice::Epoll,
            },
            ..Options::new(config.server.listen)
        };
        let workers = coo_llm_runtime::start(&options, move |worker| gateway.run(worker))
            .map_err(|error| Failure::System(error.to_string()))?;
        extras.watch_tasks(workers.counters().clone());
        extras.runs_on(workers.selection());
        match &workers.selection().note {
            Some(note) => tracing::warn!(
                runtime = %workers.selection().backend,
                driver = %workers.selection().driver,
                note = note.as_str(),
                "the runtime is not what was asked for"
            ),
            None => tracing::info!(
                runtime = %workers.selection().backend,
                driver = %workers.selection().driver,
                workers = count,
                "the runtime is chosen"
            ),
        }
        let sinks = sinks::start(&config.storage, history.as_ref())?;
        if let Some(sinks) = &sinks {
            extras.watch_sinks(sinks.statuses());
        }
        let watching = watch
            .zip(history.clone())
            .map(|(watch, history)| client_health::start(watch, history, setups.clone()));
        let watching = watching.transpose()?;
        let filling = history.clone();
        let filling = filling.map(|it| history::start(it, config.storage.flush_interval));
        let filling = filling.transpose()?;
        let reloader = Reloader {
            source,
            setups,
            workers: count,
            tls: tls.clone(),
            prices,
            auth,
            log,
            reloads,
            clients,
            history,
            document,
        };
        control.handle().spawn(reloader.follow(orders_end));
        readiness.set(State::Ready);
        tracing::info!(listen = %workers.local_addr(), "coo-llm serves");
        Ok(Self {
            meter,
            workers,
            control,
            readiness,
            tls,
            orders,
            _audit: audit,
            filling,
            sinks,
            watching,
            _log: guard,
        })
    }

    /// Where the data plane listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.workers.local_addr()
    }

    /// Where the control plane listens: there too, unless it has a socket of its own.
    pub(crate) fn admin_address(&self) -> SocketAddr {
        self.control.admin_address().unwrap_or(self.address())
    }

    /// TLS of the listeners, where they speak it.
    pub(crate) fn tls(&self) -> Option<Arc<ServerTls>> {
        self.tls.clone()
    }

    /// What SIGHUP does: reads the configuration, and what it names, again.
    pub(crate) fn reload(&self) -> impl Fn() + Send + 'static {
        let (orders, runtime) = (self.orders.clone(), self.control.handle().clone());
        move || {
            let orders = orders.clone();
            runtime.spawn(async move {
                // What comes of it is in the log.
                if orders.give(Order::Use(None)).await.is_none() {
                    tracing::warn!("SIGHUP: too many reloads wait; this one is left out");
                }
            });
        }
    }

    /// The control thread's runtime.
    pub(crate) fn control(&self) -> &tokio::runtime::Handle {
        self.control.handle()
    }

    /// Drains and stops: what is under way may finish, nothing new begins.
    pub(crate) fn stop(self) -> Result<(), Failure> {
        tracing::info!("coo-llm drains");
        self.readiness.set(State::Draining);
        self.workers.shutdown();
        let panics = self.workers.join();
        if let Some(watching) = self.watching {
            watching.stop();
        }
        if let Some(filling) = self.filling {
            filling.stop(self.sinks);
        }
        self.control
            .stop()
            .map_err(|error| Failure::system("the control plane", error))?;
        match panics.first() {
            None => {
                tracing::info!("coo-llm has stopped");
                Ok(())
            }
            Some(panic) => Err(Failure::System(panic.to_string())),
        }
    }
}

fn request_log(log: LogHandle, is_wanted: bool) -> RequestLog {
    if is_wanted {
        Arc::new(move |line| log.request(line))
    } else {
        Arc::new(drop)
    }
}

fn auth(config: &Config) -> Result<Auth, Failure> {
    Auth::open(&config.server).map_err(|error| {
        if error.is_of_config() {
            Failure::Config(error.to_string())
        } else {
            Failure::system("the keys of logins", error)
        }
    })
}

/// The clients: those of the file, with what was done over the admin API.
fn clients(config: &Config) -> Result<Clients, Failure> {
    let store = config.server.data_dir.as_deref().map(ClientStore::open);
    let store = store
        .transpose()
        .map_err(|error| Failure::system("the clients of the admin API", error))?;
    let kept = store.as_ref().map(ClientStore::kept).unwrap_or_default();
    let roster = Roster::new(kept, config, now());
    let roster = roster.map_err(|problems| Failure::Config(problems.join("; ")))?;
    for note in roster.notes(config) {
        tracing::warn!("{note}");
    }
    Ok(Clients::new(roster, store))
}

/// The audit trail, where there is a folder for it.
fn audit(config: &Config) -> Result<Option<(Trail, TrailGuard)>, Failure> {
    let folder = config.server.data_dir.as_deref();
    folder
        .map(|folder| Trail::open(folder, config.server.audit))
        .transpose()
        .map_err(|error| Failure::system("the audit trail", error))
}

fn control(
    config: &Config,
    setups: &Setups,
    meter: &Meter,
    readiness: &Readiness,
    extras: &Arc<Extras>,
    orders: &Orders,
    auth: &Arc<Auth>,
) -> Result<Control, Failure> {
    let endpoint = &config.logging.prometheus;
    let path = MetricsPath::parse(&endpoint.endpoint).ok_or_else(|| {
        Failure::Config(format!(
            "logging.prometheus.endpoint: {} cannot be used; write a path such as /metrics",
            endpoint.endpoint
        ))
    })?;
    let namespace = Namespace::parse(&config.metrics.namespace).ok_or_else(|| {
        Failure::Config("metrics.namespace: is no metric name; write one such as coo_llm".into())
    })?;
    let metrics = Metrics {
        path,
        namespace,
        native_histograms: config.metrics.native_histograms,
        build: vec![("version", env!("CARGO_PKG_VERSION").to_owned())],
    };
    let extras = Arc::clone(extras);
    Ok(Control {
        meter: meter.clone(),
        auth: Arc::clone(auth),
        front: Front::new(&config.server),
        audit: None,
        config: Some(orders.clone()),
        roster: Arc::default(),
        setups: setups.clone(),
        history: None,
        checks: None,
        clients: None,
        metrics: endpoint.enabled.then_some(metrics),
        readiness: readiness.clone(),
        started: SystemTime::now(),
        extras: Box::new(move || extras.families()),
    })
}
