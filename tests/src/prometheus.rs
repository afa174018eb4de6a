//! Debian's Prometheus as a real process that scrapes the gateway.

use crate::client::Client;
use crate::gateway::free_port;
use crate::patience::poll;
use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::process::{Child, Command, Output, Stdio};
use tempfile::TempDir;

/// One series of an answer: labels (with `__name__`) and its (time, value) points.
#[derive(Clone, Debug)]
pub struct Found {
    /// Its labels.
    pub labels: crate::exposition::Labels,
    /// Unix seconds and value; one point of an instant vector, all of a range.
    pub points: Vec<(f64, f64)>,
}

impl Found {
    /// The last value.
    #[must_use]
    pub fn value(&self) -> f64 {
        self.points
            .last()
            .expect("Prometheus sends no empty series")
            .1
    }
}

/// A running Prometheus; dropping it stops it.
pub struct Prometheus {
    child: Child,
    addr: SocketAddr,
    // Dropped after the process is gone.
    _dir: TempDir,
}

impl Prometheus {
    /// Starts it, scraping `target` each second as job `coo-llm`, and waits until it serves.
    ///
    /// # Panics
    /// If `prometheus` is not installed or does not start.
    #[must_use]
    pub fn start(target: SocketAddr) -> Self {
        Self::start_with(target, &[])
    }

    /// The same with feature flags, which decide in what format it asks for metrics.
    ///
    /// # Panics
    /// As [`Self::start`].
    #[must_use]
    pub fn start_with(target: SocketAddr, features: &[&str]) -> Self {
        let dir = TempDir::with_prefix("coo-llm-prometheus-").expect("a temporary folder");
        let config = dir.path().join("prometheus.yml");
        let text = format!(
            "global: {{ scrape_interval: 1s, scrape_timeout: 1s }}\n\
             scrape_configs:\n  - job_name: coo-llm\n    metrics_path: /metrics\n    \
             static_configs: [{{ targets: [\"{target}\"] }}]\n"
        );
        fs::write(&config, text).expect("the folder is writable");
        let addr = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()));
        let child = Command::new("prometheus")
            .arg(format!("--config.file={}", config.display()))
            .arg(format!(
                "--storage.tsdb.path={}",
                dir.path().join("data").display()
            ))
            .arg(format!("--web.listen-address={addr}"))
            .args(["--log.level=warn"])
            .arg(format!("--enable-feature={}", features.join(",")))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .expect("Debian's package prometheus is installed (cargo xtask test installs it)");
        let mut prometheus = Self {
            child,
            addr,
            _dir: dir,
        };
        poll("Prometheus to be ready", || {
            let ended = prometheus.child.try_wait().expect("our own child");
            assert!(ended.is_none(), "Prometheus ended: {ended:?}");
            let reply = Client::new(addr).request("GET", "/-/ready", &[], b"");
            reply.ok().filter(|reply| reply.status == 200)
        });
        prometheus
    }

    /// Evaluates PromQL at `time` (unix seconds), or now.
    ///
    /// # Panics
    /// If Prometheus finds the expression wrong.
    #[must_use]
    pub fn query(&self, promql: &str, time: Option<f64>) -> Vec<Found> {
        let mut path = format!("/api/v1/query?query={}", percent(promql));
        if let Some(time) = time {
            write!(path, "&time={time:.3}").expect("writing to a String cannot fail");
        }
        let reply = Client::new(self.addr).get(&path).json();
        assert_eq!(reply["status"], "success", "{promql}: {reply}");
        let result = reply["data"]["result"].as_array();
        let result = result.expect("an instant vector or a range");
        result.iter().map(found).collect()
    }
}

impl Prometheus {
    /// The request ids of the exemplars of a series, with their values.
    ///
    /// # Panics
    /// If Prometheus finds the expression wrong.
    #[must_use]
    pub fn exemplars(&self, promql: &str) -> Vec<(String, f64)> {
        let query = percent(promql);
        let path = format!("/api/v1/query_exemplars?query={query}&start=0&end=32503680000");
        let reply = Client::new(self.addr).get(&path).json();
        assert_eq!(reply["status"], "success", "{promql}: {reply}");
        let series = reply["data"].as_array().expect("a list of series");
        let all = series
            .iter()
            .filter_map(|series| series["exemplars"].as_array())
            .flatten();
        let pair = |exemplar: &serde_json::Value| {
            let id = exemplar["labels"]["request_id"]
                .as_str()
                .expect("our label");
            let value = exemplar["value"].as_str().expect("text").parse();
            (id.to_owned(), value.expect("a float"))
        };
        all.map(pair).collect()
    }
}

fn found(series: &serde_json::Value) -> Found {
    let labels = series["metric"].as_object().expect("a series has labels");
    let text = |v: &serde_json::Value| v.as_str().expect("text").to_owned();
    let point = |v: &serde_json::Value| {
        let value = text(&v[1]).parse().expect("values are floats");
        (v[0].as_f64().expect("times are numbers"), value)
    };
    let points = match series["values"].as_array() {
        Some(values) => values.iter().map(point).collect(),
        None => vec![point(&series["value"])],
    };
    Found {
        labels: labels.iter().map(|(n, v)| (n.clone(), text(v))).collect(),
        points,
    }
}

fn percent(text: &str) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() {
            out.push(byte.into());
        } else {
            write!(out, "%{byte:02X}").expect("writing to a String cannot fail");
        }
    }
    out
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        // Killing what has ended already is no failure.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Runs `promtool check metrics` on a page.
///
/// # Panics
/// If `promtool` is not installed.
#[must_use]
pub fn promtool_check_metrics(page: &str) -> Output {
    let mut child = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("Debian's package prometheus is installed (cargo xtask test installs it)");
    let mut stdin = child.stdin.take().expect("stdin is a pipe");
    stdin
        .write_all(page.as_bytes())
        .expect("promtool reads its input");
    drop(stdin);
    child.wait_with_output().expect("promtool ends")
}
