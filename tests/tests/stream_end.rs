//! A client that leaves after `[DONE]` has had all of the stream: that is no abort.
//!
//! OpenAI's own SDK does so: it closes the connection at `[DONE]` and does not wait for the
//! end of the chunked body. Counted as aborts, these would be the error rate of every dashboard.
//!
//! Needs the built gateway.

use coo_llm_tests::oracle::Oracle;
use coo_llm_tests::rig::{self, Rig};
use coo_llm_tests::upstream::{End, Script};

#[test]
fn leaving_at_done_is_a_success() {
    let rig = Rig::start();
    let script = Script {
        gate: Some("never".to_owned()),
        gate_after_chunks: Script::default().chunks + 1,
        ..Script::default()
    };
    let mut client = rig.send_chat(&rig::stream(&script));
    assert_eq!(client.read_head().expect("a response").status, 200);
    let mut seen = Vec::new();
    while !seen.ends_with(b"data: [DONE]\n\n") {
        let piece = client.read_piece().expect("the stream goes on");
        seen.extend(piece.expect("the body's end is held back"));
    }
    client.hang_up();
    rig.upstream
        .wait("the gateway to let go", |l| l.last().end != End::Open);

    let page = rig.gateway.metrics_after(1);
    let mut oracle = Oracle::default();
    oracle.record(&rig::success(&script));
    assert_eq!(oracle.differences(&page), Vec::<String>::new());
}
