//! Keys, retries, fallback and the breaker, against upstreams that answer by script.
//!
//! Each scene ends with the same check: what the upstreams' ledgers say and what the test
//! sent make the oracle's events, and every counter of `/metrics` agrees with it to the unit,
//! attempts, retries and fallbacks included.
//!
//! Needs the built gateway.

use coo_llm_tests::client::{Client, Reply};
use coo_llm_tests::exposition::Exposition;
use coo_llm_tests::gateway::{ClientKey, Config, Gateway, Provider, free_port};
use coo_llm_tests::oracle::{Attempt, Event, Oracle, Target, key_id};
use coo_llm_tests::patience::poll;
use coo_llm_tests::rig::{self, CHAT, CLIENT, CLIENT_KEY, MODEL, PRICING};
use coo_llm_tests::upstream::{End, Fault, Script, TokenCounts, Upstream};
use serde_json::{Value, json};
use std::net::{Ipv4Addr, TcpListener};
use std::time::{Duration, Instant};

const K1: &str = "sk-alpha-1-0123456789";
const K2: &str = "sk-alpha-2-0123456789";
const KB: &str = "sk-beta-1-0123456789";
/// What most scenes wait for is not the pause.
const QUICK: &str = "{ retry: { interval: 1ms } }";

/// A gateway, its upstreams, and what it should have counted.
struct Scene {
    gateway: Gateway,
    oracle: Oracle,
    sent: u64,
}

fn provider(id: &str, base_url: &str, keys: &[&str]) -> Provider {
    let mut provider = Provider::new(id, base_url, keys[0], MODEL, PRICING);
    provider.keys = keys.iter().map(ToString::to_string).collect();
    provider
}

fn config(policy: &str, providers: Vec<Provider>) -> Config {
    Config {
        providers,
        clients: vec![ClientKey::new(CLIENT, CLIENT_KEY)],
        workers: Some(1),
        policy: Some(policy.to_owned()),
        ..Config::default()
    }
}

fn failing(status: u16) -> Script {
    Script {
        status: Some(status),
        ..Script::default()
    }
}

fn with_header(mut script: Script, name: &str, value: &str) -> Script {
    script.headers.push((name.to_owned(), value.to_owned()));
    script
}

fn target(provider: &str, key: &str) -> Target {
    Target {
        provider: provider.to_owned(),
        model: MODEL.to_owned(),
        key: key_id(provider, key),
    }
}

fn tried(provider: &str, key: &str, outcome: &'static str) -> Attempt {
    Attempt {
        target: target(provider, key),
        outcome,
    }
}

impl Scene {
    fn new(policy: &str, providers: Vec<Provider>) -> Self {
        Self::of(&config(policy, providers))
    }

    fn of(config: &Config) -> Self {
        Self {
            gateway: Gateway::start(config),
            oracle: Oracle::default(),
            sent: 0,
        }
    }

    fn post(&mut self, body: &Value) -> Reply {
        self.sent += 1;
        let mut client = self.gateway.client();
        client.post(CHAT, CLIENT_KEY, body.to_string().as_bytes())
    }

    /// Sends a request on a connection of its own and does not read the reply.
    fn send(&mut self, body: &Value) -> Client {
        self.sent += 1;
        let mut client = self.gateway.client();
        let bearer = format!("Bearer {CLIENT_KEY}");
        let headers = [("authorization", bearer.as_str())];
        let sent = client.send("POST", CHAT, &headers, body.to_string().as_bytes());
        sent.expect("the gateway reads the request");
        client
    }

    fn chat(&mut self) -> Reply {
        self.post(&rig::chat(&Script::default()))
    }

    /// A request whose last attempt was answered in full.
    fn expect_success(&mut self, attempts: &[Attempt]) {
        let last = attempts.last().expect("an attempt");
        let script = Script::default();
        let event = Event {
            target: Some(last.target.clone()),
            client: Some(CLIENT.to_owned()),
            tokens: Some(TokenCounts::from_usage(&script.usage)),
            pricing: Some(PRICING),
            error: None,
            provider_limited: false,
        };
        self.oracle.record_attempts(&event, attempts);
    }

    /// A request that failed after these attempts; of none, it was refused.
    fn expect_failure(&mut self, attempts: &[Attempt], error: &'static str) {
        let event = Event {
            target: attempts.last().map(|last| last.target.clone()),
            client: Some(CLIENT.to_owned()),
            tokens: None,
            pricing: None,
            error: Some(error),
            provider_limited: false,
        };
        self.oracle.record_attempts(&event, attempts);
    }

    /// Every counter is as the oracle has it.
    fn check(&self) -> Exposition {
        assert_eq!(self.oracle.requests(), self.sent, "the test's own count");
        let page = self.gateway.metrics_after(self.sent);
        assert_eq!(self.oracle.differences(&page), Vec::<String>::new());
        assert_eq!(page.count("coo_llm_active_requests", &[]), 0);
        page
    }

    fn is_up(page: &Exposition, provider: &str) -> bool {
        one(page, "coo_llm_provider_up", &[("provider", provider)]) == 1
    }

    fn is_key_up(page: &Exposition, provider: &str, key: &str) -> bool {
        let id = key_id(provider, key);
        let labels = [("provider", provider), ("key", id.as_str())];
        one(page, "coo_llm_provider_key_up", &labels) == 1
    }
}

/// The one sample with these labels.
fn one(page: &Exposition, name: &str, labels: &[(&str, &str)]) -> u64 {
    assert_eq!(page.matching(name, labels).count(), 1, "{name}{labels:?}");
    page.count(name, labels)
}

/// (key, status) of each request that an upstream got.
fn served(upstream: &Upstream) -> Vec<(String, u16)> {
    let served = upstream.ledger().served.into_iter();
    served.map(|s| (s.key, s.status)).collect()
}

fn seconds(reply: &Reply) -> u64 {
    let header = reply.header("retry-after").expect("a Retry-After");
    header.parse().expect("whole seconds")
}

#[test]
fn a_429_is_answered_with_another_key_and_all_workers_know() {
    let upstream = Upstream::builder().start();
    let limited = Script {
        retry_after_secs: Some(3600),
        ..failing(429)
    };
    upstream.key_by(K1, Some(limited));
    let mut config = config(
        "{}",
        vec![provider("alpha", &upstream.base_url(), &[K1, K2])],
    );
    config.workers = Some(2);
    let mut scene = Scene::of(&config);
    // New connections each time, so that both workers take part.
    let mut retried = 0;
    for _ in 0..40 {
        let reply = scene.chat();
        assert_eq!(reply.status, 200, "{}", reply.text());
        if let Some(attempts) = reply.header("x-coo-attempts") {
            assert_eq!(attempts, "2");
            retried += 1;
            scene.expect_success(&[
                tried("alpha", K1, "rate_limit"),
                tried("alpha", K2, "success"),
            ]);
        } else {
            scene.expect_success(&[tried("alpha", K2, "success")]);
        }
    }
    assert_eq!(retried, 1, "the key is set aside at once and everywhere");
    let refused = served(&upstream).into_iter().filter(|(_, s)| *s == 429);
    assert_eq!(refused.collect::<Vec<_>>(), [(K1.to_owned(), 429)]);
    scene.oracle.retried("alpha", "rate_limit", 1);
    let page = scene.check();
    assert!(!Scene::is_key_up(&page, "alpha", K1));
    assert!(Scene::is_key_up(&page, "alpha", K2));
    assert!(Scene::is_up(&page, "alpha"));
}

#[test]
fn a_500_is_tried_again_and_the_bodies_are_the_same() {
    let upstream = Upstream::builder().start();
    upstream.next_by([failing(500), failing(503)]);
    let mut scene = Scene::new(QUICK, vec![provider("alpha", &upstream.base_url(), &[K1])]);
    let reply = scene.post(&rig::stream(&Script::default()));
    assert_eq!(reply.status, 200);
    assert_eq!(reply.header("x-coo-attempts"), Some("3"));
    assert_eq!(reply.events().last().map(String::as_str), Some("[DONE]"));
    let ledger = upstream.ledger();
    let bodies: Vec<_> = ledger.served.iter().map(|s| &s.body).collect();
    assert_eq!(bodies.len(), 3);
    assert!(bodies.iter().all(|body| *body == bodies[0]));
    assert!(ledger.served.iter().all(|s| s.include_usage));
    // An answer that is set down is read to its end, so its connection is used again.
    assert_eq!(ledger.connections, 1);
    scene.expect_success(&[
        tried("alpha", K1, "upstream_5xx"),
        tried("alpha", K1, "upstream_5xx"),
        tried("alpha", K1, "success"),
    ]);
    scene.oracle.retried("alpha", "upstream_5xx", 2);
    let page = scene.check();
    // Pauses are no time of a provider.
    assert_eq!(page.count("coo_llm_overhead_seconds_count", &[]), 1);
    assert_eq!(page.count("coo_llm_upstream_latency_seconds_count", &[]), 3);
}

#[test]
fn the_last_error_answer_comes_as_it_was() {
    let upstream = Upstream::builder().start();
    let named = |n: &str| with_header(failing(502), "x-which", n);
    upstream.next_by([named("first"), named("second"), named("third")]);
    let mut scene = Scene::new(QUICK, vec![provider("alpha", &upstream.base_url(), &[K1])]);
    let reply = scene.chat();
    assert_eq!(reply.status, 502);
    assert_eq!(reply.header("x-which"), Some("third"));
    assert_eq!(reply.body, upstream.ledger().last().sent);
    assert_eq!(reply.header("x-coo-attempts"), Some("3"));
    let attempt = tried("alpha", K1, "upstream_5xx");
    scene.expect_failure(&[attempt.clone(), attempt.clone(), attempt], "upstream_5xx");
    scene.oracle.retried("alpha", "upstream_5xx", 2);
    // What the client did wrong is its own to mend.
    for status in [400, 404, 422] {
        upstream.next_by([failing(status)]);
        assert_eq!(scene.chat().status, status);
        scene.expect_failure(&[tried("alpha", K1, "upstream_4xx")], "upstream_4xx");
    }
    scene.check();
}

#[test]
fn ten_attempts_are_the_most() {
    let (alpha, beta) = (Upstream::builder().start(), Upstream::builder().start());
    for key in [K1, K2] {
        alpha.key_by(key, Some(failing(500)));
    }
    let policy = "{ retry: { max_attempts: 10, interval: 1ms }, fallback: { providers: [beta] }, \
                  circuit_breaker: { enabled: false } }";
    let mut scene = Scene::new(
        policy,
        vec![
            provider("alpha", &alpha.base_url(), &[K1]),
            provider("beta", &beta.base_url(), &[KB]),
        ],
    );
    assert_eq!(scene.chat().status, 500);
    assert_eq!(alpha.ledger().served.len(), 10);
    assert!(beta.ledger().served.is_empty());
    scene.expect_failure(
        &vec![tried("alpha", K1, "upstream_5xx"); 10],
        "upstream_5xx",
    );
    scene.oracle.retried("alpha", "upstream_5xx", 9);
    scene.check();
}

#[test]
fn a_retry_after_that_fits_is_waited_for() {
    let upstream = Upstream::builder().start();
    let mut scene = Scene::new(QUICK, vec![provider("alpha", &upstream.base_url(), &[K1])]);
    let waits = [
        (429, "rate_limit", "retry-after-ms", "300", 300),
        (503, "upstream_5xx", "retry-after-ms", "300", 300),
        (429, "rate_limit", "retry-after", "1", 1000),
    ];
    for (status, outcome, name, value, wait_ms) in waits {
        upstream.next_by([with_header(failing(status), name, value)]);
        let started = Instant::now();
        assert_eq!(scene.chat().status, 200);
        // Never too early; how late is the machine's affair.
        assert!(
            started.elapsed() >= Duration::from_millis(wait_ms),
            "{name}"
        );
        scene.expect_success(&[tried("alpha", K1, outcome), tried("alpha", K1, "success")]);
        scene.oracle.retried("alpha", outcome, 1);
    }
    scene.check();
}

#[test]
fn a_retry_after_that_does_not_fit_is_the_clients() {
    let upstream = Upstream::builder().start();
    let limited = Script {
        retry_after_secs: Some(3600),
        ..failing(429)
    };
    upstream.next_by([limited]);
    let mut scene = Scene::new("{}", vec![provider("alpha", &upstream.base_url(), &[K1])]);
    let reply = scene.chat();
    assert_eq!((reply.status, seconds(&reply)), (429, 3600));
    assert_eq!(reply.body, upstream.ledger().last().sent);
    scene.expect_failure(&[tried("alpha", K1, "rate_limit")], "rate_limit");
    // The next one is not sent at all, and is told the truth.
    let reply = scene.chat();
    assert_eq!(reply.status, 429);
    let wait = seconds(&reply);
    assert!((3000..=3600).contains(&wait), "{wait}");
    assert_eq!(reply.json()["error"]["code"], json!("rate_limit_exceeded"));
    scene.expect_failure(&[], "rate_limit");
    assert_eq!(upstream.ledger().served.len(), 1);
    let page = scene.check();
    assert!(!Scene::is_up(&page, "alpha"), "it has no other key");
}

#[test]
fn a_retry_after_may_be_a_date() {
    let upstream = Upstream::builder().start();
    // Ten minutes after the answer's own Date, whatever this machine's clock says.
    let limited = with_header(failing(429), "date", "Sun, 06 Nov 1994 08:49:37 GMT");
    let limited = with_header(limited, "retry-after", "Sun, 06 Nov 1994 08:59:37 GMT");
    upstream.next_by([limited]);
    let mut scene = Scene::new("{}", vec![provider("alpha", &upstream.base_url(), &[K1])]);
    assert_eq!(scene.chat().status, 429);
    scene.expect_failure(&[tried("alpha", K1, "rate_limit")], "rate_limit");
    let wait = seconds(&scene.chat());
    assert!((1..=600).contains(&wait), "{wait}");
    scene.expect_failure(&[], "rate_limit");
    scene.check();
}

#[test]
fn a_key_that_is_refused_is_not_used_again() {
    let upstream = Upstream::builder().keys(&[K2]).start();
    let base_url = upstream.base_url();
    let mut scene = Scene::new("{}", vec![provider("alpha", &base_url, &[K1, K2])]);
    for n in 0..3 {
        assert_eq!(scene.chat().status, 200);
        let success = tried("alpha", K2, "success");
        if n == 0 {
            scene.expect_success(&[tried("alpha", K1, "upstream_4xx"), success]);
        } else {
            scene.expect_success(&[success]);
        }
    }
    scene.oracle.retried("alpha", "auth", 1);
    // The other one goes too: its answer is the client's, and then there is none left.
    upstream.key_by(K2, Some(failing(401)));
    let reply = scene.chat();
    assert_eq!(reply.status, 401);
    assert_eq!(reply.body, upstream.ledger().last().sent);
    scene.expect_failure(&[tried("alpha", K2, "upstream_4xx")], "upstream_4xx");
    let reply = scene.chat();
    assert_eq!(reply.status, 503);
    assert!((1..=600).contains(&seconds(&reply)));
    scene.expect_failure(&[], "connect");
    let page = scene.check();
    assert!(!Scene::is_up(&page, "alpha"));
}

#[test]
fn one_403_costs_a_key_nothing() {
    let upstream = Upstream::builder().start();
    upstream.next_by([failing(403)]);
    let base_url = upstream.base_url();
    let mut scene = Scene::new("{}", vec![provider("alpha", &base_url, &[K1, K2])]);
    assert_eq!(scene.chat().status, 200);
    scene.expect_success(&[
        tried("alpha", K1, "upstream_4xx"),
        tried("alpha", K2, "success"),
    ]);
    scene.oracle.retried("alpha", "auth", 1);
    let page = scene.check();
    assert!(Scene::is_key_up(&page, "alpha", K1));
}

#[test]
fn a_dead_provider_is_replaced() {
    let beta = Upstream::builder().start();
    let dead = format!("http://127.0.0.1:{}/v1", free_port());
    let policy =
        "{ retry: { max_attempts: 2, interval: 1ms }, fallback: { providers: [alpha, beta] } }";
    let mut scene = Scene::new(
        policy,
        vec![
            provider("alpha", &dead, &[K1]),
            provider("beta", &beta.base_url(), &[KB]),
        ],
    );
    let reply = scene.chat();
    assert_eq!(reply.status, 200, "{}", reply.text());
    assert_eq!(reply.header("x-coo-provider"), Some("beta"));
    assert_eq!(reply.header("x-coo-attempts"), Some("3"));
    assert_eq!(served(&beta), [(KB.to_owned(), 200)]);
    scene.expect_success(&[
        tried("alpha", K1, "connect"),
        tried("alpha", K1, "connect"),
        tried("beta", KB, "success"),
    ]);
    scene.oracle.retried("alpha", "connect", 1);
    scene.oracle.fell_back("alpha", "beta", 1);
    scene.check();
}

#[test]
fn a_fallback_serves_its_own_model_and_only_whom_it_may() {
    let (alpha, beta) = (Upstream::builder().start(), Upstream::builder().start());
    alpha.key_by(K1, Some(failing(500)));
    let mut other = Provider::new("beta", &beta.base_url(), KB, "m-beta", PRICING);
    other.more.push("model: m-beta".to_owned());
    let mut config = config(
        "{ retry: { max_attempts: 1 }, fallback: { providers: [beta] } }",
        vec![provider("alpha", &alpha.base_url(), &[K1]), other],
    );
    const LIMITED_KEY: &str = "sk-only-alpha-0123456789";
    let limited = ClientKey::limited_to("only-alpha", LIMITED_KEY, &["alpha"]);
    config.clients.push(limited);
    let mut scene = Scene::of(&config);
    let reply = scene.chat();
    assert_eq!(reply.status, 200);
    assert_eq!(reply.header("x-coo-model"), Some("m-beta"));
    assert_eq!(beta.ledger().last().model, "m-beta");
    let mut success = tried("beta", KB, "success");
    success.target.model = "m-beta".to_owned();
    scene.expect_success(&[tried("alpha", K1, "upstream_5xx"), success]);
    scene.oracle.fell_back("alpha", "beta", 1);

    scene.sent += 1;
    let body = rig::chat(&Script::default()).to_string();
    let mut client = scene.gateway.client();
    let reply = client.post(CHAT, LIMITED_KEY, body.as_bytes());
    assert_eq!(reply.status, 500);
    let attempt = tried("alpha", K1, "upstream_5xx");
    let event = Event {
        target: Some(attempt.target.clone()),
        client: Some("only-alpha".to_owned()),
        tokens: None,
        pricing: None,
        error: Some("upstream_5xx"),
        provider_limited: false,
    };
    scene.oracle.record_attempts(&event, &[attempt]);
    assert_eq!(beta.ledger().served.len(), 1);
    scene.check();
}

#[test]
fn nothing_is_tried_again_once_an_answer_has_begun() {
    for (fault, limit, error) in [
        (Fault::CloseMidBody, "idle: 60s", "upstream_protocol"),
        (Fault::HangMidBody, "idle: 300ms", "timeout"),
        (Fault::HangMidBody, "total: 3s", "timeout"),
    ] {
        let (alpha, beta) = (Upstream::builder().start(), Upstream::builder().start());
        let policy = "{ retry: { interval: 1ms }, fallback: { providers: [beta] } }";
        let limit = format!("timeouts: {{ {limit} }}");
        let mut scene = Scene::new(
            policy,
            vec![
                provider("alpha", &alpha.base_url(), &[K1]).line(&limit),
                provider("beta", &beta.base_url(), &[KB]),
            ],
        );
        // The pause between chunks lets the first of them out before the end comes.
        let script = Script {
            fault: Some(fault),
            chunk_delay_ms: 20,
            ..Script::default()
        };
        let mut client = scene.send(&rig::stream(&script));
        assert_eq!(client.read_head().expect("a head").status, 200);
        let ended = loop {
            match client.read_piece() {
                Ok(Some(_)) => {}
                ended => break ended,
            }
        };
        assert!(ended.is_err(), "the break is visible");
        let page = scene.gateway.metrics_after(1);
        let count = |name, labels: &[(&str, &str)]| page.count(name, labels);
        assert_eq!(count("coo_llm_upstream_attempts_total", &[]), 1);
        let outcome = [("outcome", error)];
        assert_eq!(count("coo_llm_upstream_attempts_total", &outcome), 1);
        assert_eq!(count("coo_llm_errors_total", &[("type", error)]), 1);
        assert_eq!(count("coo_llm_requests_total", &[]), 1);
        assert_eq!(count("coo_llm_retries_total", &[]), 0);
        assert_eq!(count("coo_llm_fallbacks_total", &[]), 0);
        assert_eq!(alpha.ledger().served.len(), 1);
        assert!(beta.ledger().served.is_empty());
    }
}

#[test]
fn a_client_that_leaves_during_the_pause_is_one_record() {
    let upstream = Upstream::builder().start();
    let busy = Script {
        retry_after_secs: Some(29),
        ..failing(503)
    };
    upstream.next_by([busy]);
    let mut scene = Scene::new("{}", vec![provider("alpha", &upstream.base_url(), &[K1])]);
    let mut client = scene.send(&rig::chat(&Script::default()));
    upstream.wait("the first attempt", |ledger| {
        ledger.served.iter().any(|s| s.end == End::Finished)
    });
    // The attempt is over, the request is not: it pauses.
    let page = scene.gateway.metrics_when("the attempt to end", |page| {
        page.count("coo_llm_active_requests", &[]) == 0
    });
    assert_eq!(page.count("coo_llm_requests_total", &[]), 0);
    client.hang_up();
    scene.expect_failure(&[tried("alpha", K1, "upstream_5xx")], "client_abort");
    scene.check();
    assert_eq!(upstream.ledger().served.len(), 1);
}

#[test]
fn the_breaker_opens_tries_and_closes() {
    let upstream = Upstream::builder().start();
    let policy = "{ retry: { max_attempts: 1 }, circuit_breaker: { failures: 2, open: 500ms } }";
    let mut scene = Scene::new(policy, vec![provider("alpha", &upstream.base_url(), &[K1])]);
    let failure = tried("alpha", K1, "upstream_5xx");
    upstream.next_by([failing(500), failing(500), failing(500)]);
    for _ in 0..2 {
        assert_eq!(scene.chat().status, 500);
        scene.expect_failure(std::slice::from_ref(&failure), "upstream_5xx");
    }
    // Open: refused at once, until the one request that tries; it fails, and the next try is fine.
    for (tries, status) in [(3, 500), (4, 200)] {
        poll("the next try", || {
            let reply = scene.chat();
            if reply.status == 503 {
                assert_eq!(seconds(&reply), 1);
                assert_eq!(upstream.ledger().served.len(), tries - 1);
                scene.expect_failure(&[], "connect");
                return None;
            }
            assert_eq!(reply.status, status, "{}", reply.text());
            Some(())
        });
        assert_eq!(upstream.ledger().served.len(), tries);
        if status == 500 {
            scene.expect_failure(std::slice::from_ref(&failure), "upstream_5xx");
        } else {
            scene.expect_success(&[tried("alpha", K1, "success")]);
        }
    }
    for _ in 0..5 {
        assert_eq!(scene.chat().status, 200);
        scene.expect_success(&[tried("alpha", K1, "success")]);
    }
    let page = scene.check();
    assert!(Scene::is_up(&page, "alpha"));
}

#[test]
fn an_open_breaker_shows_and_sends_requests_elsewhere() {
    let beta = Upstream::builder().start();
    let dead = format!("http://127.0.0.1:{}/v1", free_port());
    let policy = "{ retry: { interval: 1ms }, circuit_breaker: { failures: 2, open: 1h }, \
                  fallback: { providers: [beta] } }";
    let mut scene = Scene::new(
        policy,
        vec![
            provider("alpha", &dead, &[K1]),
            provider("beta", &beta.base_url(), &[KB]),
        ],
    );
    for n in 0..4 {
        assert_eq!(scene.chat().status, 200);
        let (failure, success) = (tried("alpha", K1, "connect"), tried("beta", KB, "success"));
        if n == 0 {
            // The second failure opens it, so there is no third attempt.
            scene.expect_success(&[failure.clone(), failure, success]);
        } else {
            scene.expect_success(&[success]);
        }
    }
    scene.oracle.retried("alpha", "connect", 1);
    scene.oracle.fell_back("alpha", "beta", 4);
    let page = scene.check();
    assert!(!Scene::is_up(&page, "alpha"));
    assert!(Scene::is_up(&page, "beta"));
}

#[test]
fn each_timeout_ends_its_attempt() {
    let alpha = Upstream::builder().start();
    let hangs = || Script {
        fault: Some(Fault::HangBeforeHeaders),
        ..Script::default()
    };
    // It takes connections and says nothing, so TLS never comes about.
    let silent = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    let silent = silent.local_addr().map(|at| (silent, at)).expect("bound");
    let cases = [
        ("first_byte: 200ms", alpha.base_url(), "timeout"),
        ("total: 200ms", alpha.base_url(), "timeout"),
        (
            "connect: 200ms",
            format!("https://{}/v1", silent.1),
            "connect",
        ),
    ];
    for (limit, base_url, outcome) in cases {
        let beta = Upstream::builder().start();
        if outcome == "timeout" {
            alpha.next_by([hangs(), hangs()]);
        }
        let policy =
            "{ retry: { max_attempts: 2, interval: 1ms }, fallback: { providers: [beta] } }";
        let slow = provider("alpha", &base_url, &[K1]).line(&format!("timeouts: {{ {limit} }}"));
        let mut scene = Scene::new(
            policy,
            vec![slow, provider("beta", &beta.base_url(), &[KB])],
        );
        let reply = scene.chat();
        assert_eq!(reply.status, 200, "{limit}: {}", reply.text());
        let failure = tried("alpha", K1, outcome);
        scene.expect_success(&[failure.clone(), failure, tried("beta", KB, "success")]);
        scene.oracle.retried("alpha", outcome, 1);
        scene.oracle.fell_back("alpha", "beta", 1);
        scene.check();
    }
    // What was given up is ended at the provider too.
    alpha.wait("the attempts to be let go", |ledger| {
        ledger
            .served
            .iter()
            .filter(|s| s.end == End::CutByPeer)
            .count()
            == 4
    });
}

#[test]
fn no_attempt_begins_after_the_time_for_retries() {
    let upstream = Upstream::builder().start();
    upstream.next_by([Script {
        headers_delay_ms: 300,
        ..failing(500)
    }]);
    let policy = "{ retry: { timeout: 200ms, interval: 1ms } }";
    let mut scene = Scene::new(policy, vec![provider("alpha", &upstream.base_url(), &[K1])]);
    // An attempt under way is not cut short: its provider's own timeouts hold.
    let slow = Script {
        headers_delay_ms: 300,
        ..Script::default()
    };
    assert_eq!(scene.chat().status, 500);
    scene.expect_failure(&[tried("alpha", K1, "upstream_5xx")], "upstream_5xx");
    assert_eq!(scene.post(&rig::chat(&slow)).status, 200);
    scene.expect_success(&[tried("alpha", K1, "success")]);
    scene.check();
}

#[test]
fn a_stale_connection_costs_no_pause_and_no_error() {
    let upstream = Upstream::builder().start();
    // With an hour between attempts, only one without a pause can come to an end.
    let policy = "{ retry: { interval: 1h, timeout: 2h } }";
    let mut scene = Scene::new(policy, vec![provider("alpha", &upstream.base_url(), &[K1])]);
    assert_eq!(scene.chat().status, 200);
    scene.expect_success(&[tried("alpha", K1, "success")]);
    upstream.next_by([Script {
        fault: Some(Fault::CloseBeforeHeaders),
        ..Script::default()
    }]);
    assert_eq!(scene.chat().status, 200);
    scene.expect_success(&[
        tried("alpha", K1, "upstream_protocol"),
        tried("alpha", K1, "success"),
    ]);
    scene.oracle.retried("alpha", "stale_connection", 1);
    scene.check();
}

#[test]
fn the_least_loaded_key_takes_it() {
    let upstream = Upstream::builder().start();
    let base_url = upstream.base_url();
    let keys = vec![provider("alpha", &base_url, &[K1, K2])];
    let mut scene = Scene::new("{ algorithm: least_loaded }", keys);
    let held = Script {
        gate: Some("held".to_owned()),
        ..Script::default()
    };
    let mut client = scene.send(&rig::chat(&held));
    upstream.wait("the held request", |ledger| ledger.served.len() == 1);
    for _ in 0..3 {
        assert_eq!(scene.chat().status, 200);
        scene.expect_success(&[tried("alpha", K2, "success")]);
    }
    upstream.open_gate("held");
    assert_eq!(client.read().expect("a whole response").status, 200);
    scene.expect_success(&[tried("alpha", K1, "success")]);
    scene.check();
}

#[test]
fn what_a_provider_says_is_left_is_shown_and_nothing_else() {
    let upstream = Upstream::builder().start();
    let said = with_header(Script::default(), "x-ratelimit-remaining-requests", "41");
    let said = with_header(said, "x-ratelimit-remaining-tokens", "149984");
    upstream.key_by(K1, Some(said));
    let base_url = upstream.base_url();
    let keys = vec![provider("alpha", &base_url, &[K1, K2])];
    let mut scene = Scene::new("{ algorithm: hybrid }", keys);
    for key in [K1, K2] {
        assert_eq!(scene.chat().status, 200);
        scene.expect_success(&[tried("alpha", key, "success")]);
    }
    let page = scene.check();
    let name = "coo_llm_upstream_ratelimit_remaining";
    let id = key_id("alpha", K1);
    let left = |kind| one(&page, name, &[("key", &id), ("kind", kind)]);
    assert_eq!((left("requests"), left("tokens")), (41, 149_984));
    assert_eq!(page.matching(name, &[]).count(), 2, "K2's is not known");
}
