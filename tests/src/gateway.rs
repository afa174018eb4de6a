//! The gateway as a real process: started, watched, stopped.

mod binary;
mod config;
mod on;

pub use binary::{binary, workspace};
pub use config::{
    ADMIN_KEY, ClientKey, Config, ONE_ATTEMPT, Pricing, Provider, TLS_CA, TLS_CERT, TLS_KEY,
};
pub use on::{Pair, runs_on};

use crate::authority;
use crate::client::{Client, Reply};
use crate::exposition::Exposition;
use crate::patience::{PATIENCE, POLL, poll};
use rustix::process::{Pid, Signal, kill_process};
use rustls::ClientConfig;
use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::Arc;
use std::time::Instant;
use tempfile::TempDir;

/// How often a start is tried with other ports when one was taken in between.
const STARTS_MAX: u32 = 4;

/// The exit code of INTERFACE.md for a port that is taken.
const COULD_NOT_START: i32 = 2;

/// A port of loopback that was free a moment ago.
///
/// # Panics
/// If there is none.
#[must_use]
pub fn free_port() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("loopback has free ports");
    let addr = listener
        .local_addr()
        .expect("a bound socket has an address");
    addr.port()
}

/// Runs the executable in a folder until it ends by itself.
///
/// # Panics
/// If it goes on; it is killed then.
#[must_use]
pub fn run(arguments: &[&str], folder: &Path) -> Output {
    let mut child = Command::new(binary())
        .args(arguments)
        .current_dir(folder)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the gateway's executable runs");
    let deadline = Instant::now() + PATIENCE;
    while child.try_wait().expect("our own child").is_none() {
        if Instant::now() > deadline {
            drop(child.kill());
            let output = child.wait_with_output();
            unreachable!("{arguments:?} does not end: {output:?}");
        }
        std::thread::sleep(POLL);
    }
    child.wait_with_output().expect("our own child")
}

/// A running gateway; dropping it kills it.
pub struct Gateway {
    child: Child,
    dir: TempDir,
    addr: SocketAddr,
    admin: SocketAddr,
    tls: Option<Arc<ClientConfig>>,
}

impl Gateway {
    /// Starts `serve` with a configuration and waits until it is ready.
    ///
    /// # Panics
    /// If it does not become ready; the message has its log.
    #[must_use]
    pub fn start(config: &Config) -> Self {
        Self::start_with(config, &[])
    }

    /// As [`Gateway::start`], with further environment variables.
    ///
    /// # Panics
    /// If it does not become ready; the message has its log.
    #[must_use]
    pub fn start_with(config: &Config, env: &[(&str, &str)]) -> Self {
        for _ in 1..STARTS_MAX {
            let (mut gateway, ended) = Self::spawn(config, env);
            match ended {
                None => return gateway.on_what_was_asked_for(),
                Some(status) if status.code() == Some(COULD_NOT_START) => gateway.stop(),
                Some(status) => unreachable!("ended with {status}:\n{}", gateway.log()),
            }
        }
        let (gateway, ended) = Self::spawn(config, env);
        assert!(ended.is_none(), "ended with {ended:?}:\n{}", gateway.log());
        gateway.on_what_was_asked_for()
    }

    /// A gateway that fell back would pass a suite that is about another runtime.
    fn on_what_was_asked_for(self) -> Self {
        if let Some(pair) = runs_on() {
            let page = self.metrics();
            let labels = [("runtime", pair.runtime), ("driver", pair.driver)];
            let runs = page.count("coo_llm_runtime_info", &labels);
            assert_eq!(runs, 1, "it is not on {pair:?}:\n{}", self.log());
        }
        self
    }

    /// Starts it and waits until it is ready or has ended.
    fn spawn(config: &Config, env: &[(&str, &str)]) -> (Self, Option<ExitStatus>) {
        let dir = TempDir::with_prefix("coo-llm-").expect("a temporary folder");
        let (port, admin_port) = (free_port(), free_port());
        let file = dir.path().join("coo-llm.yaml");
        fs::write(&file, config.yaml(port, admin_port)).expect("the folder is writable");
        if let Some((leaf, ca)) = &config.tls {
            for (name, pem) in [(TLS_CERT, &leaf.cert), (TLS_KEY, &leaf.key), (TLS_CA, ca)] {
                fs::write(dir.path().join(name), pem).expect("the folder is writable");
            }
        }
        let log = File::create(dir.path().join("stderr")).expect("the folder is writable");
        let child = Command::new(binary())
            .arg("serve")
            .arg("--config")
            .arg(&file)
            .current_dir(dir.path())
            .envs(env.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("the gateway's executable runs");
        let addr = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let admin = if config.own_admin_listener {
            admin_port
        } else {
            port
        };
        let mut gateway = Self {
            child,
            dir,
            addr,
            admin: SocketAddr::from((Ipv4Addr::LOCALHOST, admin)),
            tls: config
                .tls
                .as_ref()
                .map(|(_, ca)| authority::client_config(ca)),
        };
        let ended = poll("the gateway to be ready", || {
            if let Some(status) = gateway.child.try_wait().expect("our own child") {
                return Some(Some(status));
            }
            (gateway.ready() == Some(200)).then_some(None)
        });
        (gateway, ended)
    }

    /// The data plane's address.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// The control plane's address.
    #[must_use]
    pub fn admin(&self) -> SocketAddr {
        self.admin
    }

    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Its folder: the configuration is in `coo-llm.yaml`.
    #[must_use]
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// A new connection to the data plane.
    #[must_use]
    pub fn client(&self) -> Client {
        Client::new(self.addr).secured(self.tls.clone()).dialled()
    }

    /// A client of the control plane.
    fn control(&self) -> Client {
        Client::new(self.admin).secured(self.tls.clone())
    }

    /// The status of `/ready`; `None` where no one answers.
    #[must_use]
    pub fn ready(&self) -> Option<u16> {
        let reply = self.control().request("GET", "/ready", &[], b"");
        reply.ok().map(|reply| reply.status)
    }

    /// Gets a page of the control plane with the admin key.
    #[must_use]
    pub fn admin_get(&self, path: &str) -> Reply {
        let bearer = format!("Bearer {ADMIN_KEY}");
        let headers = [("authorization", bearer.as_str())];
        let reply = self.control().request("GET", path, &headers, b"");
        reply.expect("the control plane answers")
    }

    /// Sends a body to the control plane with the admin key.
    #[must_use]
    pub fn admin_send(&self, method: &str, path: &str, body: &str) -> Reply {
        let bearer = format!("Bearer {ADMIN_KEY}");
        let headers = [("authorization", bearer.as_str())];
        let reply = self
            .control()
            .request(method, path, &headers, body.as_bytes());
        reply.expect("the control plane answers")
    }

    /// A configuration's text, for the ports of this gateway.
    #[must_use]
    pub fn yaml(&self, config: &Config) -> String {
        config.yaml(self.addr.port(), self.admin.port())
    }

    /// Writes another configuration file in the place of its own, as an editor does: it is
    /// there whole or not at all.
    ///
    /// # Panics
    /// If the folder is not writable.
    pub fn write_config(&self, yaml: &str) {
        let (next, file) = (
            self.dir().join("next.yaml"),
            self.dir().join("coo-llm.yaml"),
        );
        fs::write(&next, yaml).expect("the folder is writable");
        fs::rename(next, file).expect("the folder is writable");
    }

    /// The text of `/metrics`.
    #[must_use]
    pub fn metrics_text(&self) -> String {
        let reply = self.control().get("/metrics");
        assert_eq!(reply.status, 200, "{}", reply.text());
        reply.text().to_owned()
    }

    /// `/metrics`, read strictly.
    #[must_use]
    pub fn metrics(&self) -> Exposition {
        let text = self.metrics_text();
        let page = Exposition::parse(&text);
        page.unwrap_or_else(|why| unreachable!("/metrics is malformed, {why}:\n{text}"))
    }

    /// `/metrics`, once it is as `done` says: a record follows the answer's last byte.
    #[must_use]
    pub fn metrics_when(&self, what: &str, done: impl Fn(&Exposition) -> bool) -> Exposition {
        poll(what, || Some(self.metrics()).filter(&done))
    }

    /// `/metrics`, once so many requests are in it.
    #[must_use]
    pub fn metrics_after(&self, requests: u64) -> Exposition {
        self.metrics_when("requests_total to reach what was sent", |page| {
            page.count("coo_llm_requests_total", &[]) >= requests
        })
    }

    /// What it wrote to stderr so far.
    #[must_use]
    pub fn log(&self) -> String {
        let bytes = fs::read(self.dir.path().join("stderr"));
        String::from_utf8_lossy(&bytes.expect("the launcher made the file")).into_owned()
    }

    /// Sends SIGTERM, as a service manager does.
    pub fn terminate(&self) {
        self.signal(Signal::TERM);
    }

    /// Sends SIGINT, as Ctrl-C does.
    pub fn interrupt(&self) {
        self.signal(Signal::INT);
    }

    /// Sends SIGHUP, which asks for a reload.
    pub fn hang_up(&self) {
        self.signal(Signal::HUP);
    }

    /// Stops its threads where they are; the kernel goes on accepting for it.
    pub fn pause(&self) {
        self.signal(Signal::STOP);
    }

    /// Lets a paused one go on.
    pub fn resume(&self) {
        self.signal(Signal::CONT);
    }

    fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        let sent = kill_process(pid.expect("a child's pid is positive"), signal);
        sent.expect("our own child takes signals");
    }

    /// Waits for its end.
    ///
    /// # Panics
    /// If it goes on.
    pub fn wait(&mut self) -> ExitStatus {
        let child = &mut self.child;
        poll("the gateway to end", || {
            child.try_wait().expect("our own child")
        })
    }

    fn stop(&mut self) {
        // Killing what has ended already is no failure.
        drop(self.child.kill());
        let ended = self.child.wait();
        ended.expect("our own child can be waited for");
    }
}

impl Drop for Gateway {
    #[expect(
        clippy::print_stderr,
        reason = "a failing test shows the gateway's log"
    )]
    fn drop(&mut self) {
        self.stop();
        if std::thread::panicking() {
            let log = self.log();
            let tail: Vec<&str> = log.lines().rev().take(40).collect();
            eprintln!("--- the gateway's log, its end ---");
            for line in tail.iter().rev() {
                eprintln!("{line}");
            }
        }
    }
}
