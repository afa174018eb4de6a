//! Streams: no piece waits for the next, times are those of the gaps, a break by either side
//! ends both at once and counts what was delivered; in every dialect and translated.
//!
//! Needs the built gateway.

use coo_llm_tests::client::Client;
use coo_llm_tests::exposition::Exposition;
use coo_llm_tests::gateway::Provider;
use coo_llm_tests::oracle::{Event, Oracle, Target, key_id};
use coo_llm_tests::rig::{CHAT, CLIENT, CLIENT_KEY, MODEL, PRICING, PROVIDER, PROVIDER_KEY, Rig};
use coo_llm_tests::upstream::{End, Fault, Script, TokenCounts, Usage};
use serde_json::{Value, json};
use std::io;
use std::thread;
use std::time::{Duration, Instant};

/// The pieces of the answer, of four letters each.
const PIECES: [&str; 4] = ["aaaa", "bbbb", "cccc", "dddd"];

/// What the answer has used; one less than its output tokens are the gaps between them.
const USAGE: Usage = Usage {
    prompt: 11,
    completion: 5,
    cached: 0,
    cache_write: 0,
    audio_in: 0,
    reasoning: 0,
    audio_out: 0,
};

/// A way to stream: the provider, and what is asked of which path.
struct Way {
    name: &'static str,
    provider: &'static str,
    model: &'static str,
    path: &'static str,
    body: Value,
}

fn ways() -> Vec<Way> {
    let messages = json!([{"role": "user", "content": "Say hello."}]);
    let way = |name, provider, model, path, body| Way {
        name,
        provider,
        model,
        path,
        body,
    };
    let usage = json!({"include_usage": true});
    let claude = "claude-test";
    vec![
        way(
            "a chat, its usage hidden",
            PROVIDER,
            MODEL,
            CHAT,
            json!({"model": MODEL, "messages": messages, "stream": true}),
        ),
        way(
            "a chat",
            PROVIDER,
            MODEL,
            CHAT,
            json!({"model": MODEL, "messages": messages, "stream": true, "stream_options": usage}),
        ),
        way(
            "a completion",
            PROVIDER,
            MODEL,
            "/v1/completions",
            json!({"model": MODEL, "prompt": "x", "stream": true}),
        ),
        way(
            "a response",
            PROVIDER,
            MODEL,
            "/v1/responses",
            json!({"model": MODEL, "input": "x", "stream": true}),
        ),
        way(
            "a message",
            "claude",
            claude,
            "/v1/messages",
            json!({"model": claude, "messages": messages, "max_tokens": 9, "stream": true}),
        ),
        way(
            "a chat, translated",
            "claude",
            claude,
            CHAT,
            json!({"model": claude, "messages": messages, "stream": true}),
        ),
        way(
            "Gemini's events",
            "gemini",
            "gemini-test",
            "/v1beta/models/gemini-test:streamGenerateContent?alt=sse",
            json!({"contents": []}),
        ),
        way(
            "Gemini's array",
            "gemini",
            "gemini-test",
            "/v1beta/models/gemini-test:streamGenerateContent",
            json!({"contents": []}),
        ),
    ]
}

fn scripted() -> Script {
    Script {
        usage: USAGE,
        content: Some(PIECES.concat()),
        ..Script::default()
    }
}

fn stepwise() -> Script {
    Script {
        steps: Some("step".to_owned()),
        ..scripted()
    }
}

fn start(script: Script) -> Rig {
    let rig = Rig::start_with(|config| {
        let url = config.providers[0].base_url.clone();
        for (id, model) in [("claude", "claude-test"), ("gemini", "gemini-test")] {
            let provider = Provider::new(id, &url, PROVIDER_KEY, model, PRICING);
            let kind = if id == "claude" { "anthropic" } else { id };
            config.providers.push(provider.of_type(kind));
        }
    });
    rig.upstream.key_by(PROVIDER_KEY, Some(script));
    rig
}

/// Sends the request of a way on a connection of its own, and reads the answer's head.
fn send(rig: &Rig, way: &Way) -> Client {
    let mut client = rig.gateway.client();
    let bearer = format!("Bearer {CLIENT_KEY}");
    let headers = [
        ("authorization", bearer.as_str()),
        ("content-type", "application/json"),
    ];
    let body = way.body.to_string();
    let sent = client.send("POST", way.path, &headers, body.as_bytes());
    sent.expect("the gateway reads the request");
    let head = client.read_head().expect("an answer");
    assert_eq!(head.status, 200, "{}", way.name);
    client
}

fn open(rig: &Rig, step: usize) {
    rig.upstream.open_gate(&format!("step-{step}"));
}

/// Reads until this text is there.
fn read_to(client: &mut Client, text: &str) {
    let mut seen = Vec::new();
    while !String::from_utf8_lossy(&seen).contains(text) {
        let piece = client.read_piece().expect("the stream goes on");
        seen.extend(piece.expect("the stream goes on"));
    }
}

/// Reads what is left.
fn read_rest(client: &mut Client) -> io::Result<Vec<u8>> {
    let mut seen = Vec::new();
    while let Some(piece) = client.read_piece()? {
        seen.extend(piece);
    }
    Ok(seen)
}

/// What one stream of a way has to count as.
fn event(way: &Way, tokens: TokenCounts, error: Option<&'static str>) -> Event {
    Event {
        target: Some(Target {
            provider: way.provider.to_owned(),
            model: way.model.to_owned(),
            key: key_id(way.provider, PROVIDER_KEY),
        }),
        client: Some(CLIENT.to_owned()),
        tokens: Some(tokens),
        pricing: Some(PRICING),
        error,
        provider_limited: false,
    }
}

/// What a stream that broke off counts as, after so many pieces.
fn broken(oracle: &mut Oracle, way: &Way, pieces: u64, error: &'static str) {
    let asked = way.body.to_string().len() as u64;
    let (input, output, source) = match way.provider {
        // Each of its pieces has the usage so far.
        "gemini" => (USAGE.prompt, USAGE.completion * pieces / 4, "provider"),
        // The first usage has the input.
        "claude" => (USAGE.prompt, pieces, "estimated"),
        _ => (asked.div_ceil(4), pieces, "estimated"),
    };
    let tokens = TokenCounts {
        input,
        output,
        ..TokenCounts::default()
    };
    oracle.record_from(&event(way, tokens, Some(error)), Some(source));
}

fn assert_equal(oracle: &Oracle, page: &Exposition) {
    assert_eq!(oracle.differences(page), Vec::<String>::new());
}

#[test]
fn each_piece_comes_while_the_rest_is_held_back() {
    for way in ways() {
        let rig = start(stepwise());
        let mut client = send(&rig, &way);
        for (step, piece) in PIECES.iter().enumerate() {
            open(&rig, step);
            read_to(&mut client, piece);
            let served = rig.upstream.ledger().last().clone();
            assert_eq!(served.chunks_delivered, step as u32 + 1, "{}", way.name);
            assert_eq!(served.end, End::Open, "{}", way.name);
        }
        open(&rig, PIECES.len());
        read_rest(&mut client).expect("a whole stream");
        let mut oracle = Oracle::default();
        oracle.record(&event(&way, TokenCounts::from_usage(&USAGE), None));
        assert_equal(&oracle, &rig.gateway.metrics_after(1));
    }
}

/// Asserts that a histogram has one value, and that it lies within these bounds.
fn assert_one_within(page: &Exposition, name: &str, way: &Way, low: Duration, high: Duration) {
    // Times are whole microseconds: what is measured may be one off.
    let (low, high) = (low.saturating_sub(MICRO), high + MICRO);
    let labels = [("provider", way.provider), ("model", way.model)];
    let name = format!("coo_llm_{name}_seconds");
    let of = |suffix: &str| format!("{name}_{suffix}");
    assert_eq!(page.count(&of("count"), &labels), 1, "{}: {name}", way.name);
    let sum: u64 = page.nano_usd(&of("sum"), &labels);
    let sum = Duration::from_nanos(sum);
    let told = format!("{}: {name}: {low:?} <= {sum:?} <= {high:?}", way.name);
    assert!(low <= sum && sum <= high, "{told}");
    for bucket in page.matching(&of("bucket"), &labels) {
        let edge: f64 = bucket.labels["le"]
            .replace("+Inf", "inf")
            .parse()
            .expect("a number");
        let expected = (edge >= high.as_secs_f64(), edge < low.as_secs_f64());
        match (expected, bucket.value.scaled(0)) {
            ((true, _), count) => assert_eq!(count, Some(1), "{told}, le {edge}"),
            ((_, true), count) => assert_eq!(count, Some(0), "{told}, le {edge}"),
            _ => {}
        }
    }
}

const MICRO: Duration = Duration::from_micros(1);

/// The upstream thinks for so long: a gap to be measured, and nothing waits for it.
const GAP: Duration = Duration::from_millis(60);

#[test]
fn times_are_those_of_the_gaps() {
    for way in ways() {
        let rig = start(stepwise());
        let before = Instant::now();
        let mut client = send(&rig, &way);
        let arrived = Instant::now();
        // Heads, roles and pings are no tokens.
        thread::sleep(GAP);
        let first_sent = Instant::now();
        open(&rig, 0);
        read_to(&mut client, PIECES[0]);
        let first_seen = Instant::now();
        thread::sleep(GAP);
        for (step, piece) in PIECES.iter().enumerate().skip(1) {
            open(&rig, step);
            read_to(&mut client, piece);
        }
        let last_sent = Instant::now();
        open(&rig, PIECES.len());
        read_rest(&mut client).expect("a whole stream");
        let ended = Instant::now();

        let page = rig.gateway.metrics_after(1);
        let first = (first_sent - arrived, first_seen - before);
        assert_one_within(&page, "time_to_first_token", &way, first.0, first.1);
        let gaps = USAGE.completion as u32 - 1;
        // Times are whole microseconds: what is measured may be one off.
        let (low, high) = (
            (last_sent - first_seen) / gaps,
            (ended - first_sent) / gaps + Duration::from_micros(1),
        );
        assert!(low > GAP / gaps);
        let low = low.saturating_sub(Duration::from_micros(1));
        assert_one_within(&page, "time_per_output_token", &way, low, high);
    }
}

#[test]
fn a_client_that_leaves_ends_the_upstreams_work() {
    for way in ways() {
        let rig = start(stepwise());
        let mut client = send(&rig, &way);
        for (step, piece) in PIECES.iter().enumerate().take(2) {
            open(&rig, step);
            read_to(&mut client, piece);
        }
        client.hang_up();
        // The upstream has nothing to send, and no one opens its gate.
        rig.upstream.wait("the gateway to let go", |ledger| {
            ledger.last().end == End::CutByPeer
        });
        let mut oracle = Oracle::default();
        broken(&mut oracle, &way, 2, "client_abort");
        assert_equal(&oracle, &rig.gateway.metrics_after(1));
    }
}

#[test]
fn an_upstream_that_breaks_off_ends_the_clients_stream() {
    for way in ways() {
        let script = Script {
            fault: Some(Fault::CloseMidBody),
            ..scripted()
        };
        let rig = start(script);
        let mut client = send(&rig, &way);
        read_to(&mut client, PIECES[1]);
        let end = read_rest(&mut client).map_err(|error| error.kind());
        assert_eq!(end, Err(io::ErrorKind::UnexpectedEof), "{}", way.name);
        let mut oracle = Oracle::default();
        broken(&mut oracle, &way, 2, "upstream_protocol");
        assert_equal(&oracle, &rig.gateway.metrics_after(1));
    }
}
