//! The running gateway: every part put together, started in order and stopped in order.
//!
//! ```text
//! log -> meter -> plan -> control thread -> addresses, prices -> workers -> ready
//! ```

mod budgets;
mod extras;
pub(crate) mod price_file;
mod resolving;

use crate::logging::{self, LogGuard, LogHandle};
use coo_llm_config::{Config, Driver, MetricsAuth, Runtime, Secret, Workers as WorkerCount};
use coo_llm_core::Meter;
use coo_llm_exporters::prometheus::Namespace;
use coo_llm_http::ServerTls;
use coo_llm_http::control::{
    AdminKey, Control, Metrics, MetricsPath, Options as ControlOptions, Readiness, State, Thread,
};
use coo_llm_http::gateway::{Gateway, Plan, RequestLog};
use coo_llm_runtime::{BackendChoice, DriverChoice, Options, Workers};
use extras::Extras;
use price_file::Prices;
use std::fmt::Display;
use std::net::SocketAddr;
use std::path::Path;
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
    prices: Prices,
    // Last, so that what the others say at their end is written.
    _log: LogGuard,
}

impl Running {
    /// Starts everything; when it returns, requests are answered.
    ///
    /// Without `logs_requests` finished requests are counted and not logged.
    pub(crate) fn start(config: &Config, logs_requests: bool) -> Result<Self, Failure> {
        let (log, guard) = logging::start(&config.logging)
            .map_err(|error| Failure::system("the log cannot be opened", error))?;
        logging::install(&log).map_err(|error| Failure::system("the log", error))?;
        let series_max = u32::try_from(config.metrics.max_series).unwrap_or(u32::MAX);
        let meter = Meter::new(series_max);
        let plan = Plan::new(config, &meter).map_err(|error| Failure::Config(error.to_string()))?;
        let plan = Arc::new(plan);
        let readiness = Readiness::new(State::NotConfigured);
        let extras = Arc::new(Extras::new(log.clone()));
        extras.watch_providers(Arc::clone(&plan));
        let control = control(config, &meter, &readiness, &extras)?;
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
        let addresses = resolving::start(plan.hosts(), control.handle());
        let (prices, books) = price_file::watch(config.prices.as_deref(), &plan, control.handle())
            .map_err(|error| {
                let path = config.prices.as_deref().unwrap_or(Path::new(""));
                Failure::Config(format!("prices: {}: {error}", path.display()))
            })?;
        extras.watch_prices(prices.clone());
        let count = match config.server.workers {
            WorkerCount::Auto => coo_llm_runtime::cores(),
            WorkerCount::Count(count) => usize::from(count),
        };
        let gateway = Gateway::new(
            plan,
            addresses,
            books,
            control.handover(),
            config.server.admin_listen.is_some(),
            request_log(log, logs_requests),
            count,
        )
        .with_tls(tls.clone());
        extras.watch_connections(gateway.counters());
        if let Some(tls) = &tls {
            extras.watch_tls(Arc::clone(tls));
        }
        extras.watch_ingest(gateway.ingest_counters());
        extras.watch_budgets(gateway.ledgers());
        budgets::start(gateway.ledgers(), control.handle());
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
        readiness.set(State::Ready);
        tracing::info!(listen = %workers.local_addr(), "coo-llm serves");
        Ok(Self {
            meter,
            workers,
            control,
            readiness,
            tls,
            prices,
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

    /// What SIGHUP does: reads the certificate and the price file again.
    pub(crate) fn reload(&self) -> impl Fn() + Send + 'static {
        let (prices, tls) = (self.prices.clone(), self.tls.clone());
        move || {
            let has_prices = prices.reload();
            if let Some(tls) = tls.clone() {
                // It reads files, which the control thread does not wait for.
                tokio::task::spawn_blocking(move || match tls.reload() {
                    Ok(()) => tracing::info!("SIGHUP: the certificate was read again"),
                    Err(error) => tracing::error!(%error, "SIGHUP: the last certificate stays"),
                });
            } else if !has_prices {
                tracing::warn!("SIGHUP: reloading the configuration is not in this version yet");
                return;
            }
            tracing::info!("SIGHUP: the configuration itself is not reloaded in this version yet");
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

fn control(
    config: &Config,
    meter: &Meter,
    readiness: &Readiness,
    extras: &Arc<Extras>,
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
        needs_admin_key: config.server.metrics_auth == MetricsAuth::Bearer,
        native_histograms: config.metrics.native_histograms,
        build: vec![("version", env!("CARGO_PKG_VERSION").to_owned())],
    };
    let extras = Arc::clone(extras);
    Ok(Control {
        meter: meter.clone(),
        admin_key: config
            .server
            .admin_api_key
            .as_ref()
            .map(Secret::expose)
            .and_then(AdminKey::new),
        metrics: endpoint.enabled.then_some(metrics),
        readiness: readiness.clone(),
        started: SystemTime::now(),
        extras: Box::new(move || extras.families()),
    })
}
