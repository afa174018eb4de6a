//! Records of other gateways over HTTP, against the oracle, to the unit.

use coo_llm_tests::client::{Client, Reply};
use coo_llm_tests::gateway::{ADMIN_KEY, ClientKey, Config, Gateway, Pricing, Provider};
use coo_llm_tests::oracle::{Event, Oracle, Target};
use coo_llm_tests::upstream::TokenCounts;
use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Value, json};
use std::io::Write as _;
use std::time::{SystemTime, UNIX_EPOCH};

const PATH: &str = "/ingest/v1/records";
const NDJSON: &str = "application/x-ndjson";
const OWN_KEY: &str = "sk-own-0123456789abcdef";
const ANY_KEY: &str = "sk-any-0123456789abcdef";
const OFF_KEY: &str = "sk-off-0123456789abcdef";
const PRICING: Pricing = Pricing {
    input: "0.0375",
    output: "10.00",
    cached_input: Some("0.01"),
};

fn config(workers: u32) -> Config {
    Config {
        // Nobody is asked: its prices are what is used.
        providers: vec![Provider::new(
            "acme",
            "http://127.0.0.1:9/v1",
            "sk-provider-acme-fedcba9876543210",
            "m-chat",
            PRICING,
        )],
        clients: vec![
            ClientKey::new("own", OWN_KEY),
            ClientKey::new("any", ANY_KEY).line("ingest: any"),
            ClientKey::new("off", OFF_KEY).line("ingest: off"),
        ],
        workers: Some(workers),
        ..Config::default()
    }
}

fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    u64::try_from(since.expect("after 1970").as_millis()).expect("before the year 9999")
}

fn record(id: &str, client: &str) -> Value {
    json!({
        "id": id, "time": now_ms(), "provider": "acme", "model": "m-chat", "key_id": "acme-1",
        "client_id": client, "status": 200, "latency_ms": 812, "prompt_tokens": 12,
        "completion_tokens": 3,
    })
}

fn body(lines: &[Value]) -> Vec<u8> {
    let lines: Vec<String> = lines.iter().map(|line| format!("{line}\n")).collect();
    lines.concat().into_bytes()
}

fn send(client: &mut Client, key: &str, headers: &[(&str, &str)], body: &[u8]) -> Reply {
    let bearer = format!("Bearer {key}");
    let mut all = vec![("authorization", bearer.as_str())];
    all.extend_from_slice(headers);
    let reply = client.request("POST", PATH, &all, body);
    reply.expect("the gateway answers")
}

fn post(gateway: &Gateway, key: &str, body: &[u8]) -> Reply {
    send(
        &mut gateway.client(),
        key,
        &[("content-type", NDJSON)],
        body,
    )
}

fn counts(reply: &Reply) -> [u64; 3] {
    let body = reply.json();
    ["accepted", "duplicates", "rejected"].map(|name| body[name].as_u64().expect("a count"))
}

fn ingested(gateway: &Gateway) -> [u64; 3] {
    let page = gateway.metrics();
    ["accepted", "duplicate", "rejected"]
        .map(|result| page.count("coo_llm_ingest_records_total", &[("result", result)]))
}

/// SplitMix64.
struct Rng(u64);

impl Rng {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % bound
    }
}

/// The `n`-th record and what the oracle is told of it.
fn made(n: u64) -> (Value, Event) {
    let mut rng = Rng(n);
    let client = ["own", "any", "team-1", "team-2"][rng.below(4) as usize];
    let is_priced = rng.below(2) == 0;
    let (provider, model) = if is_priced {
        ("acme", "m-chat")
    } else {
        (["openai", "elsewhere"][rng.below(2) as usize], "gpt-4o")
    };
    let key = format!("{provider}-{}", rng.below(3));
    let (prompt, completion) = (1 + rng.below(5000), rng.below(900));
    let cached = rng.below(2) * rng.below(prompt);
    let error = [None, None, None, Some("rate_limit"), Some("timeout")][rng.below(5) as usize];
    let status = match error {
        Some("rate_limit") => 429,
        Some(_) => 504,
        None => 200,
    };
    let mut line = record(&format!("r-{n}"), client);
    line["provider"] = json!(provider);
    line["model"] = json!(model);
    line["key_id"] = json!(key);
    line["status"] = json!(status);
    line["latency_ms"] = json!(rng.below(9000) as f64 / 4.0);
    line["prompt_tokens"] = json!(prompt);
    line["completion_tokens"] = json!(completion);
    if cached > 0 {
        line["cached_tokens"] = json!(cached);
    }
    let event = Event {
        target: Some(Target {
            provider: provider.to_owned(),
            model: model.to_owned(),
            key,
        }),
        client: Some(client.to_owned()),
        tokens: Some(TokenCounts {
            input: prompt - cached,
            cached_input: cached,
            output: completion,
            ..TokenCounts::default()
        }),
        pricing: is_priced.then_some(PRICING),
        error,
        provider_limited: false,
    };
    (line, event)
}

/// 8 connections to 2 workers send overlapping parts of 6,000 records, with lines that are
/// none, in bodies of different sizes, packed and plain: each record counts once.
#[test]
fn records_from_many_connections_count_once_and_to_the_unit() {
    const RECORDS: u64 = 6_000;
    const SENDERS: u64 = 8;
    let gateway = Gateway::start(&config(2));
    let sent: Vec<[u64; 3]> = std::thread::scope(|scope| {
        let senders: Vec<_> = (0..SENDERS)
            .map(|sender| {
                let gateway = &gateway;
                scope.spawn(move || {
                    let mut rng = Rng(sender << 40);
                    let mut client = gateway.client();
                    let mut sum = [0; 3];
                    // Each record comes from two senders, and some twice from one.
                    let mut numbers: Vec<u64> = (0..RECORDS)
                        .filter(|n| [n % SENDERS, (n / 7) % SENDERS].contains(&sender))
                        .collect();
                    numbers.extend_from_within(..50);
                    let mut at = 0;
                    while at < numbers.len() {
                        let end = (at + 1 + rng.below(400) as usize).min(numbers.len());
                        let mut text = Vec::new();
                        let mut bad = 0;
                        for n in &numbers[at..end] {
                            if rng.below(20) == 0 {
                                let lines = ["{\"id\":\"x\"}", "{", "[1]", "\u{fffd}"];
                                text.extend_from_slice(lines[rng.below(4) as usize].as_bytes());
                                text.push(b'\n');
                                bad += 1;
                            }
                            text.extend_from_slice(made(*n).0.to_string().as_bytes());
                            text.extend_from_slice(
                                [&b"\n"[..], b"\r\n", b"\n\n"][rng.below(3) as usize],
                            );
                        }
                        let is_packed = rng.below(3) == 0;
                        let plain = &[("content-type", NDJSON)][..];
                        let packed = &[("content-type", NDJSON), ("content-encoding", "gzip")];
                        let reply = if is_packed {
                            send(&mut client, ANY_KEY, packed, &gzip(&text))
                        } else {
                            send(&mut client, ANY_KEY, plain, &text)
                        };
                        assert_eq!(reply.status, 200, "{}", reply.text());
                        let counts = counts(&reply);
                        assert_eq!(counts[0] + counts[1], (end - at) as u64);
                        assert_eq!(counts[2], bad);
                        for (sum, count) in sum.iter_mut().zip(counts) {
                            *sum += count;
                        }
                        at = end;
                    }
                    sum
                })
            })
            .collect();
        let joined = senders.into_iter().map(std::thread::ScopedJoinHandle::join);
        joined
            .map(|sum| sum.expect("a sender does not panic"))
            .collect()
    });
    let sum = |at: usize| sent.iter().map(|sums| sums[at]).sum::<u64>();
    // Each record has a sender in both rows, so all of them came.
    assert_eq!(sum(0), RECORDS);
    assert!(sum(1) > RECORDS / 2 && sum(2) > 100, "{sent:?}");

    let mut oracle = Oracle::default();
    for n in 0..RECORDS {
        // Nothing is known of its attempts.
        oracle.record_attempts(&made(n).1, &[]);
    }
    let page = gateway.metrics();
    assert_eq!(oracle.differences(&page), Vec::<String>::new());
    assert_eq!(page.count("coo_llm_requests_total", &[]), RECORDS);
    assert_eq!(ingested(&gateway), [sum(0), sum(1), sum(2)]);
    assert_eq!(page.count("coo_llm_ingest_dedup_evicted_total", &[]), 0);
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).expect("a Vec takes all");
    encoder.finish().expect("a Vec takes all")
}

#[test]
fn the_answer_names_each_line_that_is_none() {
    let gateway = Gateway::start(&config(1));
    let mut future = record("f", "own");
    future["time"] = json!(now_ms() + 2 * 86_400_000);
    let mut negative = record("n", "own");
    negative["prompt_tokens"] = json!(-1);
    let long = format!("{{\"x\":\"{}\"}}", "x".repeat(70_000));
    let lines = [
        record("a", "own").to_string(),
        String::new(),
        "nonsense".to_owned(),
        record("b", "other-client").to_string(),
        record("a", "own").to_string(),
        future.to_string(),
        negative.to_string(),
        long,
        record("c", "own").to_string(),
    ];
    let reply = post(&gateway, OWN_KEY, lines.join("\r\n").as_bytes());
    assert_eq!(reply.status, 200, "{}", reply.text());
    assert_eq!(reply.header("content-type"), Some("application/json"));
    assert!(reply.header("x-request-id").is_some());
    let expected = json!({
        "accepted": 2, "duplicates": 1, "rejected": 5, "errors_left_out": 0,
        "errors": [
            {"line": 3, "reason": "is not JSON, at column 2"},
            {"line": 4, "reason": "`client_id` is not the client of the key that was sent"},
            {"line": 6, "reason": "`time` is more than a day in the future"},
            {"line": 7, "reason": "`prompt_tokens` is below zero"},
            {"line": 8, "reason": "is longer than 65536 bytes"},
        ],
    });
    assert_eq!(reply.json(), expected);
    assert_eq!(ingested(&gateway), [2, 1, 5]);
    let page = gateway.metrics();
    assert_eq!(
        page.count("coo_llm_client_requests_total", &[("client_id", "own")]),
        2
    );
    // 12 tokens of input and 3 of output, twice: 450 + 30,000 nano-USD each.
    let cost = page.matching("coo_llm_client_cost_total", &[("client_id", "own")]);
    let cost: Vec<_> = cost.filter_map(|sample| sample.value.scaled(9)).collect();
    assert_eq!(cost, [60_900]);
    assert_eq!(
        page.matching(
            "coo_llm_client_requests_total",
            &[("client_id", "other-client")]
        )
        .count(),
        0
    );
}

#[test]
fn a_body_that_has_nothing_is_400_and_an_empty_one_is_not() {
    let gateway = Gateway::start(&config(1));
    let reply = post(&gateway, OWN_KEY, b"{\n[]\n");
    assert_eq!((reply.status, counts(&reply)), (400, [0, 0, 2]));
    assert_eq!(reply.json()["error"]["type"], "invalid_request_error");
    let reply = post(&gateway, OWN_KEY, b"\n \r\n");
    assert_eq!((reply.status, counts(&reply)), (200, [0, 0, 0]));
    let record = body(&[record("a", "own")]);
    assert_eq!(counts(&post(&gateway, OWN_KEY, &record)), [1, 0, 0]);
    let again = post(&gateway, OWN_KEY, &record);
    assert_eq!((again.status, counts(&again)), (200, [0, 1, 0]));
}

#[test]
fn what_is_refused_is_refused_before_it_is_read_and_is_no_request() {
    let gateway = Gateway::start_with(
        &Config {
            server: vec!["limits: { max_body_bytes: 2000 }".to_owned()],
            ..config(1)
        },
        &[],
    );
    let ndjson = ("content-type", NDJSON);
    let line = body(&[record("a", "own")]);
    let reply = |key: &str, headers: &[(&str, &str)], body: &[u8]| {
        let reply = send(&mut gateway.client(), key, headers, body);
        let code = reply.json()["error"]["code"].as_str().map(str::to_owned);
        (reply.status, code.unwrap_or_default())
    };
    let is = |status: u16, code: &str| (status, code.to_owned());
    assert_eq!(
        reply("sk-wrong", &[ndjson], &line),
        is(401, "invalid_api_key")
    );
    assert_eq!(
        reply(ADMIN_KEY, &[ndjson], &line),
        is(401, "invalid_api_key")
    );
    assert_eq!(
        reply(OFF_KEY, &[ndjson], &line),
        is(403, "permission_denied")
    );
    let json = ("content-type", "application/json");
    assert_eq!(
        reply(OWN_KEY, &[json], &line),
        is(415, "unsupported_media_type")
    );
    assert_eq!(
        reply(OWN_KEY, &[], &line),
        is(415, "unsupported_media_type")
    );
    let brotli = ("content-encoding", "br");
    assert_eq!(
        reply(OWN_KEY, &[ndjson, brotli], &line),
        is(415, "unsupported_media_type")
    );
    let large = vec![b'\n'; 2001];
    assert_eq!(
        reply(OWN_KEY, &[ndjson], &large),
        is(413, "request_too_large")
    );
    let gzip_of = ("content-encoding", "gzip");
    assert_eq!(
        reply(OWN_KEY, &[ndjson, gzip_of], &gzip(&large)),
        is(413, "request_too_large")
    );
    assert_eq!(reply(OWN_KEY, &[ndjson, gzip_of], &line).0, 400);
    let bearer = format!("Bearer {OWN_KEY}");
    let got = gateway
        .client()
        .request("GET", PATH, &[("authorization", &bearer)], b"");
    let got = got.expect("the gateway answers");
    assert_eq!((got.status, got.header("allow")), (405, Some("POST")));

    let page = gateway.metrics();
    assert_eq!(page.count("coo_llm_requests_total", &[]), 0);
    assert_eq!(page.count("coo_llm_errors_total", &[]), 0);
    assert_eq!(ingested(&gateway), [0, 0, 0]);
    for (status, count) in [
        ("200", 0),
        ("400", 1),
        ("401", 2),
        ("403", 1),
        ("405", 1),
        ("413", 2),
        ("415", 3),
    ] {
        let labels = [("status", status)];
        assert_eq!(
            page.count("coo_llm_ingest_requests_total", &labels),
            count,
            "{status}"
        );
    }
}

/// The sender goes away in the middle of a chunked body and sends all of it again.
#[test]
fn a_body_that_breaks_off_counts_what_came_and_a_resend_does_not_double_it() {
    let gateway = Gateway::start(&config(2));
    let lines: Vec<Value> = (0..100).map(|n| record(&format!("r-{n}"), "own")).collect();
    let whole = body(&lines);
    let half = whole.len() / 2;
    let came = whole[..half].iter().filter(|byte| **byte == b'\n').count() as u64;
    let mut client = gateway.client();
    let head = format!(
        "POST {PATH} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {OWN_KEY}\r\n\
         content-type: {NDJSON}\r\ntransfer-encoding: chunked\r\n\r\n{half:x}\r\n"
    );
    client.send_raw(head.as_bytes()).expect("it is read");
    client.send_raw(&whole[..half]).expect("it is read");
    let page = gateway.metrics_after(came);
    assert_eq!(page.count("coo_llm_requests_total", &[]), came);
    client.hang_up();
    let reply = post(&gateway, OWN_KEY, &whole);
    assert_eq!(counts(&reply), [100 - came, came, 0]);
    assert_eq!(gateway.metrics().count("coo_llm_requests_total", &[]), 100);
}

#[test]
fn names_that_others_send_stay_within_max_series() {
    let gateway = Gateway::start(&Config {
        top: vec!["metrics: { max_series: 100 }".to_owned()],
        ..config(2)
    });
    let lines: Vec<Value> = (0..1000)
        .map(|n| {
            let mut line = record(&format!("r-{n}"), &format!("client-{n}"));
            line["provider"] = json!(format!("p-{n}"));
            line["model"] = json!(format!("m \"{n}\\"));
            line["key_id"] = json!(format!("k-{n}"));
            line
        })
        .collect();
    assert_eq!(
        counts(&post(&gateway, ANY_KEY, &body(&lines))),
        [1000, 0, 0]
    );
    let page = gateway.metrics();
    assert_eq!(page.count("coo_llm_requests_total", &[]), 1000);
    for name in ["coo_llm_requests_total", "coo_llm_client_requests_total"] {
        let series = page.matching(name, &[]).count();
        assert!((50..=100).contains(&series), "{name}: {series}");
    }
    let other = [("provider", "other"), ("model", "other"), ("key", "other")];
    let folded = page.count("coo_llm_requests_total", &other);
    assert!(folded >= 950, "{folded}");
    let overflow = [("family", "client")];
    assert!(page.count("coo_llm_series_overflow_total", &overflow) >= 950);
}
