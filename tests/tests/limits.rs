//! Limits and budgets of clients, as their clients, `/metrics` and the provider see them.
//!
//! Needs the built gateway; for the SDK `python3` with venv, and PyPI on the first run.

use coo_llm_tests::client::Reply;
use coo_llm_tests::exposition::Exposition;
use coo_llm_tests::gateway::{ClientKey, Gateway, Pricing, Provider};
use coo_llm_tests::oracle::key_id;
use coo_llm_tests::python;
use coo_llm_tests::rig::{
    CHAT, CLIENT, CLIENT_KEY, MODEL, PROVIDER, PROVIDER_KEY, Rig, chat, config, provider_key_id,
};
use coo_llm_tests::upstream::{Script, Upstream, Usage};
use serde_json::{Value, json};
use std::process::Command;
use std::time::{Duration, Instant};

/// A token of either kind costs 1,000 nano-USD.
const PRICING: Pricing = Pricing {
    input: "1.00",
    output: "1.00",
    cached_input: None,
};
const NANO_A_TOKEN: u64 = 1_000;
/// What is taken counts at least so long.
const WINDOW_MIN: Duration = Duration::from_millis(56_250);
const CONNECTIONS: usize = 16;

fn rig(workers: u32, line: &str) -> Rig {
    Rig::start_with(|config| {
        config.workers = Some(workers);
        config.providers[0].models = vec![(MODEL.to_owned(), Some(PRICING))];
        config.clients = vec![ClientKey::new(CLIENT, CLIENT_KEY).line(line)];
    })
}

/// A chat whose estimate is exact: the upstream says that it used a token for each four
/// bytes of the body, and as much output as is allowed. And its tokens.
fn exact_chat() -> (Value, u64) {
    const OUTPUT: u64 = 20;
    let body = |prompt| {
        let mut body = chat(&Script {
            usage: Usage {
                prompt,
                completion: OUTPUT,
                ..Usage::default()
            },
            ..Script::default()
        });
        body["max_tokens"] = json!(OUTPUT);
        body
    };
    let input = |body: &Value| (body.to_string().len() as u64).div_ceil(4);
    let draft = body(100);
    let body = body(input(&draft));
    assert_eq!(input(&body), input(&draft), "it has three digits too");
    let tokens = input(&body) + OUTPUT;
    (body, tokens)
}

fn usd(nano: u64) -> String {
    format!("{}.{:09}", nano / 1_000_000_000, nano % 1_000_000_000)
}

/// Sends a body `each` times on each of many connections at once; the statuses.
fn storm(rig: &Rig, body: &Value, each: usize) -> Vec<u16> {
    let body = body.to_string();
    std::thread::scope(|scope| {
        let connection = || {
            let mut client = rig.gateway.client();
            let post = |_| client.post(CHAT, CLIENT_KEY, body.as_bytes()).status;
            (0..each).map(post).collect::<Vec<_>>()
        };
        let threads: Vec<_> = (0..CONNECTIONS).map(|_| scope.spawn(connection)).collect();
        let join = |thread: std::thread::ScopedJoinHandle<'_, Vec<u16>>| {
            thread.join().expect("a connection does not panic")
        };
        threads.into_iter().flat_map(join).collect()
    })
}

fn count_of(statuses: &[u16], status: u16) -> u64 {
    statuses.iter().filter(|it| **it == status).count() as u64
}

fn of_client(page: &Exposition, name: &str) -> u64 {
    page.count(name, &[("client_id", CLIENT)])
}

fn nano(page: &Exposition, name: &str) -> u64 {
    page.nano_usd(name, &[("client_id", CLIENT)])
}

/// Seconds of `Retry-After`, which are those of the limit.
fn retry_after(reply: &Reply) -> u64 {
    let seconds = reply.header("retry-after").and_then(|it| it.parse().ok());
    seconds.expect("a refusal says when to try again")
}

#[test]
fn two_a_minute_are_two_with_one_worker() {
    let rig = rig(1, "limits: { req_per_min: 2 }");
    let body = chat(&Script::default());
    let begun = Instant::now();
    for left in ["1", "0"] {
        let reply = rig.chat(&body);
        assert_eq!(reply.status, 200, "{}", reply.text());
        assert_eq!(reply.header("x-ratelimit-limit-requests"), Some("2"));
        assert_eq!(reply.header("x-ratelimit-remaining-requests"), Some(left));
        let reset = reply.header("x-ratelimit-reset-requests").expect("a reset");
        assert!(reset.ends_with('s'), "{reset}");
        assert_eq!(reply.header("x-ratelimit-limit-tokens"), None);
    }
    let reply = rig.chat(&body);
    assert!(begun.elapsed() < WINDOW_MIN, "this machine stood still");
    assert_eq!(reply.status, 429);
    assert!((1..=60).contains(&retry_after(&reply)));
    assert_eq!(reply.header("x-ratelimit-remaining-requests"), Some("0"));
    let error = &reply.json()["error"];
    assert_eq!(error["type"], "requests");
    assert_eq!(error["code"], "rate_limit_exceeded");
    assert_eq!(rig.upstream.ledger().served.len(), 2);

    let page = rig.gateway.metrics_after(3);
    let none = [("provider", "none"), ("key", "none")];
    assert_eq!(page.count("coo_llm_requests_total", &none), 1);
    let error = [("type", "rate_limit"), ("provider", "none")];
    assert_eq!(page.count("coo_llm_errors_total", &error), 1);
    let limited = [
        ("key", "none"),
        ("limit", "requests"),
        ("origin", "gateway"),
    ];
    assert_eq!(page.count("coo_llm_rate_limits_total", &limited), 1);
    let limited = [("client_id", CLIENT), ("limit", "requests")];
    assert_eq!(page.count("coo_llm_client_rate_limits_total", &limited), 1);
}

#[test]
fn two_workers_at_full_rate_allow_the_limit_and_not_one_more() {
    const LIMIT: u64 = 200;
    const EACH: usize = 40;
    let rig = rig(2, &format!("limits: {{ req_per_min: {LIMIT} }}"));
    let begun = Instant::now();
    let statuses = storm(&rig, &chat(&Script::default()), EACH);
    let windows = 1 + (begun.elapsed().as_millis() / WINDOW_MIN.as_millis()) as u64;
    let (allowed, refused) = (count_of(&statuses, 200), count_of(&statuses, 429));
    let all = (CONNECTIONS * EACH) as u64;
    assert_eq!(allowed + refused, all);
    assert!(allowed <= LIMIT * windows, "{allowed}");
    // The last one may be lost to two that wanted it in the same nanoseconds.
    assert!(allowed >= LIMIT - 1, "{allowed}");

    let page = rig.gateway.metrics_after(all);
    assert_eq!(rig.upstream.ledger().served.len() as u64, allowed);
    assert_eq!(of_client(&page, "coo_llm_client_requests_total"), all);
    assert_eq!(
        of_client(&page, "coo_llm_client_rate_limits_total"),
        refused
    );
    assert_eq!(
        page.count("coo_llm_errors_total", &[("type", "rate_limit")]),
        refused
    );
}

#[test]
fn tokens_are_reserved_before_and_settled_after() {
    let (body, tokens) = exact_chat();
    // Three fit, and of the fourth one token does not.
    let rig = rig(
        1,
        &format!("limits: {{ tokens_per_min: {} }}", 4 * tokens - 1),
    );
    for n in 1..=3 {
        let reply = rig.chat(&body);
        assert_eq!(reply.status, 200);
        let left = (4 - n) * tokens - 1;
        let left = left.to_string();
        assert_eq!(reply.header("x-ratelimit-remaining-tokens"), Some(&*left));
    }
    let reply = rig.chat(&body);
    assert_eq!(reply.status, 429);
    let error = &reply.json()["error"];
    assert_eq!(
        (&error["type"], &error["code"]),
        (&json!("tokens"), &json!("rate_limit_exceeded"))
    );
    let left = (tokens - 1).to_string();
    assert_eq!(reply.header("x-ratelimit-remaining-tokens"), Some(&*left));

    // A request that used less than it reserved gives the rest back.
    let mut small = chat(&Script {
        usage: Usage {
            prompt: 1,
            completion: 0,
            ..Usage::default()
        },
        ..Script::default()
    });
    small["max_tokens"] = json!(0);
    assert_eq!(rig.chat(&small).status, 200);
    let reply = rig.chat(&body);
    let left = (tokens - 2).to_string();
    assert_eq!(reply.header("x-ratelimit-remaining-tokens"), Some(&*left));
    let page = rig.gateway.metrics_after(6);
    let limited = [("client_id", CLIENT), ("limit", "tokens")];
    assert_eq!(page.count("coo_llm_client_rate_limits_total", &limited), 2);
}

/// What a request allows to be answered is reserved in each dialect.
#[test]
fn the_output_that_a_request_allows_is_reserved_in_each_dialect() {
    const LIMIT: u64 = 100_000;
    let rig = Rig::start_with(|config| {
        let url = config.providers[0].base_url.clone();
        for kind in ["anthropic", "gemini"] {
            let model = format!("{kind}-test");
            let provider = Provider::new(kind, &url, PROVIDER_KEY, &model, PRICING);
            config.providers.push(provider.of_type(kind));
        }
        let limit = format!("limits: {{ tokens_per_min: {LIMIT} }}");
        config.clients = vec![ClientKey::new(CLIENT, CLIENT_KEY).line(&limit)];
    });
    let generate = "/v1beta/models/gemini-test:generateContent";
    let mut left = LIMIT;
    for (path, body, output) in [
        (
            "/v1/messages",
            r#"{"model":"anthropic-test","messages":[],"max_tokens":1000}"#,
            1000,
        ),
        (
            generate,
            r#"{"contents":[],"generationConfig":{"maxOutputTokens":2000}}"#,
            2000,
        ),
        (
            generate,
            r#"{"contents":[],"generation_config":{"max_output_tokens":10,"candidate_count":3}}"#,
            30,
        ),
        (generate, r#"{"contents":[]}"#, 256),
    ] {
        let reply = rig.gateway.client().post(path, CLIENT_KEY, body.as_bytes());
        assert_eq!(reply.status, 200, "{}", reply.text());
        let reserved = (body.len() as u64).div_ceil(4) + output;
        let told = reply
            .header("x-ratelimit-remaining-tokens")
            .map(str::to_owned);
        assert_eq!(told, Some((left - reserved).to_string()), "{body}");
        // What was used takes its place.
        let usage = Usage::default();
        left -= usage.prompt + usage.completion;
    }
}

#[test]
fn a_budget_blocks_at_the_exact_amount_with_one_worker() {
    let (body, tokens) = exact_chat();
    let cost = tokens * NANO_A_TOKEN;
    for (budget, allowed) in [(5 * cost, 5), (5 * cost - 1, 4)] {
        let line = format!(
            "budget: {{ usd: {}, per: month, action: block }}",
            usd(budget)
        );
        let rig = rig(1, &line);
        for _ in 0..allowed {
            assert_eq!(rig.chat(&body).status, 200);
        }
        let reply = rig.chat(&body);
        assert_eq!(reply.status, 429);
        let error = &reply.json()["error"];
        let seen = (&error["type"], &error["code"]);
        assert_eq!(
            seen,
            (&json!("insufficient_quota"), &json!("budget_exceeded"))
        );
        assert!(retry_after(&reply) <= 31 * 24 * 3600);
        assert_eq!(rig.upstream.ledger().served.len(), allowed);

        let page = rig.gateway.metrics_after(allowed as u64 + 1);
        let error = [("type", "budget"), ("provider", "none")];
        assert_eq!(page.count("coo_llm_errors_total", &error), 1);
        assert_eq!(nano(&page, "coo_llm_client_budget_usd"), budget);
        let spent = nano(&page, "coo_llm_client_budget_spent_usd");
        assert_eq!(spent, allowed as u64 * cost);
        assert_eq!(nano(&page, "coo_llm_client_cost_total"), spent);
        let resets = of_client(&page, "coo_llm_client_budget_reset_timestamp_seconds");
        assert_eq!(resets % (24 * 3600), 0, "midnight");
    }
}

#[test]
fn two_workers_at_full_rate_spend_no_more_than_the_budget() {
    const FIT: u64 = 50;
    const EACH: usize = 10;
    let (body, tokens) = exact_chat();
    let cost = tokens * NANO_A_TOKEN;
    let line = format!(
        "budget: {{ usd: {}, per: month, action: block }}",
        usd(FIT * cost)
    );
    let rig = rig(2, &line);
    let statuses = storm(&rig, &body, EACH);
    let (allowed, refused) = (count_of(&statuses, 200), count_of(&statuses, 429));
    let all = (CONNECTIONS * EACH) as u64;
    assert_eq!(allowed + refused, all);
    assert!((FIT - 1..=FIT).contains(&allowed), "{allowed}");
    let page = rig.gateway.metrics_after(all);
    let spent = nano(&page, "coo_llm_client_budget_spent_usd");
    assert_eq!(spent, allowed * cost);
    assert_eq!(nano(&page, "coo_llm_client_cost_total"), spent);
    assert_eq!(
        page.count("coo_llm_errors_total", &[("type", "budget")]),
        refused
    );
}

#[test]
fn a_budget_that_warns_says_so_and_lets_pass() {
    let (body, tokens) = exact_chat();
    let line = format!(
        "budget: {{ usd: {}, per: day, action: warn }}",
        usd(2 * tokens * NANO_A_TOKEN)
    );
    let rig = rig(1, &line);
    for warned in [false, false, true, true] {
        let reply = rig.chat(&body);
        assert_eq!(reply.status, 200);
        let warning = reply.header("x-coo-budget-warning");
        assert_eq!(warning.is_some(), warned, "{warning:?}");
    }
    let said = |log: &str| log.matches("a client's budget is spent").count();
    let what = "the log to say that the budget is spent";
    let log =
        coo_llm_tests::patience::poll(what, || Some(rig.gateway.log()).filter(|log| said(log) > 0));
    assert_eq!(said(&log), 1, "{log}");
    assert!(log.contains(CLIENT), "{log}");
}

#[test]
fn a_key_at_its_limit_is_passed_over_then_its_provider_then_the_client_waits() {
    const KEYS: [&str; 3] = [
        "sk-first-key-012345",
        "sk-second-key-01234",
        "sk-other-key-012345",
    ];
    let upstream = Upstream::builder().keys(&KEYS).models(&[MODEL]).start();
    let provider = |id, key| {
        let provider = Provider::new(id, &upstream.base_url(), key, MODEL, PRICING);
        provider.line("limits: { req_per_min: 2 }")
    };
    let mut config = config(&upstream.base_url());
    config.providers = vec![
        provider(PROVIDER, KEYS[0]).key(KEYS[1]),
        provider("spare", KEYS[2]),
    ];
    config.policy = Some("{ fallback: { enabled: true, providers: [spare] } }".to_owned());
    let gateway = Gateway::start(&config);
    let body = chat(&Script::default()).to_string();
    let mut client = gateway.client();
    let mut post = || client.post(CHAT, CLIENT_KEY, body.as_bytes());
    for provider in [PROVIDER, PROVIDER, PROVIDER, PROVIDER, "spare", "spare"] {
        let reply = post();
        assert_eq!(reply.status, 200, "{}", reply.text());
        assert_eq!(reply.header("x-coo-provider"), Some(provider));
    }
    let reply = post();
    assert_eq!(reply.status, 429, "{}", reply.text());
    assert!((1..=60).contains(&retry_after(&reply)));
    assert_eq!(reply.json()["error"]["code"], "rate_limit_exceeded");
    assert_eq!(upstream.ledger().served.len(), 6);

    let page = gateway.metrics_after(7);
    for (provider, key) in [(PROVIDER, KEYS[0]), (PROVIDER, KEYS[1]), ("spare", KEYS[2])] {
        let key = key_id(provider, key);
        let labels = [("key", &*key), ("outcome", "success")];
        assert_eq!(page.count("coo_llm_upstream_attempts_total", &labels), 2);
    }
    let limited = [("limit", "requests"), ("origin", "gateway")];
    assert_eq!(page.count("coo_llm_rate_limits_total", &limited), 1);
    let error = [("type", "rate_limit"), ("provider", PROVIDER)];
    assert_eq!(page.count("coo_llm_errors_total", &error), 1);
}

#[test]
fn two_workers_share_a_keys_limit() {
    const LIMIT: u64 = 100;
    const EACH: usize = 15;
    let rig = Rig::start_with(|config| {
        config.workers = Some(2);
        let limits = format!("limits: {{ req_per_min: {LIMIT} }}");
        config.providers[0].more.push(limits);
    });
    let begun = Instant::now();
    let statuses = storm(&rig, &chat(&Script::default()), EACH);
    let windows = 1 + (begun.elapsed().as_millis() / WINDOW_MIN.as_millis()) as u64;
    let (allowed, refused) = (count_of(&statuses, 200), count_of(&statuses, 429));
    let all = (CONNECTIONS * EACH) as u64;
    assert_eq!(allowed + refused, all);
    assert!(
        (LIMIT - 1..=LIMIT * windows).contains(&allowed),
        "{allowed}"
    );
    let page = rig.gateway.metrics_after(all);
    let key = provider_key_id();
    let limited = [("key", &*key), ("origin", "gateway")];
    assert_eq!(page.count("coo_llm_rate_limits_total", &limited), refused);
    assert_eq!(rig.upstream.ledger().served.len() as u64, allowed);
}

#[test]
fn openais_sdk_waits_as_long_as_it_is_told() {
    let rig = rig(1, "limits: { req_per_min: 1, tokens_per_min: 1000000 }");
    let output = Command::new(python::interpreter())
        .arg(python::script("limits.py"))
        .args([
            &format!("http://{}/v1", rig.gateway.addr()),
            CLIENT_KEY,
            MODEL,
        ])
        .output()
        .expect("the interpreter runs");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{stderr}");
    let saw: Value = serde_json::from_slice(&output.stdout).expect("an observation");
    assert_eq!(saw["first"]["remaining"], "0");
    assert_eq!(saw["error"], "RateLimitError");
    assert_eq!(
        (&saw["status"], &saw["code"]),
        (&json!(429), &json!("rate_limit_exceeded"))
    );
    let headers = &saw["headers"];
    assert_eq!(headers["x-ratelimit-limit-requests"], "1");
    assert_eq!(headers["x-ratelimit-limit-tokens"], "1000000");
    let after = headers["retry-after"]
        .as_str()
        .and_then(|it| it.parse::<u64>().ok());
    let after = after.expect("whole seconds");
    // One second may pass between the two answers.
    let slept = saw["slept"].as_array().expect("pauses");
    let slept: Vec<u64> = slept
        .iter()
        .filter_map(Value::as_f64)
        .map(|it| it as u64)
        .collect();
    assert_eq!(slept.len(), 1, "one retry: {saw}");
    assert!((1..=60).contains(&after), "{saw}");
    assert!(slept[0] >= after && slept[0] <= 60, "{saw}");
    assert_eq!(rig.upstream.ledger().served.len(), 1);
}
