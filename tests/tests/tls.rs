//! TLS of the listeners, spoken by rustls and by curl.
//!
//! Needs the built gateway and `curl`.

use coo_llm_tests::authority::{Authority, client_config};
use coo_llm_tests::client::Client;
use coo_llm_tests::gateway::{self, Gateway, TLS_CA, TLS_CERT, TLS_KEY};
use coo_llm_tests::oracle::Oracle;
use coo_llm_tests::patience::{PATIENCE, poll};
use coo_llm_tests::rig::{self, CHAT, CLIENT_KEY, Rig};
use coo_llm_tests::upstream::Script;
use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Command;

/// Both listeners over TLS, with further lines of `server`.
fn start(authority: &Authority, lines: &[&str]) -> Rig {
    Rig::start_with(|config| {
        config.tls = Some((authority.leaf(), authority.pem.clone()));
        config.own_admin_listener = true;
        config.server.extend(lines.iter().map(ToString::to_string));
    })
}

fn failures(gateway: &Gateway) -> u64 {
    let page = gateway.metrics();
    page.count("coo_llm_tls_handshake_failures_total", &[])
}

fn wait_for_failures(gateway: &Gateway, count: u64) {
    poll("the failed handshakes", || {
        (failures(gateway) >= count).then_some(())
    });
    assert_eq!(failures(gateway), count);
}

/// A connection that says nothing of itself.
fn silent(gateway: &Gateway) -> TcpStream {
    let socket = TcpStream::connect(gateway.addr()).expect("the gateway listens");
    socket.set_read_timeout(Some(PATIENCE)).expect("a socket");
    socket
}

/// What comes until the other side closes. A reset is a close too.
fn until_closed(mut socket: TcpStream) -> Vec<u8> {
    let mut got = Vec::new();
    match socket.read_to_end(&mut got) {
        Err(error) if error.kind() != std::io::ErrorKind::ConnectionReset => {
            unreachable!("it stays open: {error}")
        }
        _ => got,
    }
}

#[test]
fn answers_and_streams_are_exact_over_https() {
    let rig = start(&Authority::new(), &[]);
    let script = Script::default();
    let mut oracle = Oracle::default();
    let mut client = rig.gateway.client();
    for body in [rig::chat(&script), rig::stream(&script), rig::chat(&script)] {
        let reply = client.post(CHAT, CLIENT_KEY, body.to_string().as_bytes());
        assert_eq!(reply.status, 200, "{}", reply.text());
        oracle.record(&rig::success(&script));
    }
    let url = format!("https://{}{CHAT}", rig.gateway.addr());
    for body in [rig::chat(&script), rig::stream(&script)] {
        let output = Command::new("curl")
            .args(["--silent", "--show-error", "--fail", "--cacert", TLS_CA])
            .args(["-H", &format!("authorization: Bearer {CLIENT_KEY}")])
            .args(["-H", "content-type: application/json"])
            .args(["--data-binary", &body.to_string(), &url])
            .current_dir(rig.gateway.dir())
            .output()
            .expect("curl is installed");
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{output:?}");
        let is_stream = body.get("stream").is_some();
        assert_eq!(text.contains("data: [DONE]"), is_stream, "{text}");
        oracle.record(&rig::success(&script));
    }
    let page = rig.gateway.metrics_after(5);
    assert_eq!(oracle.differences(&page), Vec::<String>::new());
    assert_eq!(failures(&rig.gateway), 0);
}

/// An answer that is larger than what TLS and the kernel buffer.
#[test]
fn a_large_answer_is_whole_over_https() {
    let rig = start(&Authority::new(), &[]);
    let script = Script {
        chunks: 20_000,
        ..Script::default()
    };
    let mut client = rig.gateway.client();
    let body = rig::stream(&script).to_string();
    let reply = client.post(CHAT, CLIENT_KEY, body.as_bytes());
    assert_eq!(reply.status, 200);
    assert_eq!(reply.events().last().map(String::as_str), Some("[DONE]"));
    assert!(reply.events().len() >= 20_000);
}

#[test]
fn what_is_not_tls_is_closed_and_counted() {
    let rig = start(&Authority::new(), &[]);
    let gateway = &rig.gateway;
    let mut plain = silent(gateway);
    plain
        .write_all(b"GET /health HTTP/1.1\r\nhost: x\r\n\r\n")
        .expect("the gateway listens");
    let got = until_closed(plain);
    assert!(!got.starts_with(b"HTTP"), "{got:?}");
    wait_for_failures(gateway, 1);

    // A client that trusts another authority ends the handshake itself.
    let stranger = client_config(&Authority::new().pem);
    let mut client = Client::new(gateway.addr()).secured(Some(stranger));
    let refused = client.request("GET", "/health", &[], b"");
    assert!(refused.is_err(), "{refused:?}");
    wait_for_failures(gateway, 2);

    drop(silent(gateway));
    wait_for_failures(gateway, 3);

    let mut admin = TcpStream::connect(gateway.admin()).expect("it listens");
    admin.set_read_timeout(Some(PATIENCE)).expect("a socket");
    admin
        .write_all(b"GET /metrics HTTP/1.1\r\n\r\n")
        .expect("it listens");
    assert!(!until_closed(admin).starts_with(b"HTTP"));
    wait_for_failures(gateway, 4);
    let page = gateway.metrics();
    assert_eq!(page.count("coo_llm_requests_total", &[]), 0);
    assert_eq!(page.count("coo_llm_task_panics_total", &[]), 0);
}

#[test]
fn a_handshake_has_the_time_of_a_head() {
    let rig = start(&Authority::new(), &["limits: { header_timeout: 300ms }"]);
    let mut half = silent(&rig.gateway);
    // The head of a record that never comes.
    half.write_all(&[22, 3, 1, 2, 0]).expect("it listens");
    until_closed(half);
    wait_for_failures(&rig.gateway, 1);
}

#[test]
fn a_handshake_counts_as_a_connection() {
    let rig = start(&Authority::new(), &["limits: { max_connections: 1 }"]);
    let first = silent(&rig.gateway);
    let _open = rig.gateway.metrics_when("the first to be open", |page| {
        page.count("coo_llm_connections", &[]) == 1
    });
    assert_eq!(until_closed(silent(&rig.gateway)), b"");
    let page = rig.gateway.metrics();
    assert_eq!(page.count("coo_llm_connections_refused_total", &[]), 1);
    drop(first);
    wait_for_failures(&rig.gateway, 1);
}

#[test]
fn a_drain_does_not_wait_for_a_handshake() {
    let lines = ["limits: { header_timeout: 1h, drain_timeout: 1h }"];
    let mut rig = start(&Authority::new(), &lines);
    let open = silent(&rig.gateway);
    let _open = rig
        .gateway
        .metrics_when("the connection to be open", |page| {
            page.count("coo_llm_connections", &[]) == 1
        });
    rig.gateway.terminate();
    assert_eq!(rig.gateway.wait().code(), Some(0));
    drop(open);
}

#[test]
fn sighup_reads_the_certificate_again() {
    let authority = Authority::new();
    let rig = start(&authority, &[]);
    let gateway = &rig.gateway;
    let shown = || {
        let mut client = gateway.client();
        assert_eq!(client.get("/health").status, 200);
        client.peer_certificate().expect("it shows one")
    };
    let first = shown();
    let mut kept = gateway.client();
    assert_eq!(kept.get("/health").status, 200);

    let leaf = authority.leaf();
    fs::write(gateway.dir().join(TLS_KEY), &leaf.key).expect("writable");
    // The key of another certificate: the last ones stay.
    gateway.hang_up();
    poll("the refusal in the log", || {
        gateway
            .log()
            .contains("the configuration is not reloaded")
            .then_some(())
    });
    assert!(
        gateway
            .log()
            .contains("is not the key of the certificate in cert.pem")
    );
    assert_eq!(shown(), first);

    fs::write(gateway.dir().join(TLS_CERT), &leaf.cert).expect("writable");
    gateway.hang_up();
    let second = poll("the new certificate", || {
        Some(shown()).filter(|now| *now != first)
    });
    assert_eq!(shown(), second);
    assert_eq!(kept.get("/health").status, 200, "open connections go on");
    assert_eq!(failures(gateway), 0);
}

#[test]
fn files_that_cannot_be_used_are_named() {
    let authority = Authority::new();
    let (leaf, other) = (authority.leaf(), authority.leaf());
    let cases = [
        (None, Some(&leaf.key), "server.tls.cert: cert.pem: "),
        (Some(&leaf.cert), None, "server.tls.key: key.pem: "),
        (
            Some(&leaf.key),
            Some(&leaf.key),
            "server.tls.cert: cert.pem: holds no certificate",
        ),
        (
            Some(&leaf.cert),
            Some(&leaf.cert),
            "server.tls.key: key.pem: ",
        ),
        (
            Some(&leaf.cert),
            Some(&other.key),
            "is not the key of the certificate in cert.pem",
        ),
    ];
    for (cert, key, says) in cases {
        let folder = tempfile::TempDir::new().expect("a temporary folder");
        for (name, text) in [(TLS_CERT, cert), (TLS_KEY, key)] {
            if let Some(text) = text {
                fs::write(folder.path().join(name), text).expect("writable");
            }
        }
        let mut config = rig::config("http://127.0.0.1:1/v1");
        config.tls = Some((leaf.clone(), authority.pem.clone()));
        let yaml = config.yaml(gateway::free_port(), gateway::free_port());
        fs::write(folder.path().join("c.yaml"), yaml).expect("writable");
        for command in ["serve", "check-config"] {
            let output = gateway::run(&[command, "--config", "c.yaml"], folder.path());
            let said = [output.stdout, output.stderr].concat();
            let said = String::from_utf8_lossy(&said);
            assert_eq!(output.status.code(), Some(1), "{said}");
            assert!(said.contains(says), "{command}: no {says:?} in: {said}");
            assert!(said.contains("; name "), "no remedy in: {said}");
        }
    }
}

/// docs/adr/0013-http2.md: a client that knows both speaks HTTP/1.1, one that knows nothing
/// else is closed.
#[test]
fn http2_is_not_offered() {
    let authority = Authority::new();
    let rig = start(&authority, &[]);
    let gateway = &rig.gateway;
    let curl = |gateway: &Gateway, how, scheme| {
        Command::new("curl")
            .args(["--silent", how, "--output", "/dev/null"])
            .args(["--write-out", "%{http_version}", "--cacert"])
            .arg(rig.gateway.dir().join(TLS_CA))
            .arg(format!("{scheme}://{}/health", gateway.addr()))
            .output()
            .expect("curl is installed")
    };
    let both = curl(gateway, "--http2", "https");
    assert!(both.status.success(), "{both:?}");
    assert_eq!(both.stdout, b"1.1");

    let mut alone = (*client_config(&authority.pem)).clone();
    alone.alpn_protocols = vec![b"h2".to_vec()];
    let mut client = Client::new(gateway.addr()).secured(Some(alone.into()));
    let refused = client.request("GET", "/health", &[], b"");
    assert!(refused.is_err(), "{refused:?}");
    wait_for_failures(gateway, 1);

    let plain = Rig::start();
    let insists = curl(&plain.gateway, "--http2-prior-knowledge", "http");
    assert!(!insists.status.success(), "{insists:?}");
    let other = curl(&plain.gateway, "--http1.1", "http");
    assert_eq!(other.stdout, b"1.1", "it goes on");
}
