//! `server`: listeners, workers, admin access, limits.

use crate::address_range::AddressRange;
use crate::reader::Section;
use crate::scalar::{
    Wrong, boolean, id, integer, listen_address, non_empty, origin, positive_duration,
};
use crate::secret::Secret;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

/// The most data-plane threads that can be asked for.
const WORKERS_MAX: u64 = 1024;

/// The most requests a minute that an address of the admin API can be allowed.
const ADMIN_REQ_PER_MIN_MAX: u64 = 10_000;

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
    /// What is kept beside the history: the key of tokens, the audit trail. `None`: nothing is.
    pub data_dir: Option<PathBuf>,
    /// Requests a minute that an address may send to the admin API; `None`: any number.
    pub admin_req_per_min: Option<u32>,
    /// Whose `X-Forwarded-For` is believed by the control plane.
    pub trusted_proxies: Vec<AddressRange>,
    /// The audit trail.
    pub audit: Audit,
}

/// The audit trail, in the folder `audit` of `data_dir`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Audit {
    /// MiB of a file, after which the next one begins.
    pub max_size_mb: u64,
    /// Full files that are kept.
    pub max_files: u32,
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
    /// Who else may log in; their ids are unique, and none is `admin_id`.
    pub users: Vec<User>,
    /// How long a login lasts.
    pub session_lifetime: Duration,
}

/// Somebody who may log in.
#[derive(Clone, Debug, PartialEq)]
pub struct User {
    /// The name to log in with.
    pub id: String,
    /// An argon2id hash in PHC form.
    pub password_hash: Option<Secret>,
    /// What they may do.
    pub role: Role,
}

/// What somebody may do in the admin API.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Everything.
    Admin,
    /// Read.
    Viewer,
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
            data_dir: Some("./data".into()),
            admin_req_per_min: Some(100),
            trusted_proxies: Vec::new(),
            audit: Audit::default(),
        }
    }
}

impl Default for Audit {
    fn default() -> Self {
        Self {
            max_size_mb: 64,
            max_files: 100,
        }
    }
}

impl Default for WebUi {
    fn default() -> Self {
        Self {
            enabled: true,
            admin_id: "admin".into(),
            admin_password_hash: None,
            users: Vec::new(),
            session_lifetime: Duration::from_secs(8 * 3600),
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
            data_dir: s.value("data_dir", default.data_dir, data_dir),
            admin_req_per_min: s.value(
                "admin_req_per_min",
                default.admin_req_per_min,
                admin_req_per_min,
            ),
            trusted_proxies: s
                .items("trusted_proxies")
                .iter()
                .filter_map(|range| range.parse(AddressRange::parse))
                .collect(),
            audit: s.section("audit", Audit::read),
        }
    }
}

/// A folder, or the word that says that there is none.
fn data_dir(text: &str) -> Result<Option<PathBuf>, Wrong> {
    if text == "none" {
        return Ok(None);
    }
    non_empty(text).map(|path| Some(path.into()))
}

fn admin_req_per_min(text: &str) -> Result<Option<u32>, Wrong> {
    if text == "none" {
        return Ok(None);
    }
    let count = integer(1, ADMIN_REQ_PER_MIN_MAX)(text).ok();
    let count = count.and_then(|n| u32::try_from(n).ok());
    count.map(Some).ok_or_else(|| {
        format!("is neither none nor a whole number from 1 to {ADMIN_REQ_PER_MIN_MAX}")
    })
}

impl Audit {
    fn read(s: &Section<'_>) -> Self {
        let default = Self::default();
        let files = s.optional("max_files", integer(1, 1_000_000));
        Self {
            max_size_mb: s.value("max_size_mb", default.max_size_mb, integer(1, 1 << 20)),
            max_files: files
                .and_then(|n| u32::try_from(n).ok())
                .unwrap_or(default.max_files),
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
        let users = s.items("users");
        let users: Vec<_> = users.iter().map(|user| user.section(User::read)).collect();
        let admin_id = s.value("admin_id", default.admin_id, non_empty);
        for (index, user) in users.iter().enumerate().filter(|(_, u)| !u.id.is_empty()) {
            let taken = user.id == admin_id || users[..index].iter().any(|u| u.id == user.id);
            if taken {
                let message = format!("`{}` is somebody's id already; choose another", user.id);
                s.complain(&format!("users[{index}].id"), message);
            }
        }
        Self {
            enabled: s.value("enabled", default.enabled, boolean),
            admin_id,
            admin_password_hash: password_hash(s, "admin_password_hash"),
            users,
            session_lifetime: s.value(
                "session_lifetime",
                default.session_lifetime,
                session_lifetime,
            ),
        }
    }
}

impl User {
    fn read(s: &Section<'_>) -> Self {
        let password_hash = password_hash(s, "password_hash");
        if password_hash.is_none() {
            s.missing("password_hash", "make one with `coo-llm hash-password`");
        }
        let words = [("admin", Role::Admin), ("viewer", Role::Viewer)];
        Self {
            id: s.required("id", "name the user", id).unwrap_or_default(),
            password_hash,
            role: s.choice("role", Role::Viewer, &words),
        }
    }
}

fn password_hash(s: &Section<'_>, key: &'static str) -> Option<Secret> {
    let hash = s.secret(key)?;
    if !hash.expose().starts_with("$argon2id$") {
        s.complain(
            key,
            "is not an argon2id hash; make one with `coo-llm hash-password`",
        );
    }
    Some(hash)
}

/// A token that lives longer than a month is a key.
fn session_lifetime(text: &str) -> Result<Duration, Wrong> {
    let lifetime = positive_duration(text)?;
    let bounds = Duration::from_secs(60)..=Duration::from_secs(30 * 86_400);
    if bounds.contains(&lifetime) {
        Ok(lifetime)
    } else {
        Err("is not a time from 1m to 30d".into())
    }
}

impl Cors {
    fn read(s: &Section<'_>) -> Self {
        let origins = s.items("allowed_origins");
        Self {
            enabled: s.value("enabled", false, boolean),
            allowed_origins: origins
                .iter()
                .filter_map(|field| field.parse(origin))
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
