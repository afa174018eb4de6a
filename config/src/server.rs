//! `server`: listeners, workers, admin access, limits.

use crate::reader::Section;
use crate::scalar::{Wrong, boolean, integer, listen_address, non_empty, positive_duration};
use crate::secret::Secret;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

/// The most data-plane threads that can be asked for.
const WORKERS_MAX: u64 = 1024;

/// The `server` section.
#[derive(Clone, Debug, PartialEq)]
pub struct Server {
    /// Where the data plane listens, and the control plane too unless `admin_listen` is set.
    pub listen: SocketAddr,
    /// A listener of its own for the control plane.
    pub admin_listen: Option<SocketAddr>,
    /// How many data-plane threads.
    pub workers: Workers,
    /// What runs them.
    pub runtime: Runtime,
    /// How they wait for IO.
    pub driver: Driver,
    /// The admin key. Where it is `None`, `serve` makes a random one and prints it once.
    pub admin_api_key: Option<Secret>,
    /// Who may read `/metrics`.
    pub metrics_auth: MetricsAuth,
    /// The web UI.
    pub webui: WebUi,
    /// Cross-origin access to the control plane.
    pub cors: Cors,
    /// TLS of the listeners.
    pub tls: Option<Tls>,
    /// Bounds of the data plane.
    pub limits: ServerLimits,
}

/// How many data-plane threads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Workers {
    /// One a core that this process may use.
    Auto,
    /// This many, 1 to 1024.
    Count(u16),
}

/// What runs a worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Runtime {
    /// The best that is built in.
    Auto,
    /// monoio.
    Monoio,
    /// glommio.
    Glommio,
    /// One tokio current-thread runtime a core.
    Tokio,
}

/// How a worker waits for IO.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Driver {
    /// The default of this machine; falls back to epoll where io_uring is refused.
    Auto,
    /// io_uring.
    IoUring,
    /// epoll.
    Epoll,
}

/// Who may read `/metrics`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MetricsAuth {
    /// Anyone who can connect.
    None,
    /// Who sends the admin key as bearer token.
    Bearer,
}

/// The web UI.
#[derive(Clone, Debug, PartialEq)]
pub struct WebUi {
    /// Whether it is served.
    pub enabled: bool,
    /// The name to log in with.
    pub admin_id: String,
    /// An argon2id hash in PHC form, as `coo-llm hash-password` prints it.
    pub admin_password_hash: Option<Secret>,
}

/// Cross-origin access to the control plane.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Cors {
    /// Whether it is allowed.
    pub enabled: bool,
    /// From which origins, such as `https://dash.example.com`.
    pub allowed_origins: Vec<String>,
}

/// A certificate and its key, both PEM files.
#[derive(Clone, Debug, PartialEq)]
pub struct Tls {
    /// The certificate chain.
    pub cert: PathBuf,
    /// The private key.
    pub key: PathBuf,
}

/// Bounds of the data plane.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ServerLimits {
    /// Open client connections, over all workers.
    pub max_connections: u32,
    /// Bytes of a request body.
    pub max_body_bytes: u64,
    /// From the first byte of a request until its headers are complete.
    pub header_timeout: Duration,
    /// How long an unused connection is kept.
    pub idle_timeout: Duration,
    /// How long requests may go on after a stop was asked for.
    pub drain_timeout: Duration,
}

impl Default for Server {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 2906)),
            admin_listen: None,
            workers: Workers::Auto,
            runtime: Runtime::Auto,
            driver: Driver::Auto,
            admin_api_key: None,
            metrics_auth: MetricsAuth::None,
            webui: WebUi::default(),
            cors: Cors::default(),
            tls: None,
            limits: ServerLimits::default(),
        }
    }
}

impl Default for WebUi {
    fn default() -> Self {
        Self {
            enabled: true,
            admin_id: "admin".into(),
            admin_password_hash: None,
        }
    }
}

impl Default for ServerLimits {
    fn default() -> Self {
        Self {
            max_connections: 20_000,
            max_body_bytes: 10 * 1024 * 1024,
            header_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(75),
            drain_timeout: Duration::from_secs(30),
        }
    }
}

impl Server {
    pub(crate) fn read(s: &Section<'_>) -> Self {
        let default = Self::default();
        Self {
            listen: s.value("listen", default.listen, listen_address),
            admin_listen: s.optional("admin_listen", listen_address),
            workers: s.value("workers", default.workers, workers),
            runtime: s.choice(
                "runtime",
                default.runtime,
                &[
                    ("auto", Runtime::Auto),
                    ("monoio", Runtime::Monoio),
                    ("glommio", Runtime::Glommio),
                    ("tokio", Runtime::Tokio),
                ],
            ),
            driver: s.choice(
                "driver",
                default.driver,
                &[
                    ("auto", Driver::Auto),
                    ("io_uring", Driver::IoUring),
                    ("epoll", Driver::Epoll),
                ],
            ),
            admin_api_key: s.secret("admin_api_key"),
            metrics_auth: s.choice(
                "metrics_auth",
                default.metrics_auth,
                &[("none", MetricsAuth::None), ("bearer", MetricsAuth::Bearer)],
            ),
            webui: s.section("webui", WebUi::read),
            cors: s.section("cors", Cors::read),
            tls: s.section("tls", Tls::read),
            limits: s.section("limits", ServerLimits::read),
        }
    }
}

fn workers(text: &str) -> Result<Workers, Wrong> {
    if text == "auto" {
        return Ok(Workers::Auto);
    }
    let count = integer(1, WORKERS_MAX)(text)
        .ok()
        .and_then(|n| u16::try_from(n).ok());
    count
        .map(Workers::Count)
        .ok_or_else(|| format!("is neither auto nor a whole number from 1 to {WORKERS_MAX}"))
}

impl WebUi {
    fn read(s: &Section<'_>) -> Self {
        let default = Self::default();
        let admin_password_hash = s.secret("admin_password_hash");
        if admin_password_hash
            .as_ref()
            .is_some_and(|hash| !hash.expose().starts_with("$argon2id$"))
        {
            s.complain(
                "admin_password_hash",
                "is not an argon2id hash; make one with `coo-llm hash-password`",
            );
        }
        Self {
            enabled: s.value("enabled", default.enabled, boolean),
            admin_id: s.value("admin_id", default.admin_id, non_empty),
            admin_password_hash,
        }
    }
}

impl Cors {
    fn read(s: &Section<'_>) -> Self {
        let origins = s.items("allowed_origins");
        Self {
            enabled: s.value("enabled", false, boolean),
            allowed_origins: origins
                .iter()
                .filter_map(|origin| origin.parse(non_empty))
                .collect(),
        }
    }
}

impl Tls {
    fn read(s: &Section<'_>) -> Option<Self> {
        let cert = s.required(
            "cert",
            "name the PEM file of the certificate chain",
            non_empty,
        );
        let key = s.required("key", "name the PEM file of the private key", non_empty);
        Some(Self {
            cert: cert?.into(),
            key: key?.into(),
        })
    }
}

impl ServerLimits {
    fn read(s: &Section<'_>) -> Self {
        let default = Self::default();
        let connections = s.optional("max_connections", integer(1, u32::MAX.into()));
        Self {
            max_connections: connections
                .and_then(|n| u32::try_from(n).ok())
                .unwrap_or(default.max_connections),
            max_body_bytes: s.value(
                "max_body_bytes",
                default.max_body_bytes,
                integer(1, 1 << 40),
            ),
            header_timeout: s.value("header_timeout", default.header_timeout, positive_duration),
            idle_timeout: s.value("idle_timeout", default.idle_timeout, positive_duration),
            drain_timeout: s.value("drain_timeout", default.drain_timeout, positive_duration),
        }
    }
}
