//! Every format of `/metrics` is read back by those it is made for: Debian's Prometheus,
//! with its features on, and the parsers of the Python client library.
//!
//! Needs the built gateway, `prometheus`, `python3` with venv, and PyPI on the first run.

use coo_llm_tests::client::Client;
use coo_llm_tests::exposition::Exposition;
use coo_llm_tests::gateway::{Gateway, workspace};
use coo_llm_tests::patience::poll;
use coo_llm_tests::prometheus::{Found, Prometheus};
use coo_llm_tests::python;
use coo_llm_tests::rig::{self, MODEL, PROVIDER, Rig};
use coo_llm_tests::upstream::Script;
use serde_json::Value;
use std::collections::BTreeMap;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io::{self, BufRead, BufReader, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::process::{Command, Stdio};
use std::thread;

/// Delays of the upstream, in milliseconds: values in buckets that lie far apart.
const DELAYS_MS: [u64; 12] = [0, 1, 2, 3, 5, 8, 13, 21, 34, 55, 89, 144];

/// A native bucket is 2^(1/8) wide, and a value lies at most half a cell, 1/64 of itself,
/// outside of the bucket that counts it.
const QUANTILE_ERROR_MAX: f64 = 1.0906 * (1.0 + 1.0 / 64.0);

/// Turns native histograms off.
const CLASSIC_ONLY: &str = "metrics: { native_histograms: false }";

/// What Prometheus 2.42 asks for, without and with native histograms.
const ACCEPT: &str = "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1";
const ACCEPT_NATIVE: &str = "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited,application/openmetrics-text;version=1.0.0;q=0.8,application/openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1";

/// The value of each series of an instant vector.
fn query(prometheus: &Prometheus, promql: &str) -> Vec<f64> {
    let found = prometheus.query(promql, None);
    found.iter().map(Found::value).collect()
}

/// The value of the one series that is expected.
fn one(prometheus: &Prometheus, promql: &str) -> f64 {
    let values = query(prometheus, promql);
    assert_eq!(values.len(), 1, "{promql}: {values:?}");
    values[0]
}

fn has_scraped(prometheus: &Prometheus, promql: &str, count: usize) {
    poll("the scrape that sees all requests", || {
        (query(prometheus, promql) == [count as f64]).then_some(())
    });
}

/// One request for each delay; their ids.
fn play(rig: &Rig) -> Vec<String> {
    let ask = |delay: &u64| {
        let script = Script {
            headers_delay_ms: *delay,
            ..Script::default()
        };
        let reply = rig.chat(&rig::chat(&script));
        assert_eq!(reply.status, 200, "{}", reply.text());
        let id = reply.header("x-request-id");
        id.expect("every answer has an id").to_owned()
    };
    let ids = DELAYS_MS.iter().map(ask).collect();
    drop(rig.gateway.metrics_after(DELAYS_MS.len() as u64));
    ids
}

/// The latency of each request in microseconds, from the request log, by id.
fn logged(gateway: &Gateway, ids: &[String]) -> BTreeMap<String, u64> {
    poll("the log to have every request", || {
        let log = gateway.log();
        let lines = log
            .lines()
            .filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let latency = |line: Value| {
            let id = line["request_id"].as_str()?.to_owned();
            let millis = line["latency_ms"].as_f64()?;
            Some((id, (millis * 1000.0).round() as u64))
        };
        let found: BTreeMap<_, _> = lines.filter_map(latency).collect();
        ids.iter().all(|id| found.contains_key(id)).then_some(found)
    })
}

fn near(got: f64, expected: f64, what: &str) {
    let error = (got - expected).abs() / expected.abs().max(1e-30);
    assert!(error < 1e-12, "{what}: got {got}, expected {expected}");
}

/// The one value of the model's latency family.
fn of_model(page: &Exposition, name: &str) -> f64 {
    let labels = [("provider", PROVIDER), ("model", MODEL)];
    let mut found = page.matching(name, &labels);
    let value = found.next().expect("the series is there").value.as_f64();
    assert!(found.next().is_none(), "one series of {name}");
    value
}

fn selector(name: &str) -> String {
    format!("{name}{{provider=\"{PROVIDER}\",model=\"{MODEL}\"}}")
}

#[test]
fn prometheus_reads_native_histograms() {
    let rig = Rig::start();
    let prometheus = Prometheus::start_with(rig.gateway.admin(), &["native-histograms"]);
    let ids = play(&rig);
    let native = selector("coo_llm_latency_seconds");
    has_scraped(
        &prometheus,
        &format!("histogram_count({native})"),
        ids.len(),
    );

    let page = rig.gateway.metrics();
    let count = one(&prometheus, &format!("histogram_count({native})"));
    near(
        count,
        of_model(&page, "coo_llm_latency_seconds_count"),
        "count",
    );
    let sum = one(&prometheus, &format!("histogram_sum({native})"));
    near(sum, of_model(&page, "coo_llm_latency_seconds_sum"), "sum");

    let truth = logged(&rig.gateway, &ids);
    let mut truth: Vec<u64> = ids.iter().map(|id| truth[id]).collect();
    truth.sort_unstable();
    near(sum, truth.iter().sum::<u64>() as f64 / 1e6, "the log's sum");
    for q in [0.1, 0.25, 0.5, 0.75, 0.9, 0.99, 1.0] {
        let got = one(&prometheus, &format!("histogram_quantile({q}, {native})"));
        let at = (q * truth.len() as f64).ceil() as usize - 1;
        let ratio = got / (truth[at] as f64 / 1e6);
        assert!(
            (1.0 / QUANTILE_ERROR_MAX..=QUANTILE_ERROR_MAX).contains(&ratio),
            "quantile {q}: got {got} s of {truth:?} us"
        );
    }

    // Counters and gauges come over protobuf too.
    let requests = selector("coo_llm_requests_total");
    near(one(&prometheus, &requests), ids.len() as f64, "requests");
    let cost = of_model(&page, "coo_llm_cost_total");
    near(
        one(&prometheus, &selector("coo_llm_cost_total")),
        cost,
        "cost",
    );
    // 2.42 keeps a histogram as native or as classic, not as both.
    let classic = selector("coo_llm_latency_seconds_bucket");
    assert_eq!(query(&prometheus, &classic), Vec::<f64>::new());
}

#[test]
fn without_native_histograms_protobuf_has_the_classic_ones() {
    let rig = Rig::start_with(|config| config.top.push(CLASSIC_ONLY.to_owned()));
    let prometheus = Prometheus::start_with(rig.gateway.admin(), &["native-histograms"]);
    let ids = play(&rig);
    let count = selector("coo_llm_latency_seconds_count");
    has_scraped(&prometheus, &count, ids.len());
    let native = selector("coo_llm_latency_seconds");
    let native = query(&prometheus, &format!("histogram_count({native})"));
    assert_eq!(native, Vec::<f64>::new());
    let page = rig.gateway.metrics();
    let labels = [("provider", PROVIDER), ("model", MODEL)];
    for bucket in page.matching("coo_llm_latency_seconds_bucket", &labels) {
        // The same text in every format, so that a series stays itself when the format changes.
        let le = &bucket.labels["le"];
        let buckets = selector("coo_llm_latency_seconds_bucket");
        let promql = buckets.replace('}', &format!(",le=\"{le}\"}}"));
        near(one(&prometheus, &promql), bucket.value.as_f64(), &promql);
    }
}

/// Each exemplar is a request that was sent, with its latency.
fn exemplars_lead_to_requests(rig: &Rig, features: &[&str]) {
    let prometheus = Prometheus::start_with(rig.gateway.admin(), features);
    let ids = play(rig);
    let truth = logged(&rig.gateway, &ids);
    // The last request is the slowest and alone in its bucket.
    let last = ids.last().expect("there are requests");
    let exemplars = poll("the exemplar of the slowest request", || {
        let found = prometheus.exemplars("coo_llm_latency_seconds_bucket");
        found.iter().any(|(id, _)| id == last).then_some(found)
    });
    assert!(exemplars.len() >= 2, "more than one bucket: {exemplars:?}");
    for (id, seconds) in exemplars {
        near(seconds, truth[&id] as f64 / 1e6, &id);
    }
}

#[test]
fn exemplars_in_openmetrics_lead_to_requests() {
    exemplars_lead_to_requests(&Rig::start(), &["exemplar-storage"]);
}

#[test]
fn exemplars_in_protobuf_lead_to_requests() {
    // 2.42 reads no exemplars of native histograms; later ones do, from the same buckets.
    let rig = Rig::start_with(|config| config.top.push(CLASSIC_ONLY.to_owned()));
    exemplars_lead_to_requests(&rig, &["exemplar-storage", "native-histograms"]);
}

#[test]
fn each_scraper_gets_its_format() {
    let rig = Rig::start();
    let get = |accept: Option<&str>| {
        let headers: Vec<_> = accept.iter().map(|value| ("accept", *value)).collect();
        let reply = Client::new(rig.gateway.admin()).request("GET", "/metrics", &headers, b"");
        let reply = reply.expect("the control plane answers");
        let kind = reply.header("content-type").expect("a type").to_owned();
        (kind, reply)
    };
    let (kind, reply) = get(None);
    assert_eq!(kind, "text/plain; version=0.0.4; charset=utf-8");
    let text = reply.text();
    assert!(!text.contains("_created{") && !text.contains(" # {"));
    let (kind, reply) = get(Some(ACCEPT));
    assert_eq!(
        kind,
        "application/openmetrics-text; version=1.0.0; charset=utf-8"
    );
    assert!(reply.text().ends_with("\n# EOF\n"));
    let (kind, _) = get(Some(ACCEPT_NATIVE));
    assert_eq!(
        kind,
        "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited"
    );
}

fn read_by_python(arguments: &[&std::ffi::OsStr]) {
    let output = Command::new(python::interpreter())
        .arg(python::script("formats.py"))
        .args(arguments)
        .output()
        .expect("the interpreter runs");
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    assert!(output.status.success(), "{said}");
}

#[test]
fn python_reads_the_gateways_pages() {
    let rig = Rig::start();
    let ids = play(&rig);
    let url = format!("http://{}/metrics", rig.gateway.admin());
    let count = ids.len().to_string();
    read_by_python(&["pages", &url, &count, PROVIDER, MODEL].map(AsRef::as_ref));
}

/// The path of the exporters' example, built if it was not.
fn label_page() -> String {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let example = ["--package", "coo-llm-exporters", "--example", "label_page"];
    let output = Command::new(cargo)
        .args([
            "build",
            "--locked",
            "--message-format=json-render-diagnostics",
        ])
        .args(example)
        .current_dir(workspace())
        .stderr(Stdio::inherit())
        .output()
        .expect("cargo runs");
    assert!(output.status.success(), "the example does not build");
    let messages = String::from_utf8(output.stdout).expect("cargo speaks UTF-8");
    let executable = messages.lines().find_map(|line| {
        let message: Value = serde_json::from_str(line).ok()?;
        let ours = message["target"]["name"] == "label_page";
        message["executable"]
            .as_str()
            .filter(|_| ours)
            .map(ToOwned::to_owned)
    });
    executable.expect("cargo names the executable that it built")
}

#[test]
fn python_reads_any_label_value() {
    read_by_python(&["labels", &label_page()].map(AsRef::as_ref));
}

/// Pieces of label values that some format or parser has a meaning for.
const PIECES: [&str; 22] = [
    "\"",
    "\\",
    "\n",
    "\r",
    "\0",
    "\t",
    "{",
    "}",
    ",",
    "=",
    " ",
    "#",
    "n",
    "# EOF\n",
    "\u{7f}",
    "\u{85}",
    "\u{2028}",
    "\u{feff}",
    "\u{ffff}",
    "\u{e4}",
    "\u{1f980}",
    "\u{10ffff}",
];

/// Rows of provider, model, key and client, of 0 to 5 pieces each; SEED in the environment
/// repeats those of a run that printed it.
#[expect(clippy::print_stderr, reason = "a failure needs its seed")]
fn random_rows() -> Vec<[String; 4]> {
    let random = RandomState::new().build_hasher().finish();
    let seed = std::env::var("SEED").map_or(random, |seed| seed.parse().expect("a number"));
    eprintln!("SEED={seed}");
    let mut state = seed;
    // splitmix64
    let mut below = |bound: usize| {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) as usize % bound
    };
    let mut value = || -> String {
        let pieces = below(6);
        (0..pieces).map(|_| PIECES[below(PIECES.len())]).collect()
    };
    (0..200).map(|_| std::array::from_fn(|_| value())).collect()
}

/// The example's page of these rows, each of them a request.
fn page_of(rows: &[[String; 4]], form: &str) -> Vec<u8> {
    let hex = |value: &String| {
        let digits = value.bytes().map(|byte| format!("{byte:02x}"));
        format!("x{}", digits.collect::<String>())
    };
    let lines = rows.iter().map(|row| row.each_ref().map(hex).join(" "));
    let lines = lines.collect::<Vec<_>>().join("\n");
    let mut child = Command::new(label_page())
        .arg(form)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the example runs");
    let mut stdin = child.stdin.take().expect("stdin is a pipe");
    // The example reads all before it writes.
    let written = stdin.write_all(lines.as_bytes());
    written.expect("the example reads its input");
    drop(stdin);
    let output = child.wait_with_output().expect("the example ends");
    assert!(output.status.success(), "{}", output.status);
    output.stdout
}

/// Answers every request with this page, until the process of the tests ends.
fn serve(content_type: &str, page: &[u8]) -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    let addr = listener.local_addr().expect("a bound socket");
    let head = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: {content_type}\r\ncontent-length: {}\r\n\
         connection: close\r\n\r\n",
        page.len()
    );
    let answer = [head.as_bytes(), page].concat();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.expect("a loopback connection");
            let mut request = BufReader::new(&stream).lines();
            // Up to the empty line that ends the head.
            let ends = |line: io::Result<String>| line.is_ok_and(|line| line.is_empty());
            if request.any(ends) {
                // A scraper that is gone, as at the end of a test, misses nothing.
                drop(stream.write_all(&answer));
            }
        }
    });
    addr
}

/// Prometheus has exactly the label values that went in; an empty one is no label to it.
fn prometheus_reads_any_label_value(form: &str, content_type: &str) {
    let rows = random_rows();
    let addr = serve(content_type, &page_of(&rows, form));
    // Without the flag, it takes no protobuf.
    let prometheus = Prometheus::start_with(addr, &["native-histograms"]);
    poll("the page to be scraped", || {
        let up = prometheus.query("up == 1", None);
        (!up.is_empty()).then_some(())
    });
    let families = [
        (
            "coo_llm_requests_total",
            &["provider", "model", "key"][..],
            0..3,
        ),
        ("coo_llm_usage_source_total", &["provider"], 0..1),
        ("coo_llm_client_requests_total", &["client_id"], 3..4),
    ];
    for (family, names, columns) in families {
        let mut want: BTreeMap<Vec<&str>, f64> = BTreeMap::new();
        for row in &rows {
            let labels = row[columns.clone()].iter().map(String::as_str).collect();
            *want.entry(labels).or_default() += 1.0;
        }
        let only = if family == "coo_llm_usage_source_total" {
            "{source=\"provider\"}"
        } else {
            ""
        };
        let found = prometheus.query(&format!("{family}{only}"), None);
        let mut got = BTreeMap::new();
        for series in &found {
            let label = |name: &&str| series.labels.get(*name).map_or("", String::as_str);
            let labels: Vec<_> = names.iter().map(label).collect();
            assert_eq!(got.insert(labels, series.value()), None, "{series:?} twice");
        }
        assert_eq!(got, want, "{family}");
    }
}

#[test]
fn prometheus_reads_any_label_value_as_text() {
    prometheus_reads_any_label_value("text", "text/plain; version=0.0.4; charset=utf-8");
}

#[test]
fn prometheus_reads_any_label_value_as_openmetrics() {
    let content_type = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    prometheus_reads_any_label_value("openmetrics", content_type);
}

#[test]
fn prometheus_reads_any_label_value_as_protobuf() {
    let content_type = "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited";
    prometheus_reads_any_label_value("protobuf", content_type);
}
