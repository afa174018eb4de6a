//! `/admin/v1/health` of the built gateway: what is there, what hangs, what is gone.

use coo_llm_tests::gateway::{Gateway, free_port};
use coo_llm_tests::rig::{self, CLIENT_KEY, Rig};
use coo_llm_tests::upstream::Script;
use serde_json::Value;
use std::fs;
use std::io::Write;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

const HEALTH: &str = "/admin/v1/health";

fn health(gateway: &Gateway, status: u16) -> Value {
    let reply = gateway.admin_get(HEALTH);
    assert_eq!(reply.status, status, "{}", reply.text());
    reply.json()
}

/// A port of loopback where connections are taken and nothing is said, and how many were.
fn mute() -> (u16, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = listener.local_addr().expect("it is bound").port();
    let taken = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&taken);
    std::thread::spawn(move || {
        let mut open = Vec::new();
        for stream in listener.incoming() {
            counted.fetch_add(1, Ordering::Relaxed);
            open.push(stream);
        }
    });
    (port, taken)
}

fn storage(file: &Path) -> String {
    let file = file.display();
    format!("storage: {{ flush_interval: 1s, history: {{ path: \"{file}\" }} }}")
}

#[test]
fn all_is_well() {
    let rig = Rig::start_with(|config| config.workers = Some(2));
    assert_eq!(rig.chat(&rig::chat(&Script::default())).status, 200);
    let health = health(&rig.gateway, 200);
    assert_eq!(health["status"], "ok", "{health}");
    assert!(health["version"].is_string() && health["uptime_seconds"].is_u64());
    let checks = &health["checks"];
    for check in [
        &checks["database"],
        &checks["providers"][rig::PROVIDER],
        &checks["memory"],
        &checks["tasks"],
    ] {
        assert_eq!(check["status"], "ok", "{health}");
        assert!(check["latency_ms"].is_number() && check["detail"].is_string());
    }
    assert!(checks["memory"]["rss_bytes"].as_u64() > Some(1 << 20));
    assert!(checks["tasks"]["count"].as_u64() > Some(0), "{health}");
    let workers = checks["tasks"]["workers"].as_array().expect("workers");
    assert_eq!(workers.len(), 2);
    assert!(workers.iter().all(|worker| worker["status"] == "ok"));
    assert_eq!(checks["sinks"], serde_json::json!({}));
    // No token was spent on it.
    assert_eq!(rig.upstream.ledger().served.len(), 1);
    let text = health.to_string();
    assert!(!text.contains(rig::PROVIDER_KEY) && !text.contains(CLIENT_KEY));
}

#[test]
fn a_provider_that_is_gone_and_one_that_never_speaks_tls_are_named() {
    let (port, taken) = mute();
    let gone = format!("http://127.0.0.1:{}/v1", free_port());
    let provider = |id: &str, url: &str| {
        let mut provider = rig::config(url).providers.remove(0);
        provider.id = id.to_owned();
        provider.line("timeouts: { connect: 300ms }")
    };
    let rig = Rig::start_with(|config| {
        config.providers.push(provider("gone", &gone));
        let url = format!("https://127.0.0.1:{port}/v1");
        config.providers.push(provider("mute", &url));
    });
    let began = Instant::now();
    for _ in 0..20 {
        let health = health(&rig.gateway, 200);
        assert_eq!(health["status"], "degraded", "{health}");
        let providers = &health["checks"]["providers"];
        assert_eq!(providers[rig::PROVIDER]["status"], "ok", "{health}");
        for (id, part) in [("gone", "refused"), ("mute", "no connection within 300ms")] {
            assert_eq!(providers[id]["status"], "down", "{health}");
            let detail = providers[id]["detail"].as_str().expect("words");
            assert!(detail.contains(part), "{detail}");
        }
    }
    // What was found is told for five seconds.
    let runs_max = 1 + began.elapsed().as_secs() as usize / 5;
    let runs = taken.load(Ordering::Relaxed);
    assert!((1..=runs_max).contains(&runs), "{runs} of {runs_max}");
}

#[test]
fn without_any_provider_it_is_down() {
    let gone = format!("http://127.0.0.1:{}/v1", free_port());
    let gateway = Gateway::start(&rig::config(&gone));
    let health = health(&gateway, 503);
    assert_eq!(health["status"], "down");
    let refused = gateway.client().get(HEALTH);
    assert_eq!(refused.status, 401);
    assert!(!refused.text().contains("checks"));
}

#[test]
fn a_history_that_somebody_locks_is_degraded_and_one_that_is_gone_is_down() {
    let folder = tempfile::TempDir::new().expect("a temporary folder");
    let file = folder.path().join("history.db");
    let rig = Rig::start_with(|config| {
        config.top = vec![storage(&file)];
        config.server.push("admin_req_per_min: none".to_owned());
    });
    // Another program writes in the file, and does not end.
    let mut sqlite = Command::new("sqlite3")
        .arg(&file)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("sqlite3 is installed");
    let mut orders = sqlite.stdin.take().expect("it is piped");
    orders
        .write_all(b".timeout 5000\nBEGIN IMMEDIATE;\n.print held\n")
        .and_then(|()| orders.flush())
        .expect("sqlite3 reads");
    let mut held = std::io::BufReader::new(sqlite.stdout.take().expect("it is piped"));
    let mut line = String::new();
    std::io::BufRead::read_line(&mut held, &mut line).expect("sqlite3 writes");
    assert_eq!(line, "held\n");
    let locked = health(&rig.gateway, 200);
    let database = &locked["checks"]["database"];
    assert_eq!(database["status"], "degraded", "{locked}");
    assert_eq!(locked["status"], "degraded");
    drop(orders);
    assert!(sqlite.wait().expect("our own child").success());
    let is = |status: &str| {
        let what = format!("the database to be {status}");
        coo_llm_tests::patience::poll(&what, || {
            let health = health(&rig.gateway, 200);
            (health["checks"]["database"]["status"] == status).then_some(health)
        })
    };
    is("ok");
    fs::rename(&file, folder.path().join("elsewhere")).expect("the same folder");
    let gone = is("down");
    assert_eq!(gone["status"], "degraded", "requests are answered: {gone}");
    assert_eq!(rig.chat(&rig::chat(&Script::default())).status, 200);
}
