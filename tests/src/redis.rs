//! Debian's Redis as a real process, and its own `redis-cli` to read it.

use crate::authority::Leaf;
use crate::gateway::free_port;
use crate::patience::poll;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::process::{Child, Command, Stdio};
use tempfile::TempDir;

/// A running Redis; dropping it kills it. Its append-only file goes to the disk each second.
pub struct Redis {
    child: Child,
    port: u16,
    options: Vec<String>,
    cli: Vec<String>,
    // Dropped after the process is gone.
    dir: TempDir,
}

/// A hash, as `redis-cli` reads it.
pub type Hash = BTreeMap<String, u64>;

impl Redis {
    /// Starts an empty one.
    ///
    /// # Panics
    /// If `redis-server` is not installed or does not start.
    #[must_use]
    pub fn start() -> Self {
        Self::start_with(&[])
    }

    /// The same, with further options such as `--requirepass`.
    ///
    /// # Panics
    /// As [`Self::start`].
    #[must_use]
    pub fn start_with(options: &[&str]) -> Self {
        let dir = TempDir::with_prefix("coo-llm-redis-").expect("a temporary folder");
        Self::launch(dir, free_port(), options, &[])
    }

    /// One that speaks TLS alone.
    ///
    /// # Panics
    /// As [`Self::start`].
    #[must_use]
    pub fn start_tls(leaf: &Leaf, ca_pem: &str) -> Self {
        let dir = TempDir::with_prefix("coo-llm-redis-").expect("a temporary folder");
        let file = |name: &str, pem: &str| {
            let path = dir.path().join(name);
            fs::write(&path, pem).expect("the folder is writable");
            path.to_str().expect("a path in UTF-8").to_owned()
        };
        let cert = file("cert.pem", &leaf.cert);
        let key = file("key.pem", &leaf.key);
        let ca = file("ca.pem", ca_pem);
        let port = free_port();
        let tls_port = port.to_string();
        let options = [
            ["--tls-port", &tls_port],
            ["--tls-cert-file", &cert],
            ["--tls-key-file", &key],
            ["--tls-ca-cert-file", &ca],
            ["--tls-auth-clients", "no"],
        ];
        Self::launch(dir, port, &options.concat(), &["--tls", "--cacert", &ca])
    }

    fn launch(dir: TempDir, port: u16, options: &[&str], cli: &[&str]) -> Self {
        let own = |list: &[&str]| list.iter().map(ToString::to_string).collect::<Vec<_>>();
        let options = own(options);
        let child = spawn(&dir, port, &options);
        let redis = Self {
            child,
            port,
            options,
            cli: own(cli),
            dir,
        };
        redis.wait();
        redis
    }

    /// Its address, as a configuration has it.
    #[must_use]
    pub fn addr(&self) -> String {
        self.socket().to_string()
    }

    /// Its address.
    #[must_use]
    pub fn socket(&self) -> SocketAddr {
        SocketAddr::from((Ipv4Addr::LOCALHOST, self.port))
    }

    /// A file of its folder.
    #[must_use]
    pub fn file(&self, name: &str) -> std::path::PathBuf {
        self.dir.path().join(name)
    }

    /// Kills it with SIGKILL.
    ///
    /// # Panics
    /// If it cannot be waited for.
    pub fn kill(&mut self) {
        // Killing what has ended already is no failure.
        drop(self.child.kill());
        self.child.wait().expect("our own child");
    }

    /// Stops it where it is: connections stay, and nothing answers.
    pub fn freeze(&self) {
        self.signal(Signal::STOP);
    }

    /// Goes on.
    pub fn thaw(&self) {
        self.signal(Signal::CONT);
    }

    fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        let sent = kill_process(pid.expect("a child's pid is positive"), signal);
        sent.expect("our own child takes signals");
    }

    /// Starts it again on its port and its files.
    pub fn restart(&mut self) {
        self.kill();
        self.child = spawn(&self.dir, self.port, &self.options);
        self.wait();
    }

    fn wait(&self) {
        poll("Redis to answer", || {
            let answer = self.try_cli(&["PING"]);
            // One that asks who we are answers, too.
            answer.filter(|it| it.contains("PONG") || it.contains("NOAUTH"))
        });
    }

    fn try_cli(&self, arguments: &[&str]) -> Option<String> {
        let output = Command::new("redis-cli")
            // -c: where a node of a cluster says that another one has the key, that one is asked.
            .args(["-c", "-p", &self.port.to_string()])
            .args(&self.cli)
            .args(arguments)
            .stdin(Stdio::null())
            .output()
            .expect("Debian's package redis-server is installed (cargo xtask test installs it)");
        let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        output.status.success().then_some(text)
    }

    /// What `redis-cli` says.
    ///
    /// # Panics
    /// If it does not reach it.
    #[must_use]
    pub fn cli(&self, arguments: &[&str]) -> String {
        let answer = self.try_cli(arguments);
        answer.unwrap_or_else(|| unreachable!("{arguments:?} has no answer"))
    }

    /// Tells it something, to which the answer must be OK.
    ///
    /// # Panics
    /// If it is not.
    pub fn tell(&self, arguments: &[&str]) {
        assert_eq!(self.cli(arguments), "OK", "{arguments:?}");
    }

    /// What `redis-cli --json` says.
    ///
    /// # Panics
    /// If it is no JSON.
    #[must_use]
    pub fn json(&self, arguments: &[&str]) -> Value {
        let mut all = vec!["--json"];
        all.extend(arguments);
        let text = self.cli(&all);
        serde_json::from_str(&text).unwrap_or_else(|why| unreachable!("{why}: {text}"))
    }

    /// A hash of numbers; empty where there is none.
    ///
    /// # Panics
    /// If the key has something else.
    #[must_use]
    pub fn hash(&self, key: &str) -> Hash {
        let answer = self.json(&["HGETALL", key]);
        let fields = answer
            .as_object()
            .unwrap_or_else(|| unreachable!("{key}: {answer}"));
        let number = |value: &Value| value.as_str().and_then(|text| text.parse().ok());
        let pair = |(name, value): (&String, &Value)| {
            let n = number(value).unwrap_or_else(|| unreachable!("{key} {name}: {value}"));
            (name.clone(), n)
        };
        fields.iter().map(pair).collect()
    }

    /// The instances that write here, as hex digits.
    ///
    /// # Panics
    /// If the list is no hash.
    #[must_use]
    pub fn instances(&self) -> Vec<String> {
        let list = self.json(&["HGETALL", "coo:instances"]);
        let list = list.as_object().expect("a hash");
        list.keys().cloned().collect()
    }
}

fn spawn(dir: &TempDir, port: u16, options: &[String]) -> Child {
    let is_tls = options.iter().any(|option| option == "--tls-port");
    let plain = if is_tls { 0 } else { port };
    Command::new("redis-server")
        .args(["--port", &plain.to_string(), "--bind", "127.0.0.1"])
        .args(["--dir", dir.path().to_str().expect("a path in UTF-8")])
        .args(["--save", "", "--appendonly", "yes"])
        .args(["--appendfsync", "everysec", "--logfile", "redis.log"])
        .args(options)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .expect("Debian's package redis-server is installed (cargo xtask test installs it)")
}

impl Drop for Redis {
    fn drop(&mut self) {
        self.kill();
    }
}
