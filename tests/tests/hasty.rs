//! Clients that write a whole request and close at once: each leaves its one record.
//!
//! Needs the built gateway.

use coo_llm_tests::exposition::Exposition;
use coo_llm_tests::rig::{self, CHAT, CLIENT, CLIENT_KEY, Rig};
use coo_llm_tests::upstream::Script;
use rustix::net::sockopt::set_socket_linger;
use std::io::Write as _;
use std::net::TcpStream;
use std::time::Duration;

/// Fewer than the kernel holds for a worker that does not accept.
const HASTY: u64 = 300;

#[derive(Clone, Copy, Debug)]
enum Close {
    Fin,
    Rst,
}

/// Writes a chat and closes.
fn hurry(rig: &Rig, close: Close) {
    let body = rig::chat(&Script::default()).to_string();
    let mut socket = TcpStream::connect(rig.gateway.addr()).expect("the kernel accepts");
    if matches!(close, Close::Rst) {
        set_socket_linger(&socket, Some(Duration::ZERO)).expect("a socket");
    }
    let length = body.len();
    let request = format!(
        "POST {CHAT} HTTP/1.1\r\nhost: h\r\nauthorization: Bearer {CLIENT_KEY}\r\n\
         content-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}"
    );
    let written = socket.write_all(request.as_bytes());
    written.expect("the kernel takes it");
}

/// What all of them came to, and one more that waits for its answer.
fn settled(rig: &Rig) -> Exposition {
    let metrics = rig.gateway.metrics_after(HASTY);
    assert_eq!(metrics.count("coo_llm_requests_total", &[]), HASTY);
    assert_eq!(rig.chat(&rig::chat(&Script::default())).status, 200);
    let metrics = rig.gateway.metrics_after(HASTY + 1);
    let requests = metrics.count("coo_llm_requests_total", &[]);
    assert_eq!(requests, HASTY + 1);
    let client = [("client_id", CLIENT)];
    let requests = metrics.count("coo_llm_client_requests_total", &client);
    assert_eq!(requests, HASTY + 1, "each is its client's");
    let errors = metrics.count("coo_llm_errors_total", &[]);
    let aborted = [("type", "client_abort")];
    assert_eq!(metrics.count("coo_llm_errors_total", &aborted), errors);
    assert!(errors <= HASTY, "{errors}");
    // What the provider got was an attempt; one that was given up may not have come to it.
    let served = rig.upstream.ledger().served.len() as u64;
    let attempts = metrics.count("coo_llm_upstream_attempts_total", &[]);
    assert!(served <= attempts, "{served} of {attempts}");
    metrics
}

#[test]
fn a_request_whose_client_was_gone_before_it_was_looked_at_is_counted() {
    for close in [Close::Fin, Close::Rst] {
        let rig = Rig::start();
        // Each request and its end are there together when the worker reads.
        rig.gateway.pause();
        for _ in 0..HASTY {
            hurry(&rig, close);
        }
        rig.gateway.resume();
        let metrics = settled(&rig);
        let unsent = metrics.count("coo_llm_requests_total", &[("provider", "none")]);
        let attempts = metrics.count("coo_llm_upstream_attempts_total", &[]);
        assert!(unsent > 0, "{close:?}: this is what the test is for");
        assert_eq!(unsent + attempts, HASTY + 1, "{close:?}");
    }
}

#[test]
fn clients_that_close_while_the_gateway_works_are_counted_once() {
    for close in [Close::Fin, Close::Rst] {
        let rig = Rig::start();
        for _ in 0..HASTY {
            hurry(&rig, close);
        }
        settled(&rig);
    }
}
