//! Debian's InfluxDB 1.6 and VictoriaMetrics as real processes.

use crate::client::Client;
use crate::gateway::free_port;
use crate::patience::poll;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use tempfile::TempDir;

/// A server that has a folder and a port of its own, and may be killed and started again.
pub struct Server {
    dir: TempDir,
    addr: SocketAddr,
    child: Option<Child>,
    command: fn(&Server) -> Command,
    ping: &'static str,
}

impl Server {
    /// InfluxDB 1.6, not started yet.
    ///
    /// # Panics
    /// If there is no temporary folder.
    #[must_use]
    pub fn influxdb() -> Self {
        Self::new(influxd, "/ping")
    }

    /// VictoriaMetrics, not started yet.
    ///
    /// # Panics
    /// If there is no temporary folder.
    #[must_use]
    pub fn victoria_metrics() -> Self {
        Self::new(victoria_metrics, "/health")
    }

    fn new(command: fn(&Self) -> Command, ping: &'static str) -> Self {
        Self {
            dir: TempDir::with_prefix("coo-llm-influx-").expect("a temporary folder"),
            addr: SocketAddr::from((Ipv4Addr::LOCALHOST, free_port())),
            child: None,
            command,
            ping,
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Starts it, with what it had, and waits until it serves.
    ///
    /// # Panics
    /// If it is not installed or does not start.
    pub fn start(&mut self) {
        let child = (self.command)(self)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("Debian's package is installed (cargo xtask test installs it)");
        self.child = Some(child);
        let (addr, ping) = (self.addr, self.ping);
        poll("the store to be ready", || {
            let reply = Client::new(addr).request("GET", ping, &[], b"");
            reply.ok().filter(|reply| reply.status < 300)
        });
    }

    /// `kill -9`.
    ///
    /// # Panics
    /// If it does not run.
    pub fn kill(&mut self) {
        let mut child = self.child.take().expect("it runs");
        child.kill().expect("our own child");
        child.wait().expect("our own child");
    }

    /// Its base URL.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.addr)
    }

    /// Where it listens.
    #[must_use]
    pub const fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Runs InfluxQL; the first number of the first row of each series, after its time.
    ///
    /// # Panics
    /// If the store finds it wrong.
    #[must_use]
    pub fn influxql(&self, query: &str) -> Vec<Vec<Option<f64>>> {
        let path = format!("/query?db=coo&q={}", percent(query));
        let method = if query.starts_with("CREATE") {
            "POST"
        } else {
            "GET"
        };
        let reply = Client::new(self.addr)
            .request(method, &path, &[], b"")
            .expect("it answers");
        assert_eq!(reply.status, 200, "{query}: {}", reply.text());
        let reply = reply.json();
        let error = &reply["results"][0]["error"];
        assert!(error.is_null(), "{query}: {error}");
        let series = reply["results"][0]["series"].as_array();
        let rows = series.into_iter().flatten();
        let rows = rows.map(|series| {
            let values = series["values"][0].as_array().expect("a row");
            values[1..].iter().map(serde_json::Value::as_f64).collect()
        });
        rows.collect()
    }

    /// Has VictoriaMetrics show what it took.
    ///
    /// # Panics
    /// If it does not answer.
    pub fn flush(&self) {
        let reply = Client::new(self.addr).get("/internal/force_flush");
        assert_eq!(reply.status, 200);
    }

    /// Evaluates an expression of VictoriaMetrics at a time; the one value there is.
    ///
    /// # Panics
    /// If there is another number of series.
    #[must_use]
    pub fn metricsql(&self, expression: &str, time: u64) -> f64 {
        let query = percent(expression);
        let path = format!("/api/v1/query?query={query}&time={time}&nocache=1");
        let reply = Client::new(self.addr).get(&path).json();
        let series = reply["data"]["result"].as_array().expect("a vector");
        assert_eq!(series.len(), 1, "{expression}: {reply}");
        let value = series[0]["value"][1].as_str().expect("text");
        value.parse().expect("a number")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            drop(child.kill());
            drop(child.wait());
        }
    }
}

fn influxd(server: &Server) -> Command {
    let config = server.path("influxdb.conf");
    let folder = |name| server.path(name).display().to_string();
    let text = format!(
        "reporting-disabled = true\nbind-address = \"127.0.0.1:{}\"\n[meta]\n  dir = \"{}\"\n\
         [data]\n  dir = \"{}\"\n  wal-dir = \"{}\"\n  query-log-enabled = false\n\
         [http]\n  bind-address = \"{}\"\n  log-enabled = false\n\
         [monitor]\n  store-enabled = false\n",
        free_port(),
        folder("meta"),
        folder("data"),
        folder("wal"),
        server.addr
    );
    fs::write(&config, text).expect("the folder is writable");
    let mut command = Command::new("influxd");
    command.arg("-config").arg(config);
    command
}

fn victoria_metrics(server: &Server) -> Command {
    let mut command = Command::new("victoria-metrics");
    command
        .arg(format!(
            "-storageDataPath={}",
            server.path("data").display()
        ))
        .arg(format!("-httpListenAddr={}", server.addr))
        .arg("-search.latencyOffset=0s");
    command
}

fn percent(text: &str) -> String {
    let bytes = text.bytes();
    bytes
        .map(|byte| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' => char::from(byte).to_string(),
            byte => format!("%{byte:02X}"),
        })
        .collect()
}
