//! InfluxDB (1.6, its v1 API) and VictoriaMetrics (the v2 API) beside `/metrics`.
//!
//! Needs the built gateway, `influxd` and `victoria-metrics`.

use coo_llm_tests::gateway::{Config, Gateway};
use coo_llm_tests::influx::Server;
use coo_llm_tests::rig::{self, CLIENT, MODEL, PROVIDER, Rig};
use coo_llm_tests::upstream::{Script, Upstream};
use std::path::Path;

/// A history in a folder, and a sink.
fn storage(folder: &Path, sink: &str) -> String {
    let file = folder.join("history.db");
    let (file, spool) = (file.display(), folder.join("spool"));
    format!(
        "storage: {{ flush_interval: 1s, history: {{ path: \"{file}\" }}, \
         spool: {{ path: \"{}\" }}, runtime: {{ {sink} }} }}",
        spool.display()
    )
}

fn v1(server: &Server) -> String {
    format!("type: influxdb, addr: \"{}\", bucket: coo", server.url())
}

/// The sums over all points, and those of failures.
fn sums(server: &Server) -> [u64; 6] {
    let usage = server.influxql(
        "SELECT sum(requests), sum(errors), sum(input), sum(output), sum(cost_nano_usd) FROM coo_llm_usage",
    );
    let errors = server.influxql("SELECT sum(requests) FROM coo_llm_errors");
    let whole = |n: &Option<f64>| n.map_or(0, |n| n as u64);
    let usage = usage
        .first()
        .map_or_else(Vec::new, |row| row.iter().map(whole).collect());
    let errors = errors.first().map_or(0, |row| whole(&row[0]));
    let mut all = [0; 6];
    all[..usage.len()].copy_from_slice(&usage);
    all[5] = errors;
    all
}

/// The same from `/metrics`.
fn of_metrics(gateway: &Gateway) -> [u64; 6] {
    let page = gateway.metrics();
    let tokens = |kind| page.count("coo_llm_tokens_total", &[("type", kind)]);
    [
        page.count("coo_llm_requests_total", &[]),
        page.count("coo_llm_errors_total", &[]),
        tokens("input"),
        tokens("output"),
        page.nano_usd("coo_llm_cost_total", &[]),
        page.count("coo_llm_errors_total", &[]),
    ]
}

fn plus(a: [u64; 6], b: [u64; 6]) -> [u64; 6] {
    std::array::from_fn(|at| a[at] + b[at])
}

struct Run {
    folder: tempfile::TempDir,
    upstream: Upstream,
    sink: String,
}

impl Run {
    fn new(sink: String) -> Self {
        Self {
            folder: tempfile::TempDir::new().expect("a temporary folder"),
            upstream: Upstream::builder()
                .keys(&[rig::PROVIDER_KEY])
                .models(&[MODEL])
                .start(),
            sink,
        }
    }

    fn start(&self) -> Rig {
        let config = Config {
            top: vec![storage(self.folder.path(), &self.sink)],
            ..rig::config(&self.upstream.base_url())
        };
        Rig {
            upstream: Upstream::builder().start(),
            gateway: Gateway::start(&config),
        }
    }
}

fn traffic(rig: &mut Rig, n: u64) {
    let script = Script::default();
    let failing = Script {
        status: Some(500),
        ..Script::default()
    };
    for at in 0..n {
        let reply = match at % 3 {
            0 => rig.chat(&rig::chat(&script)),
            1 => rig.chat(&rig::stream(&script)),
            _ => rig.chat(&rig::chat(&failing)),
        };
        assert_eq!(reply.status, if at % 3 == 2 { 500 } else { 200 });
    }
}

/// What `/metrics` said when the traffic was over; the stop sends what is left.
fn stop(mut rig: Rig) -> [u64; 6] {
    let said = of_metrics(&rig.gateway);
    rig.gateway.terminate();
    assert_eq!(rig.gateway.wait().code(), Some(0));
    said
}

#[test]
fn a_store_has_what_metrics_say_by_every_name() {
    let mut server = Server::influxdb();
    server.start();
    let _made = server.influxql("CREATE DATABASE coo");
    let run = Run::new(v1(&server));
    let mut rig = run.start();
    traffic(&mut rig, 9);
    // Its ten seconds pass: no stop is needed.
    let page = rig.gateway.metrics_when("rows in the store", |page| {
        page.count("coo_llm_sink_rows_total", &[("sink", "influxdb")]) > 0
    });
    assert_eq!(page.count("coo_llm_sink_up", &[("sink", "influxdb")]), 1);
    let said = stop(rig);
    assert_eq!(sums(&server), said);
    let names = server.influxql(&format!(
        "SELECT sum(requests) FROM coo_llm_usage WHERE client_id = '{CLIENT}' AND provider = '{PROVIDER}' \
         AND model = '{MODEL}' AND \"key\" = '{}'",
        rig::provider_key_id()
    ));
    assert_eq!(names, [[Some(said[0] as f64)]]);
}

#[test]
fn a_store_that_is_away_or_killed_has_everything_afterwards() {
    let mut server = Server::influxdb();
    let run = Run::new(v1(&server));
    // Away at the start, and until the end.
    let mut rig = run.start();
    traffic(&mut rig, 6);
    let _page = rig.gateway.metrics_when("a failure", |page| {
        page.count(
            "coo_llm_sink_failures_total",
            &[("sink", "influxdb"), ("reason", "connect")],
        ) > 0
    });
    let mut said = stop(rig);
    // There, without the database: nothing is lost by that either.
    server.start();
    let mut rig = run.start();
    traffic(&mut rig, 3);
    let page = rig.gateway.metrics_when("a refusal", |page| {
        page.count(
            "coo_llm_sink_failures_total",
            &[("sink", "influxdb"), ("reason", "refused")],
        ) > 0
    });
    assert_eq!(page.count("coo_llm_sink_set_aside_rows_total", &[]), 0);
    let _made = server.influxql("CREATE DATABASE coo");
    // Killed while rows come.
    for _ in 0..3 {
        traffic(&mut rig, 30);
        server.kill();
        traffic(&mut rig, 3);
        server.start();
    }
    said = plus(said, stop(rig));
    let rig = run.start();
    let gateway = &rig.gateway;
    let _page = gateway.metrics_when("no lag", |page| {
        page.count("coo_llm_sink_up", &[("sink", "influxdb")]) == 1
    });
    said = plus(said, stop(rig));
    assert_eq!(sums(&server), said);
}

#[test]
fn the_v2_api_takes_the_same_rows() {
    let mut server = Server::victoria_metrics();
    server.start();
    let run = Run::new(format!(
        "type: influxdb, addr: \"{}\", org: acme, bucket: coo, token: t0ken",
        server.url()
    ));
    let mut rig = run.start();
    traffic(&mut rig, 9);
    let said = stop(rig);
    let now = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .expect("after 1970")
        .as_secs();
    let names = ["requests", "errors", "input", "output", "cost_nano_usd"];
    let sum = |name: &str| {
        let expression = format!("sum(sum_over_time(coo_llm_usage_{name}[1h]))");
        server.metricsql(&expression, now + 60)
    };
    server.flush();
    for (name, said) in names.iter().zip(said) {
        assert_eq!(sum(name) as u64, said, "{name}");
    }
}
