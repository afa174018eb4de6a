//! The control plane: health, metrics and the admin API, on a thread of their own.
//!
//! ```text
//! worker --Handover--> [ queue, bounded ] --.
//!                                            +--> gate --> Router --> Meter::read --> renderers
//! admin_listen socket --> [ hyper ] --------'      |
//!                                                  `--> Auth, RateLimit, Trail
//! ```
//!
//! [`Control`] says what to serve, [`router`] makes a plain axum router of it that any
//! test can call, and [`Thread`] runs it. It is not: a data-plane endpoint, a store, a
//! format; those come from elsewhere and are named here.

mod admin_key;
mod answer;
pub mod audit;
mod auth;
mod checks;
mod client_health;
pub mod clients;
mod config;
mod encoding;
mod figures;
mod front;
mod gate;
mod handover;
mod hex;
mod known;
mod listener;
mod metrics_path;
mod openapi;
mod parameters;
mod questions;
mod rate_limit;
mod readiness;
mod scrape;
mod thread;
mod usage;

#[cfg(test)]
mod tests;

pub use admin_key::AdminKey;
pub use auth::{Auth, AuthError, Rights, Role};
pub use checks::{Checks, Facts, TaskCounts};
pub use config::{Checked, Followed, Order, OrderRefused, Ordered, Orders, PolicyInUse, Reloaded};
pub use front::Front;
pub use handover::Handover;
pub use metrics_path::MetricsPath;
pub use readiness::{Readiness, State};
pub use thread::{Options, Thread};
pub(crate) use usage::own::{Caller, PATH as USAGE};

use crate::gateway::Setups;
use audit::Trail;
use auth::{login, session};
use axum::Router;
use axum::extract::{DefaultBodyLimit, Request};
use axum::middleware::from_fn_with_state;
use axum::response::Response;
use axum::routing::{MethodRouter, get, post, put};
use bytes::Bytes;
use clients::Clients;
use coo_llm_core::catalog::Family;
use coo_llm_core::{Meter, ShardWriter};
use coo_llm_exporters::history::History;
use coo_llm_exporters::prometheus::{Extra, Kind, Namespace, Value};
use coo_llm_exporters::watch::Board;
use questions::Questions;
use rate_limit::RateLimit;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Instant, SystemTime};
use usage::{client, clients as clients_usage, global, provider, series, stats};

/// What the control plane serves, and with what rights.
pub struct Control {
    /// The meter whose numbers are shown, and in which admin requests count.
    pub meter: Meter,
    /// Who comes into the admin API.
    pub auth: Arc<Auth>,
    /// What stands before it.
    pub front: Front,
    /// Where its requests are written down, beside the log.
    pub audit: Option<Trail>,
    /// Who follows orders about the configuration; without anyone there are no endpoints
    /// of it.
    pub config: Option<Orders>,
    /// The clients of file and admin API.
    pub roster: Arc<Clients>,
    /// What the gateway goes by: which clients and providers there are.
    pub setups: Setups,
    /// What was used when; `None` where none is kept.
    pub history: Option<Arc<History>>,
    /// What `/admin/v1/health` looks at; without it there is no such endpoint.
    pub checks: Option<Arc<Checks>>,
    /// What is unusual for clients; `None` where nobody watches them.
    pub clients: Option<Arc<Board>>,
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
            .field("auth", &self.auth)
            .field("front", &self.front)
            .field("audit", &self.audit)
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
    auth: Arc<Auth>,
    front: Front,
    rate_limit: Option<Mutex<RateLimit>>,
    audit: Option<Trail>,
    /// The begin of the rate limit's times.
    began: Instant,
    config: Option<Orders>,
    checks: Option<Arc<Checks>>,
    clients: Option<Arc<Board>>,
    roster: Arc<Clients>,
    readiness: Readiness,
    started: SystemTime,
    metrics: Option<(Metrics, Mutex<scrape::Scraper>)>,
    setups: Setups,
    questions: Questions,
    /// OpenAPI, as it is served.
    document: Bytes,
    extras: Box<dyn Fn() -> Vec<Extra> + Send + Sync>,
}

impl Shared {
    fn count(&self, family: Family, values: &[&str]) {
        let event = self.meter.catalog().event(family, values);
        lock(&self.writer).count(event);
    }
}

impl Shared {
    /// Families of the control plane itself.
    fn own_families(&self) -> Vec<Extra> {
        let mut families = Vec::new();
        if self.questions.has_history() {
            families.push(self.questions.family());
        }
        families.extend(self.audit.iter().flat_map(Trail::families));
        if let Some(limit) = &self.rate_limit {
            let folded = lock(limit).folded();
            let family = Extra::new(
                Kind::Counter,
                "admin_rate_limit_folded",
                "Admin requests of addresses that shared one rate limit, as too many others were there.",
            );
            families.push(family.with(&[], Value::Count(folded)));
        }
        families
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
    assembled(control).0
}

/// The router, and the paths of its routes.
fn assembled(control: Control) -> (Router, Vec<String>) {
    let writer = Mutex::new(control.meter.writer());
    let metrics = control.metrics.map(|metrics| {
        let scraper = scrape::Scraper::new(&metrics, control.started);
        (metrics, Mutex::new(scraper))
    });
    let metrics_path = metrics.as_ref().map(|(metrics, _)| metrics.path.clone());
    let document = openapi::text(&openapi::Parts {
        metrics: metrics_path.as_ref().map(MetricsPath::as_str),
        has_config: control.config.is_some(),
        has_checks: control.checks.is_some(),
    });
    let shared = Arc::new(Shared {
        meter: control.meter,
        writer,
        auth: control.auth,
        rate_limit: control
            .front
            .req_per_min
            .map(RateLimit::new)
            .map(Mutex::new),
        front: control.front,
        audit: control.audit,
        began: Instant::now(),
        config: control.config,
        checks: control.checks,
        roster: control.roster,
        clients: control.clients,
        readiness: control.readiness,
        started: control.started,
        metrics,
        setups: control.setups,
        questions: Questions::new(control.history),
        document,
        extras: control.extras,
    });
    for (method, results) in [
        ("admin_key", &["success", "invalid"][..]),
        ("jwt", &["success", "invalid", "expired"]),
        ("password", &["success", "invalid", "locked"]),
    ] {
        for result in results {
            let values = [method, *result];
            shared.meter.catalog().event(Family::AuthAttempts, &values);
        }
    }
    let mut routes = Routes::default();
    routes.open("/health", get(readiness::health));
    routes.open("/ready", get(readiness::ready));
    routes.open(USAGE, get(usage::own::usage));
    if let Some(path) = metrics_path {
        routes.open(path.as_str(), get(scrape::metrics));
    }
    let mut endpoint = |path, methods: &[&str], handler| {
        routes.admin(&shared.meter, path, methods, handler);
    };
    endpoint(login::PATH, &["POST"], post(login::login));
    endpoint(session::LOGOUT, &["POST"], post(session::logout));
    endpoint(session::PATH, &["GET"], get(session::session));
    let trail = get(audit::endpoint::audit);
    endpoint(audit::endpoint::PATH, &["GET"], trail);
    endpoint(openapi::PATH, &["GET"], get(openapi::openapi));
    endpoint(series::PATH, &["GET"], get(series::series));
    endpoint(client::PATH, &["GET"], get(client::client));
    endpoint(provider::PATH, &["GET"], get(provider::provider));
    endpoint(global::PATH, &["GET"], get(global::global));
    endpoint(stats::PATH, &["GET"], get(stats::stats));
    endpoint(clients_usage::PATH, &["GET"], get(clients_usage::clients));
    let unusual = get(client_health::client_health);
    endpoint(client_health::PATH, &["GET"], unusual);
    if shared.checks.is_some() {
        endpoint(checks::PATH, &["GET"], get(checks::endpoint::health));
    }
    if shared.config.is_some() {
        let config_handlers = get(config::show).post(config::put);
        endpoint(config::PATH, &["GET", "POST"], config_handlers);
        endpoint(config::VALIDATE, &["POST"], post(config::validate));
        endpoint(config::POLICY, &["PUT"], put(config::put_policy));
        endpoint(
            clients::endpoint::PATH,
            &["POST"],
            post(clients::endpoint::create),
        );
        let rotation = post(clients::endpoint::rotate);
        endpoint(clients::endpoint::ROTATE, &["POST"], rotation);
    }
    let list = get(clients::endpoint::list);
    endpoint(clients::endpoint::LIST, &["GET"], list);
    let one = get(clients::endpoint::one);
    if shared.config.is_some() {
        let one = one
            .put(clients::endpoint::update)
            .delete(clients::endpoint::delete);
        endpoint(clients::endpoint::ONE, &["GET", "PUT", "DELETE"], one);
    } else {
        endpoint(clients::endpoint::ONE, &["GET"], one);
    }
    routes.open(login::ALIAS, post(login::login));
    let router = routes
        .router
        .fallback(unknown)
        // Bodies have their bounds where they come in.
        .layer(DefaultBodyLimit::disable())
        .method_not_allowed_fallback(wrong_method)
        .layer(from_fn_with_state(Arc::clone(&shared), gate::gate))
        .with_state(shared);
    (router, routes.paths)
}

/// The routes as they come together.
#[derive(Default)]
struct Routes {
    router: Router<Arc<Shared>>,
    paths: Vec<String>,
}

impl Routes {
    /// An endpoint, under this path alone.
    fn open(&mut self, path: &str, handler: MethodRouter<Arc<Shared>>) {
        self.router = std::mem::take(&mut self.router).route(path, handler);
        self.paths.push(path.to_owned());
    }

    /// An endpoint of the admin API, under both of its prefixes.
    fn admin(
        &mut self,
        meter: &Meter,
        path: &str,
        methods: &[&str],
        handler: MethodRouter<Arc<Shared>>,
    ) {
        let catalog = meter.catalog();
        for method in methods {
            catalog.event(Family::AdminRequests, &[path, method, "200"]);
        }
        catalog.event(Family::AdminRateLimits, &[path]);
        self.open(path, handler.clone());
        self.open(&format!("{}{path}", gate::ALIAS), handler);
    }
}

async fn unknown(request: Request) -> Response {
    answer::not_found(request.method(), request.uri().path())
}

async fn wrong_method(request: Request) -> Response {
    answer::method_not_allowed(request.method(), request.uri().path())
}
