//! The control plane: health, metrics and the admin API, on a thread of their own.
//!
//! ```text
//! worker --Handover--> [ queue, bounded ] --.
//!                                            +--> Router --> Meter::read --> renderers
//! admin_listen socket --> [ hyper ] --------'
//! ```
//!
//! [`Control`] says what to serve, [`router`] makes a plain axum router of it that any
//! test can call, and [`Thread`] runs it. It is not: a data-plane endpoint, a store, a
//! format; those come from elsewhere and are named here.

mod access;
mod admin_key;
mod answer;
mod config;
mod encoding;
mod gate;
mod global;
mod handover;
mod listener;
mod metrics_path;
mod readiness;
mod scrape;
mod thread;
mod window;

#[cfg(test)]
mod tests;

pub use access::Access;
pub use admin_key::AdminKey;
pub use config::{Order, OrderRefused, Ordered, Orders};
pub use handover::Handover;
pub use metrics_path::MetricsPath;
pub use readiness::{Readiness, State};
pub use thread::{Options, Thread};

use axum::Router;
use axum::extract::{DefaultBodyLimit, Request};
use axum::middleware::from_fn_with_state;
use axum::response::Response;
use axum::routing::{MethodRouter, get, post, put};
use coo_llm_core::catalog::Family;
use coo_llm_core::{Meter, ShardWriter};
use coo_llm_exporters::prometheus::{Extra, Namespace};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

/// What the control plane serves, and with what rights.
pub struct Control {
    /// The meter whose numbers are shown, and in which admin requests count.
    pub meter: Meter,
    /// The admin key, and what needs it.
    pub access: Access,
    /// Who follows orders about the configuration; without anyone there are no endpoints
    /// of it.
    pub config: Option<Orders>,
    /// The metrics endpoint; `None` where it is turned off.
    pub metrics: Option<Metrics>,
    /// What `/ready` says.
    pub readiness: Readiness,
    /// When the process started: the begin of all numbers.
    pub started: SystemTime,
    /// Families beside those of the meter; called at each scrape, on the control thread.
    /// `build_info`, `scrape_duration_seconds` and `process_*` are there without it.
    pub extras: Box<dyn Fn() -> Vec<Extra> + Send + Sync>,
}

impl std::fmt::Debug for Control {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Control")
            .field("access", &self.access)
            .field("metrics", &self.metrics)
            .field("readiness", &self.readiness)
            .field("started", &self.started)
            .finish_non_exhaustive()
    }
}

/// The metrics endpoint.
#[derive(Clone, Debug)]
pub struct Metrics {
    /// Where it is.
    pub path: MetricsPath,
    /// The prefix of every name.
    pub namespace: Namespace,
    /// Whether protobuf pages have native histograms.
    pub native_histograms: bool,
    /// Facts for `build_info`, `version` among them.
    pub build: Vec<(&'static str, String)>,
}

/// The address of the client's socket, as an extension of a request.
#[derive(Clone, Copy, Debug)]
struct Peer(SocketAddr);

/// What the handlers share.
struct Shared {
    meter: Meter,
    /// The control plane's own shard; only its one thread takes the lock.
    writer: Mutex<ShardWriter>,
    access: Access,
    config: Option<Orders>,
    readiness: Readiness,
    started: SystemTime,
    metrics: Option<(Metrics, Mutex<scrape::Scraper>)>,
    extras: Box<dyn Fn() -> Vec<Extra> + Send + Sync>,
}

impl Shared {
    fn count(&self, family: Family, values: &[&str]) {
        let event = self.meter.catalog().event(family, values);
        lock(&self.writer).count(event);
    }
}

/// A panic under these locks leaves counters and buffers that the next user overwrites.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The router of the control plane.
///
/// The event series of its endpoints and of the admin key are there at 0 from now on.
pub fn router(control: Control) -> Router {
    let writer = Mutex::new(control.meter.writer());
    let metrics = control.metrics.map(|metrics| {
        let scraper = scrape::Scraper::new(&metrics, control.started);
        (metrics, Mutex::new(scraper))
    });
    let metrics_path = metrics.as_ref().map(|(metrics, _)| metrics.path.clone());
    let shared = Arc::new(Shared {
        meter: control.meter,
        writer,
        access: control.access,
        config: control.config,
        readiness: control.readiness,
        started: control.started,
        metrics,
        extras: control.extras,
    });
    for result in ["success", "invalid"] {
        let values = ["admin_key", result];
        shared.meter.catalog().event(Family::AuthAttempts, &values);
    }
    let mut router = Router::new()
        .route("/health", get(readiness::health))
        .route("/ready", get(readiness::ready));
    if let Some(path) = metrics_path {
        router = router.route(path.as_str(), get(scrape::metrics));
    }
    let mut endpoint = |path, methods: &[&str], handler| {
        let router_so_far = std::mem::take(&mut router);
        router = admin(router_so_far, &shared, path, methods, handler);
    };
    endpoint(global::PATH, &["GET"], get(global::global));
    if shared.config.is_some() {
        let config_handlers = get(config::show).post(config::put);
        endpoint(config::PATH, &["GET", "POST"], config_handlers);
        endpoint(config::VALIDATE, &["POST"], post(config::validate));
        endpoint(config::POLICY, &["PUT"], put(config::put_policy));
    }
    router
        .fallback(unknown)
        // Bodies have their bounds where they come in.
        .layer(DefaultBodyLimit::disable())
        .method_not_allowed_fallback(wrong_method)
        .layer(from_fn_with_state(Arc::clone(&shared), gate::gate))
        .with_state(shared)
}

/// An endpoint of the admin API, under both of its prefixes.
fn admin(
    router: Router<Arc<Shared>>,
    shared: &Shared,
    path: &str,
    methods: &[&str],
    handler: MethodRouter<Arc<Shared>>,
) -> Router<Arc<Shared>> {
    let catalog = shared.meter.catalog();
    for method in methods {
        catalog.event(Family::AdminRequests, &[path, method, "200"]);
    }
    catalog.event(Family::AdminRateLimits, &[path]);
    router
        .route(path, handler.clone())
        .route(&format!("{}{path}", gate::ALIAS), handler)
}

async fn unknown(request: Request) -> Response {
    answer::not_found(request.method(), request.uri().path())
}

async fn wrong_method(request: Request) -> Response {
    answer::method_not_allowed(request.method(), request.uri().path())
}
