//! Answers that are too large to be read before their headers go out or that come slowly,
//! and clients that do not take theirs.
//!
//! Needs the built gateway.

use coo_llm_tests::oracle::Oracle;
use coo_llm_tests::patience::poll;
use coo_llm_tests::rig::{self, Rig};
use coo_llm_tests::upstream::Script;

/// Above the gateway's 256 KiB.
const PAD: usize = 400_000;

#[test]
fn a_large_answer_with_a_length_is_metered_by_its_usage() {
    let rig = Rig::start();
    let script = Script {
        pad_bytes: PAD,
        ..Script::default()
    };
    let mut oracle = Oracle::default();
    for _ in 0..3 {
        let reply = rig.chat(&rig::chat(&script));
        assert_eq!(reply.status, 200);
        assert!(reply.body.len() > PAD, "the whole answer comes");
        assert!(
            reply.header("content-length").is_some(),
            "its length is announced"
        );
        oracle.record(&rig::success(&script));
    }
    let page = rig.gateway.metrics_after(3);
    assert_eq!(oracle.differences(&page), Vec::<String>::new());
    // The connection to the provider is free again after each.
    assert_eq!(rig.upstream.ledger().connections, 1);
}

#[test]
fn a_client_that_takes_nothing_is_cut_off() {
    let rig = Rig::start_with(|config| {
        config
            .server
            .push("limits: { idle_timeout: 1s, header_timeout: 1s }".to_owned());
    });
    // More than the sockets' buffers on both sides hold.
    let script = Script {
        pad_bytes: 64 << 20,
        ..Script::default()
    };
    let client = rig.send_chat(&rig::chat(&script));
    let aborted = poll("the gateway to let the client go", || {
        let page = rig.gateway.metrics();
        let count = page.count("coo_llm_errors_total", &[("type", "client_abort")]);
        Some(count).filter(|count| *count == 1)
    });
    assert_eq!(aborted, 1);
    drop(client);
}

/// Some providers send a blank now and then while they think.
#[test]
fn an_answer_that_comes_piece_by_piece_has_its_time_for_each() {
    let rig = Rig::start_with(|config| {
        let timeouts = "timeouts: { idle: 2s }".to_owned();
        config.providers[0].more.push(timeouts);
    });
    let script = Script {
        split: 64,
        chunk_delay_ms: 400,
        ..Script::default()
    };
    let reply = rig.chat(&rig::chat(&script));
    assert_eq!(reply.status, 200, "{}", reply.text());
    // More than `idle` in all, for the pauses between its pieces alone.
    assert!(reply.body.len() / 64 * 400 > 2000);
    assert_eq!(reply.body, rig.upstream.ledger().last().sent);
}
