//! Start and stop: exit codes, one clear line, a drain that loses nothing, the demo.
//!
//! Needs the built gateway.

use coo_llm_tests::client::Client;
use coo_llm_tests::exposition::Exposition;
use coo_llm_tests::gateway::{self, Config, free_port};
use coo_llm_tests::patience::poll;
use coo_llm_tests::rig::{self, Rig};
use coo_llm_tests::upstream::Script;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::process::{Command, Output, Stdio};

/// A stream that waits after two chunks until the test opens the gate.
fn held() -> Script {
    Script {
        gate: Some("held".to_owned()),
        gate_after_chunks: 2,
        ..Script::default()
    }
}

/// Starts a held stream and reads it up to the gate.
fn begin(rig: &Rig) -> (Client, Vec<u8>) {
    let mut client = rig.send_chat(&rig::stream(&held()));
    let head = client.read_head().expect("a response");
    assert_eq!(head.status, 200);
    let mut seen = Vec::new();
    while seen.windows(9).filter(|w| w == b"\"content\"").count() < 3 {
        let piece = client.read_piece().expect("a stream that goes on");
        seen.extend(piece.expect("the stream waits at the gate"));
    }
    (client, seen)
}

#[test]
fn sigterm_lets_a_stream_finish() {
    let mut rig = Rig::start_with(|config| config.own_admin_listener = true);
    let (mut client, mut seen) = begin(&rig);
    rig.gateway.terminate();
    poll("/ready to say 503 while draining", || {
        (rig.gateway.ready() == Some(503)).then_some(())
    });
    rig.upstream.open_gate("held");
    while let Some(piece) = client.read_piece().expect("the stream goes on") {
        seen.extend(piece);
    }
    let text = String::from_utf8(seen).expect("UTF-8");
    assert!(text.ends_with("data: [DONE]\n\n"), "{text}");
    assert_eq!(rig.gateway.wait().code(), Some(0));
}

#[test]
fn sigterm_takes_no_new_connection_and_closes_idle_ones() {
    let mut rig = Rig::start();
    let mut idle = rig.gateway.client();
    assert_eq!(idle.get("/health").status, 200);
    rig.gateway.terminate();
    assert_eq!(rig.gateway.wait().code(), Some(0));
    assert!(idle.request("GET", "/health", &[], b"").is_err());
}

#[test]
fn a_drain_has_an_end() {
    let mut rig = Rig::start_with(|config| {
        config.server = vec!["limits: { drain_timeout: 1s }".to_owned()];
    });
    let (mut client, _) = begin(&rig);
    rig.gateway.terminate();
    assert_eq!(rig.gateway.wait().code(), Some(0));
    assert!(
        client.read_piece().is_err(),
        "the cut stream must not look whole"
    );
}

#[test]
fn sigint_ends_it_too() {
    let mut rig = Rig::start();
    rig.gateway.interrupt();
    assert_eq!(rig.gateway.wait().code(), Some(0));
}

/// Exit code and the one line on stderr.
fn assert_one_line(output: &Output, code: i32, says: &[&str]) {
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{stderr}");
    assert_eq!(stderr.lines().count(), 1, "{stderr}");
    for word in says {
        assert!(stderr.contains(word), "no {word:?} in: {stderr}");
    }
}

/// Runs `serve` with a configuration text.
fn serve(yaml: &str) -> Output {
    let folder = tempfile::TempDir::new().expect("a temporary folder");
    fs::write(folder.path().join("c.yaml"), yaml).expect("the folder is writable");
    gateway::run(&["serve", "--config", "c.yaml"], folder.path())
}

fn config() -> Config {
    rig::config("http://127.0.0.1:1/v1")
}

#[test]
fn a_port_in_use() {
    let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    let port = taken.local_addr().expect("an address").port();
    let output = serve(&config().yaml(port, 0));
    assert_one_line(&output, 2, &[&port.to_string()]);
}

#[test]
fn a_port_that_another_gateway_has() {
    // Both set SO_REUSEPORT, so the kernel alone would let the second one in.
    let rig = Rig::start();
    let port = rig.gateway.addr().port();
    let output = serve(&config().yaml(port, 0));
    assert_one_line(&output, 2, &[&port.to_string()]);
}

#[test]
fn an_admin_port_in_use() {
    let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    let port = taken.local_addr().expect("an address").port();
    let mut config = config();
    config.own_admin_listener = true;
    let output = serve(&config.yaml(free_port(), port));
    assert_one_line(&output, 2, &[&port.to_string()]);
}

#[test]
fn a_bad_flag() {
    let folder = tempfile::TempDir::new().expect("a temporary folder");
    let output = gateway::run(&["serve", "--confg", "x"], folder.path());
    assert_one_line(&output, 1, &["--confg"]);
}

#[test]
fn a_file_that_is_not_there() {
    let folder = tempfile::TempDir::new().expect("a temporary folder");
    let output = gateway::run(&["serve", "--config", "nowhere.yaml"], folder.path());
    assert_one_line(&output, 1, &["nowhere.yaml"]);
}

#[test]
fn an_open_address_without_an_admin_key() {
    let yaml = config()
        .yaml(free_port(), 0)
        .replace("127.0.0.1:", "0.0.0.0:");
    let yaml: Vec<&str> = yaml
        .lines()
        .filter(|l| !l.contains("admin_api_key"))
        .collect();
    let output = serve(&yaml.join("\n"));
    assert_one_line(&output, 1, &["admin_api_key"]);
}

/// The user's eleven metrics and the labels that INTERFACE.md gives them.
const ELEVEN: [(&str, &[&str]); 11] = [
    ("coo_llm_requests_total", &["key", "model", "provider"]),
    (
        "coo_llm_tokens_total",
        &["key", "model", "provider", "type"],
    ),
    ("coo_llm_cost_total", &["key", "model", "provider"]),
    ("coo_llm_latency_seconds", &["model", "provider"]),
    ("coo_llm_errors_total", &["provider", "type"]),
    ("coo_llm_rate_limits_total", &["key", "limit", "origin"]),
    (
        "coo_llm_admin_requests_total",
        &["endpoint", "method", "status"],
    ),
    ("coo_llm_admin_rate_limits_total", &["endpoint"]),
    ("coo_llm_client_requests_total", &["client_id"]),
    ("coo_llm_client_tokens_total", &["client_id", "type"]),
    ("coo_llm_client_cost_total", &["client_id"]),
];

#[test]
fn the_demo_runs_for_three_seconds_and_shows_the_eleven_metrics() {
    let folder = tempfile::TempDir::new().expect("a temporary folder");
    let addr = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()));
    let mut demo = Command::new(gateway::binary())
        .args(["demo", "--for", "3", "--rate", "100", "--listen"])
        .arg(addr.to_string())
        .current_dir(folder.path())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the gateway's executable runs");
    let mut last = None;
    let status = poll("the demo to end by itself", || {
        let reply = Client::new(addr).request("GET", "/metrics", &[], b"");
        if let Some(reply) = reply.ok().filter(|reply| reply.status == 200) {
            last = Some(reply);
        }
        demo.try_wait().expect("our own child")
    });
    let output = demo.wait_with_output().expect("our own child");
    let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(status.code(), Some(0), "{stdout}{stderr}");
    assert!(stdout.contains("curl"), "a line to try: {stdout}");
    assert!(stdout.contains(&addr.to_string()), "the URL: {stdout}");

    let page = last.expect("it served /metrics while it ran");
    let page = Exposition::parse(page.text()).expect("a well formed page");
    for (name, labels) in ELEVEN {
        assert!(page.types.contains_key(name), "no {name}");
        let names: Vec<String> = page.label_names(name).into_iter().collect();
        assert_eq!(names, labels, "{name}");
    }
    let kind = |name: &str| page.types[name].clone();
    assert_eq!(kind("coo_llm_latency_seconds"), "histogram");
    assert!(
        ELEVEN
            .iter()
            .all(|(name, _)| !name.ends_with("_total") || kind(name) == "counter")
    );
    assert!(page.count("coo_llm_requests_total", &[]) > 0, "no load");
    assert!(page.nano_usd("coo_llm_cost_total", &[]) > 0, "no cost");
}
