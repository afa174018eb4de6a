//! A client that reads slowly, or not at all, slows its provider down and does not fill the
//! gateway's memory.
//!
//! Needs the built gateway, and `/proc`.

use coo_llm_tests::gateway::{Gateway, Provider};
use coo_llm_tests::patience::{POLL, poll};
use coo_llm_tests::rig::{CHAT, CLIENT_KEY, MODEL, PRICING, PROVIDER_KEY, Rig};
use coo_llm_tests::upstream::{End, Script};
use serde_json::{Value, json};
use std::fs;
use std::io::Read as _;
use std::net::TcpStream;
use std::thread;

/// Streams at a time.
const STREAMS: usize = 3;

/// Bytes of text in a piece of each stream.
const PIECE_BYTES: usize = 16 << 10;

/// Pieces of a stream: 64 MiB of text.
const PIECES: u32 = 4096;

/// What the gateway may hold of a stream: hyper's buffers on both sides, which are bounded,
/// and the piece that is being sent. A gateway that does not hold its provider back would
/// take all 64 MiB, less what the sockets' buffers have.
const GROWTH_BYTES_MAX: u64 = STREAMS as u64 * (512 << 10);

/// What a trickle reads at a time.
const TRICKLE_BYTES: usize = 1 << 10;

/// Looks without a change after which a stream stands still.
const STILL_LOOKS: u32 = 200;

/// The memory of the gateway's process that is in use, in bytes.
fn resident(gateway: &Gateway) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", gateway.pid()));
    let status = status.expect("a running process has a status");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|rest| rest.trim().strip_suffix(" kB"));
    let kib: u64 = kib.and_then(|kib| kib.parse().ok()).expect("a size in kB");
    kib << 10
}

/// What was sent of each stream that goes on. Nothing is copied: there is much of it.
fn sent(rig: &Rig) -> Vec<usize> {
    let mut held = Vec::new();
    rig.upstream.wait("nothing", |ledger| {
        let open = ledger
            .served
            .iter()
            .filter(|served| served.end == End::Open);
        held = open.map(|served| served.sent.len()).collect();
        true
    });
    held
}

/// Waits until the upstream sends no more; what it has sent of each stream.
fn stalled(rig: &Rig) -> Vec<usize> {
    let (mut last, mut looks) = (Vec::new(), 0);
    poll("the upstream to be held back", || {
        let now = sent(rig);
        looks = if now == last { looks + 1 } else { 0 };
        last = now;
        (looks == STILL_LOOKS).then(|| last.clone())
    })
}

fn begin(rig: &Rig, path: &str, body: &Value) -> TcpStream {
    use std::io::Write as _;
    let mut socket = TcpStream::connect(rig.gateway.addr()).expect("the gateway accepts");
    let body = body.to_string();
    let length = body.len();
    let request = format!(
        "POST {path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {CLIENT_KEY}\r\n\
         content-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}"
    );
    let wrote = socket.write_all(request.as_bytes());
    wrote.expect("the gateway reads the request");
    socket
}

fn rig() -> Rig {
    let rig = Rig::start_with(|config| {
        let url = config.providers[0].base_url.clone();
        let claude = Provider::new("claude", &url, PROVIDER_KEY, "claude-test", PRICING);
        config.providers.push(claude.of_type("anthropic"));
        for provider in &mut config.providers {
            // A provider that is held back is not one that stands still.
            provider.more.push("timeouts: { idle: 3s }".to_owned());
        }
    });
    rig.upstream.key_by(
        PROVIDER_KEY,
        Some(Script {
            content: Some("x".repeat(4 * PIECE_BYTES)),
            flood: PIECES,
            ..Script::default()
        }),
    );
    rig
}

/// Clients that read nothing, then a trickle, then leave.
fn holds_back(path: &str, body: &Value, error_provider: &str) {
    let rig = rig();
    // Once, so that what is made at the first request is there.
    let mut first = begin(&rig, path, body);
    first.read_exact(&mut [0; 64]).expect("an answer");
    drop(first);
    let _counted = rig.gateway.metrics_after(1);
    let before = resident(&rig.gateway);

    let mut sockets: Vec<_> = (0..STREAMS).map(|_| begin(&rig, path, body)).collect();
    poll("the streams", || {
        (sent(&rig).len() == STREAMS).then_some(())
    });
    let all = PIECES as usize * PIECE_BYTES;
    let still = stalled(&rig);
    assert_eq!(still.len(), STREAMS, "none has ended");
    for sent in &still {
        assert!(*sent > PIECE_BYTES && *sent < all / 2, "{still:?} of {all}");
    }
    let mut most = resident(&rig.gateway);

    // Much more than the sockets hold, a little at a time.
    let mut piece = [0; TRICKLE_BYTES];
    for _ in 0..64 {
        for socket in &mut sockets {
            socket.read_exact(&mut piece).expect("the stream goes on");
        }
        most = most.max(resident(&rig.gateway));
        thread::sleep(POLL / 4);
    }
    // In gulps, which move the upstream on.
    let mut gulp = vec![0; *still.iter().max().expect("streams")];
    for socket in &mut sockets {
        socket.read_exact(&mut gulp).expect("the stream goes on");
        most = most.max(resident(&rig.gateway));
    }
    let moved = stalled(&rig);
    most = most.max(resident(&rig.gateway));
    assert!(moved.iter().zip(&still).all(|(now, then)| now > then));
    let growth = most.saturating_sub(before);
    assert!(
        growth < GROWTH_BYTES_MAX,
        "{growth} bytes of {all} each, {still:?} {moved:?}"
    );

    // They leave while the gateway waits for them.
    drop(sockets);
    rig.upstream.wait("the gateway to let go", |ledger| {
        ledger
            .served
            .iter()
            .all(|served| served.end == End::CutByPeer)
    });
    let page = rig.gateway.metrics_after(1 + STREAMS as u64);
    let labels = [("type", "client_abort"), ("provider", error_provider)];
    assert_eq!(
        page.count("coo_llm_errors_total", &labels),
        1 + STREAMS as u64
    );
}

fn messages() -> Value {
    json!([{"role": "user", "content": "Say much."}])
}

#[test]
fn a_chat_holds_its_provider_back() {
    let body = json!({"model": MODEL, "messages": messages(), "stream": true});
    holds_back(CHAT, &body, "acme");
}

#[test]
fn a_translated_chat_holds_its_provider_back() {
    let body = json!({"model": "claude-test", "messages": messages(), "stream": true});
    holds_back(CHAT, &body, "claude");
}

#[test]
fn a_message_holds_its_provider_back() {
    let body =
        json!({"model": "claude-test", "messages": messages(), "stream": true, "max_tokens": 9});
    holds_back("/v1/messages", &body, "claude");
}
