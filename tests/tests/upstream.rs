//! The upstream itself: what it sends is what its ledger says, whatever it is told to do.

use coo_llm_tests::client::{Client, Reply};
use coo_llm_tests::upstream::{End, Fault, Kind, Script, TokenCounts, Upstream, Usage, UsageMode};
use serde_json::{Value, json};

const CHAT: &str = "/v1/chat/completions";

fn ask(script: &Script, stream: bool, include_usage: bool) -> Vec<u8> {
    let mut body = json!({"model": "m", "stream": stream, "upstream": script});
    if include_usage {
        body["stream_options"] = json!({"include_usage": true});
    }
    body.to_string().into_bytes()
}

fn stream(upstream: &Upstream, script: &Script, include_usage: bool) -> Reply {
    Client::connect(upstream.addr()).post(CHAT, "k", &ask(script, true, include_usage))
}

/// The text of a stream, and the usage of each event but `[DONE]`.
fn text_and_usage(reply: &Reply) -> (String, Vec<Value>) {
    let mut text = String::new();
    let mut usage = Vec::new();
    for event in reply.events() {
        if event == "[DONE]" {
            break;
        }
        let event: Value = serde_json::from_str(&event).expect("events are JSON");
        text.push_str(
            event["choices"][0]["delta"]["content"]
                .as_str()
                .unwrap_or(""),
        );
        usage.push(event["usage"].clone());
    }
    (text, usage)
}

#[test]
fn a_plain_chat_is_in_the_ledger() {
    let upstream = Upstream::builder().start();
    let mut client = Client::connect(upstream.addr());
    for _ in 0..3 {
        let reply = client.post(CHAT, "key-1", br#"{"model":"m","messages":[]}"#);
        assert_eq!(reply.json()["usage"]["total_tokens"], 18);
    }
    upstream.wait("the end", |l| {
        l.served.iter().all(|s| s.end == End::Finished)
    });
    let ledger = upstream.ledger();
    assert_eq!((ledger.connections, ledger.served.len()), (1, 3));
    let last = ledger.last();
    assert_eq!((last.key.as_str(), last.model.as_str()), ("key-1", "m"));
    assert_eq!(last.tokens.map(|t| (t.input, t.output)), Some((11, 7)));
    let route = ("m".to_owned(), "key-1".to_owned(), Kind::Chat, 200);
    assert_eq!(ledger.totals[&route].requests, 3);
    assert_eq!(ledger.totals[&route].tokens.output, 21);
}

#[test]
fn usage_comes_as_openai_sends_it() {
    let upstream = Upstream::builder().start();
    let script = Script::default();
    let (text, usage) = text_and_usage(&stream(&upstream, &script, false));
    assert_eq!(text, "Hello! How can I assist you today?");
    assert!(usage.iter().all(Value::is_null));
    assert_eq!(upstream.ledger().last().tokens, None);

    let (_, usage) = text_and_usage(&stream(&upstream, &script, true));
    let (last, others) = usage.split_last().expect("there are events");
    assert_eq!(last["total_tokens"], 18);
    assert!(others.iter().all(Value::is_null));
    let tokens = TokenCounts::from_usage(&script.usage);
    assert_eq!(upstream.ledger().last().tokens, Some(tokens));
}

#[test]
fn a_stream_cut_at_any_byte_is_the_same_stream() {
    let upstream = Upstream::builder().start();
    let whole = stream(&upstream, &Script::default(), true).body;
    for split in [1, 2, 3, 7, 64] {
        let script = Script {
            split,
            ..Script::default()
        };
        assert_eq!(
            stream(&upstream, &script, true).body,
            whole,
            "split {split}"
        );
        let served = upstream.ledger().last().clone();
        assert_eq!((served.chunks_delivered, served.end), (4, End::Finished));
        assert_eq!(served.sent, whole);
    }
}

#[test]
fn cumulative_usage_grows_to_the_total() {
    let upstream = Upstream::builder().start();
    let script = Script {
        usage_mode: UsageMode::Cumulative,
        usage: Usage {
            completion: 100,
            ..Usage::default()
        },
        ..Script::default()
    };
    let (_, usage) = text_and_usage(&stream(&upstream, &script, false));
    let out: Vec<u64> = usage
        .iter()
        .filter_map(|u| u["completion_tokens"].as_u64())
        .collect();
    assert_eq!(out, [0, 25, 50, 75, 100, 100]);
}

#[test]
fn faults_break_what_they_say() {
    let upstream = Upstream::builder().start();
    let fails = |fault, streams| {
        let script = Script {
            fault: Some(fault),
            ..Script::default()
        };
        let mut client = Client::connect(upstream.addr());
        let headers = [("content-type", "application/json")];
        let sent = client.send("POST", CHAT, &headers, &ask(&script, streams, false));
        sent.expect("the upstream reads the request");
        let error = client.read().expect_err("a broken reply");
        upstream.wait("the end", |l| l.last().end != End::Open);
        (error.kind(), upstream.ledger().last().end)
    };
    use std::io::ErrorKind::{InvalidData, UnexpectedEof};
    let cut = End::CutByScript;
    assert_eq!(
        fails(Fault::CloseBeforeHeaders, false),
        (UnexpectedEof, cut)
    );
    assert_eq!(fails(Fault::CloseMidBody, false), (UnexpectedEof, cut));
    assert_eq!(fails(Fault::CloseMidBody, true), (UnexpectedEof, cut));
    assert_eq!(upstream.ledger().last().chunks_delivered, 2);
    assert_eq!(fails(Fault::GarbageHttp, false), (InvalidData, cut));
}

#[test]
fn a_peer_that_goes_away_is_seen() {
    let upstream = Upstream::builder().start();
    for fault in [Fault::HangBeforeHeaders, Fault::HangMidBody] {
        let script = Script {
            fault: Some(fault),
            ..Script::default()
        };
        let mut client = Client::connect(upstream.addr());
        let sent = client.send("POST", CHAT, &[], &ask(&script, true, false));
        sent.expect("the upstream reads the request");
        let chunks = if fault == Fault::HangMidBody { 2 } else { 0 };
        let at_the_hang = |s: &coo_llm_tests::upstream::Served| s.chunks_delivered == chunks;
        upstream.wait("the hang", |l| l.served.last().is_some_and(at_the_hang));
        client.hang_up();
        upstream.wait("the cut", |l| l.last().end == End::CutByPeer);
        assert_eq!(upstream.ledger().last().chunks_delivered, chunks);
    }
}

#[test]
fn a_gate_holds_a_stream_until_it_is_opened() {
    let upstream = Upstream::builder().start();
    let script = Script {
        gate: Some("g".to_owned()),
        gate_after_chunks: 2,
        ..Script::default()
    };
    let mut client = Client::connect(upstream.addr());
    let sent = client.send("POST", CHAT, &[], &ask(&script, true, false));
    sent.expect("the upstream reads the request");
    upstream.wait("two chunks", |l| {
        l.served.last().is_some_and(|s| s.chunks_delivered == 2)
    });
    assert_eq!(upstream.ledger().last().end, End::Open);
    upstream.open_gate("g");
    assert_eq!(client.read().expect("a whole reply").events().len(), 7);
}

#[test]
fn https_is_served_with_a_certificate_of_its_own_authority() {
    let upstream = Upstream::builder().tls().start();
    let ca = upstream.ca_pem().expect("https has an authority");
    let file = tempfile::NamedTempFile::new().expect("a temporary file");
    std::fs::write(file.path(), ca).expect("the file is writable");
    let curl = std::process::Command::new("curl")
        .args([
            "--silent",
            "--show-error",
            "--fail",
            "--noproxy",
            "*",
            "--cacert",
        ])
        .arg(file.path())
        .arg(format!("{}/models", upstream.base_url()))
        .output()
        .expect("curl runs");
    assert!(
        curl.status.success(),
        "{}",
        String::from_utf8_lossy(&curl.stderr)
    );
    assert_eq!(curl.stdout, br#"{"object":"list","data":[]}"#);
}

#[test]
fn gzip_holds_the_same_bytes() {
    use std::io::Read as _;
    let upstream = Upstream::builder().start();
    let plain = stream(&upstream, &Script::default(), true);
    let script = Script {
        gzip: true,
        ..Script::default()
    };
    let packed = stream(&upstream, &script, true);
    assert_eq!(packed.header("content-encoding"), Some("gzip"));
    let mut body = Vec::new();
    let unpacked = flate2::read::GzDecoder::new(packed.body.as_slice()).read_to_end(&mut body);
    unpacked.expect("gzip");
    assert_eq!(body, plain.body);
}

#[test]
fn errors_have_openais_shape() {
    let upstream = Upstream::builder().keys(&["right"]).start();
    let mut client = Client::connect(upstream.addr());
    let body = ask(
        &Script {
            status: Some(429),
            retry_after_secs: Some(7),
            ..Script::default()
        },
        true,
        false,
    );
    let limited = client.post(CHAT, "right", &body);
    assert_eq!(
        (limited.status, limited.header("retry-after")),
        (429, Some("7"))
    );
    assert_eq!(limited.json()["error"]["code"], "rate_limit_exceeded");
    let refused = client.post(CHAT, "wrong", &body);
    assert_eq!(refused.status, 401);
    assert_eq!(refused.json()["error"]["code"], "invalid_api_key");
    assert_eq!(client.post(CHAT, "right", b"{").status, 400);
    assert_eq!(client.get("/v2").status, 401);
}
