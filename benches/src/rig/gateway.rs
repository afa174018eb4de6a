//! The gateway under measurement: a release build, one worker, no log of requests.

use super::cores::{self, MEASURED};
use super::process::Process;
use super::upstream::Served;
use super::{CLIENT_KEY, Outcome, PROVIDER_KEY};
use coo_llm_tests::client::Client;
use coo_llm_tests::exposition::Exposition;
use coo_llm_tests::gateway::{free_port, workspace};
use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// How long it may take to start: long, as it may run under valgrind.
const START_MAX: Duration = Duration::from_secs(60);
/// How long the last records of a load may take to appear.
const SETTLE_MAX: Duration = Duration::from_secs(10);

/// Builds the gateway in release mode, with or without recording; returns a copy's path.
///
/// # Errors
/// Where it does not build.
pub fn build(into: &Path, records: bool) -> Outcome<PathBuf> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let target = std::env::var_os("CARGO_TARGET_DIR").map(PathBuf::from);
    let target = target.unwrap_or_else(|| workspace().join("target"));
    let mut command = Command::new(cargo);
    command
        .args(["build", "--release", "--locked", "--package", "coo-llm"])
        .current_dir(workspace());
    if !records {
        command.args(["--features", "without-recording"]);
    }
    let status = command
        .status()
        .map_err(|error| format!("cargo: {error}"))?;
    if !status.success() {
        return Err("the gateway does not build".to_owned());
    }
    let copy = into.join(if records { "with" } else { "without" });
    let copied = fs::copy(target.join("release/coo-llm"), &copy);
    copied.map_err(|error| format!("the built gateway: {error}"))?;
    Ok(copy)
}

/// What runs the gateway.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Under {
    /// Nothing.
    Itself,
    /// Valgrind's callgrind, which counts instructions.
    Callgrind,
}

/// What the worker runs on, as the configuration names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RunsOn<'a> {
    /// `server.runtime`.
    pub runtime: &'a str,
    /// `server.driver`.
    pub driver: &'a str,
}

impl RunsOn<'static> {
    /// What the gateway picks by itself.
    pub const AUTO: Self = Self {
        runtime: "auto",
        driver: "auto",
    };
}

/// What it does beside passing requests on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Duties {
    /// No prices, no limits, no budget. It still asks for a client's key, which cannot be left out.
    None,
    /// Prices.
    Prices,
    /// Prices, limits of the client and of the provider's key, a budget; none of them is ever met.
    All,
}

/// How a gateway is set up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Setup<'a> {
    /// The model that it lists.
    pub model: &'a str,
    /// What its worker runs on.
    pub on: RunsOn<'a>,
    /// What runs it.
    pub under: Under,
    /// What it does.
    pub duties: Duties,
    /// Its `policy`, in flow style.
    pub policy: &'a str,
    /// Whether it keeps a history, as it does by default.
    pub history: bool,
}

impl<'a> Setup<'a> {
    /// With prices, on what it picks.
    #[must_use]
    pub fn usual(model: &'a str) -> Self {
        Self {
            model,
            on: RunsOn::AUTO,
            under: Under::Itself,
            duties: Duties::Prices,
            policy: "{}",
            history: true,
        }
    }
}

/// A running gateway.
#[derive(Debug)]
pub struct Gateway {
    /// Where it listens.
    pub addr: SocketAddr,
    /// Its process.
    pub process: Process,
    /// Its folder, with its log.
    pub dir: TempDir,
}

const PRICING: &str = "        pricing: { input_per_million: 0.15, output_per_million: 0.60 }\n";

/// Its configuration: one worker, one provider with one model, one client.
fn yaml(port: u16, upstream: &str, setup: &Setup<'_>) -> String {
    let Setup {
        model, on, policy, ..
    } = setup;
    let RunsOn { runtime, driver } = on;
    let limits = "limits: { req_per_min: 1000000000, tokens_per_min: 1000000000000 }";
    let (pricing, key_limits, client_limits) = match setup.duties {
        Duties::None => ("", String::new(), String::new()),
        Duties::Prices => (PRICING, String::new(), String::new()),
        Duties::All => (
            PRICING,
            format!("    {limits}\n"),
            format!("    {limits}\n    budget: {{ usd: 1000000.00, per: month, action: block }}\n"),
        ),
    };
    let storage = if setup.history {
        ""
    } else {
        "storage: { history: { enabled: false } }\n"
    };
    format!(
        r#"version: "1.0"
server:
  listen: "127.0.0.1:{port}"
  admin_api_key: "admin-key-of-the-benches-0123456789"
  workers: 1
  runtime: {runtime}
  driver: {driver}
logging:
  level: warn
llm_providers:
  - id: acme
    type: custom
    base_url: "http://{upstream}/v1"
    api_keys: ["{PROVIDER_KEY}"]
    models:
      - id: {model}
{pricing}{key_limits}api_keys:
  - id: bench
    key: "{CLIENT_KEY}"
    allowed_providers: ["*"]
{client_limits}{storage}policy: {policy}
"#
    )
}

impl Gateway {
    /// Starts an executable on the measured core, in front of `upstream` (host:port).
    ///
    /// # Errors
    /// Where it does not become ready.
    pub fn start(binary: &Path, upstream: &str, setup: &Setup<'_>) -> Outcome<Self> {
        let failed = |error: std::io::Error| format!("the gateway's folder: {error}");
        let dir = TempDir::with_prefix("coo-llm-bench-").map_err(failed)?;
        let port = free_port();
        let file = dir.path().join("coo-llm.yaml");
        fs::write(&file, yaml(port, upstream, setup)).map_err(failed)?;
        let log = File::create(dir.path().join("stderr")).map_err(failed)?;
        let mut command = match setup.under {
            Under::Itself => cores::command_on(MEASURED, &binary.to_string_lossy()),
            Under::Callgrind => {
                let mut command = cores::command_on(MEASURED, "valgrind");
                command
                    .args(["--tool=callgrind", "--callgrind-out-file=callgrind.out"])
                    .arg(binary);
                command
            }
        };
        command
            .args(["serve", "--config"])
            .arg(&file)
            .current_dir(dir.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log);
        let process = Process::start(&mut command)?;
        let addr = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let mut gateway = Self { addr, process, dir };
        let deadline = Instant::now() + START_MAX;
        while gateway
            .page("/ready")
            .is_none_or(|(status, _)| status != 200)
        {
            let ended = gateway.process.child().try_wait();
            if !matches!(ended, Ok(None)) || Instant::now() > deadline {
                let log = fs::read_to_string(gateway.dir.path().join("stderr"));
                return Err(format!("the gateway does not start: {log:?}"));
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(gateway)
    }

    fn page(&self, path: &str) -> Option<(u16, String)> {
        let reply = Client::new(self.addr).request("GET", path, &[], b"").ok()?;
        Some((reply.status, reply.text().to_owned()))
    }

    /// Requests and tokens by its `/metrics`, once there are `requests` of them.
    ///
    /// # Errors
    /// Where the page cannot be read, or the requests do not come.
    pub fn counted(&self, requests: u64) -> Outcome<Served> {
        self.counted_of(&[("provider", "acme")], requests)
    }

    /// The same of all requests, those that reached no provider included.
    ///
    /// # Errors
    /// As [`Self::counted`].
    pub fn counted_in_all(&self, requests: u64) -> Outcome<Served> {
        self.counted_of(&[], requests)
    }

    fn counted_of(&self, labels: &[(&str, &str)], requests: u64) -> Outcome<Served> {
        let deadline = Instant::now() + SETTLE_MAX;
        loop {
            let (_, text) = self.page("/metrics").ok_or("no /metrics")?;
            let page = Exposition::parse(&text).map_err(|why| why.to_string())?;
            let counted = Served {
                requests: page.count("coo_llm_requests_total", labels),
                tokens: page.count("coo_llm_tokens_total", labels),
            };
            if counted.requests >= requests || Instant::now() > deadline {
                return Ok(counted);
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}
