//! 10,000 mixed requests over two workers: every counter equals the oracle's.
//!
//! Clients, providers, models, keys, JSON, streams, embeddings and failures are mixed by a
//! seed. What a client sent, what the upstreams' ledgers say and what the client saw make
//! the oracle's events; `/metrics` has to agree with it to the unit.
//!
//! Needs the built gateway.

use coo_llm_tests::client::{Client, Reply};
use coo_llm_tests::gateway::{ClientKey, Config, Gateway, ONE_ATTEMPT, Pricing, Provider};
use coo_llm_tests::oracle::{Event, Oracle, Target, key_id};
use coo_llm_tests::upstream::{Kind, Script, Served, TokenCounts, Upstream, Usage, UsageMode};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::net::SocketAddr;

const REQUESTS: usize = 10_000;
const CONNECTIONS: usize = 16;

const CHAT_PRICE: Pricing = Pricing {
    input: "2.50",
    output: "10.00",
    cached_input: Some("1.25"),
};
/// An odd count of these costs half a nano-USD.
const FINE_PRICE: Pricing = Pricing {
    input: "0.0375",
    output: "0.1505",
    cached_input: None,
};
const EMBED_PRICE: Pricing = Pricing {
    input: "0.02",
    output: "0",
    cached_input: None,
};

/// (model, provider, its prices).
const MODELS: [(&str, &str, Option<Pricing>); 5] = [
    ("a-large", "alpha", Some(CHAT_PRICE)),
    ("a-small", "alpha", Some(FINE_PRICE)),
    ("b-embed", "beta", Some(EMBED_PRICE)),
    ("b-large", "beta", Some(CHAT_PRICE)),
    ("b-unpriced", "beta", None),
];
/// (client, key); the last may use beta only.
const CLIENTS: [(&str, &str); 3] = [
    ("web", "sk-web-0123456789abcdef"),
    ("batch", "sk-batch-0123456789abcdef"),
    ("beta-only", "sk-beta-only-0123456789abcdef"),
];

/// SplitMix64: small, seeded, the same everywhere.
struct Rng(u64);

impl Rng {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    fn pick<'a, T>(&mut self, list: &'a [T]) -> &'a T {
        let index = self.below(list.len() as u64);
        &list[usize::try_from(index).expect("an index")]
    }
}

/// One request as it will be sent, and what has to become of it.
struct Plan {
    path: &'static str,
    key: Option<&'static str>,
    client: Option<&'static str>,
    body: Vec<u8>,
    status: u16,
    /// `None` where it must not go upstream.
    model: Option<usize>,
    error: Option<&'static str>,
    streams: bool,
}

fn usage(rng: &mut Rng, kind: Kind) -> Usage {
    let prompt = 1 + rng.below(5_000);
    let cached = rng.below(3).min(1) * rng.below(prompt);
    if kind == Kind::Embedding {
        return Usage {
            prompt,
            completion: 0,
            ..Usage::default()
        };
    }
    let completion = rng.below(2_000);
    let reasoning = rng.below(3) / 2 * rng.below(completion + 1);
    Usage {
        prompt,
        completion,
        cached,
        cache_write: 0,
        audio_in: rng.below(4) / 3 * rng.below(prompt - cached + 1),
        reasoning,
        audio_out: rng.below(4) / 3 * rng.below(completion - reasoning + 1),
    }
}

/// A request that goes upstream.
fn forwarded(rng: &mut Rng, marker: &str) -> Plan {
    let index = usize::try_from(rng.below(MODELS.len() as u64)).expect("an index");
    let (model, provider, pricing) = &MODELS[index];
    let clients = if *provider == "beta" {
        &CLIENTS[..]
    } else {
        &CLIENTS[..2]
    };
    let (client, key) = *rng.pick(clients);
    let kind = match *model {
        "b-embed" => Kind::Embedding,
        _ if rng.below(8) == 0 => Kind::Completion,
        _ => Kind::Chat,
    };
    let streams = kind != Kind::Embedding && rng.below(2) == 0;
    let mut script = Script {
        usage: usage(rng, kind),
        chunks: 1 + u32::try_from(rng.below(6)).expect("small"),
        ..Script::default()
    };
    script.usage_mode = *rng.pick(&[UsageMode::OpenAi, UsageMode::Always]);
    if streams && rng.below(4) == 0 {
        script.usage_mode = UsageMode::Cumulative;
    }
    script.crlf = rng.below(4) == 0;
    script.comments = rng.below(8) == 0;
    script.tool_call = rng.below(8) == 0;
    script.split = usize::try_from(rng.below(4) / 3 * (1 + rng.below(200))).expect("small");
    let mut error = None;
    // A failure on a model without a price has no cost that one could argue about; leave it out.
    if pricing.is_some() && rng.below(8) == 0 {
        let failures = [
            (429, "rate_limit"),
            (500, "upstream_5xx"),
            (503, "upstream_5xx"),
            (400, "upstream_4xx"),
        ];
        let (status, kind) = *rng.pick(&failures);
        script.status = Some(status);
        error = Some(kind);
    }
    let name = match rng.below(3) {
        0 => format!("{provider}:{model}"),
        1 if *model == "a-small" => "fast".to_owned(),
        _ => (*model).to_owned(),
    };
    let mut body = json!({"model": name, "user": marker, "upstream": script});
    let path = match kind {
        Kind::Embedding => {
            body["input"] = json!(["one", "two"]);
            "/v1/embeddings"
        }
        Kind::Completion => {
            body["prompt"] = json!("Say hello.");
            "/api/v1/completions"
        }
        _ => {
            body["messages"] = json!([{"role": "user", "content": "Grüße 👋"}]);
            "/v1/chat/completions"
        }
    };
    if streams {
        body["stream"] = json!(true);
        if rng.below(2) == 0 {
            body["stream_options"] = json!({"include_usage": true});
        }
    }
    Plan {
        path,
        key: Some(key),
        client: Some(client),
        body: body.to_string().into_bytes(),
        status: script.status.unwrap_or(200),
        model: Some(index),
        error,
        streams,
    }
}

/// A request that has to stop at the gateway.
fn refused(rng: &mut Rng) -> Plan {
    let (client, key) = *rng.pick(&CLIENTS);
    let body = |model: &str| {
        json!({"model": model, "messages": []})
            .to_string()
            .into_bytes()
    };
    let plan = |key, client, body, status, error| Plan {
        path: "/v1/chat/completions",
        key,
        client,
        body,
        status,
        model: None,
        error: Some(error),
        streams: false,
    };
    match rng.below(5) {
        0 => plan(
            Some(key),
            Some(client),
            b"{\"model\": oops".to_vec(),
            400,
            "invalid_request",
        ),
        1 => plan(
            Some(key),
            Some(client),
            body("no-such-model"),
            404,
            "invalid_request",
        ),
        2 => plan(None, None, body("a-large"), 401, "auth"),
        3 => plan(Some("sk-wrong"), None, body("a-large"), 401, "auth"),
        _ => plan(
            Some(CLIENTS[2].1),
            Some(CLIENTS[2].0),
            body("a-large"),
            403,
            "auth",
        ),
    }
}

fn send(client: &mut Client, plan: &Plan) -> Reply {
    let bearer = format!("Bearer {}", plan.key.unwrap_or(""));
    let mut headers = vec![("content-type", "application/json")];
    if plan.key.is_some() {
        headers.push(("authorization", bearer.as_str()));
    }
    let reply = client.request("POST", plan.path, &headers, &plan.body);
    let reply = reply.expect("a whole response");
    assert_eq!(reply.status, plan.status, "{}", reply.text());
    reply
}

/// The usage that the client saw, in the last place where there was one.
fn seen(plan: &Plan, reply: &Reply) -> Option<Value> {
    if !plan.streams || plan.status != 200 {
        return reply.json().get("usage").cloned();
    }
    let events = reply.events();
    assert_eq!(events.last().map(String::as_str), Some("[DONE]"));
    let json = |event: &String| serde_json::from_str::<Value>(event).ok();
    let mut usages = events
        .iter()
        .filter_map(json)
        .map(|event| event["usage"].clone());
    usages.rfind(Value::is_object)
}

/// What a `usage` object says, taken apart as the ledger does it.
fn counts(usage: &Value) -> TokenCounts {
    let number = |pointer: &str| usage.pointer(pointer).and_then(Value::as_u64).unwrap_or(0);
    TokenCounts::from_usage(&Usage {
        prompt: number("/prompt_tokens"),
        completion: number("/completion_tokens"),
        cached: number("/prompt_tokens_details/cached_tokens"),
        cache_write: 0,
        audio_in: number("/prompt_tokens_details/audio_tokens"),
        reasoning: number("/completion_tokens_details/reasoning_tokens"),
        audio_out: number("/completion_tokens_details/audio_tokens"),
    })
}

/// Sends every plan, over as many connections as there are threads; the replies in order.
fn send_all(addr: SocketAddr, plans: &[Plan]) -> Vec<Option<Value>> {
    let next = std::sync::atomic::AtomicUsize::new(0);
    let usages = std::sync::Mutex::new(vec![None; plans.len()]);
    std::thread::scope(|scope| {
        for _ in 0..CONNECTIONS {
            scope.spawn(|| {
                let mut client = Client::connect(addr);
                loop {
                    let index = next.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                    let Some(plan) = plans.get(index) else { return };
                    let usage = seen(plan, &send(&mut client, plan));
                    usages.lock().expect("no sender panics here")[index] = usage;
                }
            });
        }
    });
    usages.into_inner().expect("no sender panicked")
}

fn start(alpha: &Upstream, beta: &Upstream) -> Gateway {
    let of = |id: &'static str| {
        MODELS
            .iter()
            .filter(move |(_, provider, _)| *provider == id)
    };
    let provider = |id: &'static str, upstream: &Upstream, keys: &[&str]| Provider {
        id: id.to_owned(),
        kind: "custom".to_owned(),
        base_url: upstream.base_url(),
        keys: keys.iter().map(ToString::to_string).collect(),
        models: of(id)
            .map(|(model, _, price)| ((*model).to_owned(), *price))
            .collect(),
        more: Vec::new(),
    };
    let (last, all) = CLIENTS.split_last().expect("there are clients");
    let mut clients: Vec<ClientKey> = all
        .iter()
        .map(|(id, key)| ClientKey::new(id, key))
        .collect();
    clients.push(ClientKey::limited_to(last.0, last.1, &["beta"]));
    Gateway::start(&Config {
        providers: vec![
            provider(
                "alpha",
                alpha,
                &["sk-alpha-1-0123456789", "sk-alpha-2-0123456789"],
            ),
            provider("beta", beta, &["sk-beta-1-0123456789"]),
        ],
        clients,
        workers: Some(2),
        policy: Some(ONE_ATTEMPT.to_owned()),
        top: vec!["model_aliases: { fast: \"alpha:a-small\" }".to_owned()],
        ..Config::default()
    })
}

/// The ledgers' lines by the marker that each request carries.
fn by_marker(upstreams: [(&str, &Upstream); 2]) -> BTreeMap<String, (String, Served)> {
    let mut lines = BTreeMap::new();
    for (provider, upstream) in upstreams {
        for served in upstream.ledger().served {
            let body: Value = serde_json::from_slice(&served.body).expect("a body that is JSON");
            let marker = body["user"].as_str().expect("a marker").to_owned();
            let twice = lines.insert(marker, (provider.to_owned(), served));
            assert!(twice.is_none(), "a request went upstream twice: {twice:?}");
        }
    }
    lines
}

#[test]
fn every_counter_equals_the_oracles() {
    let (alpha, beta) = (Upstream::builder().start(), Upstream::builder().start());
    let gateway = start(&alpha, &beta);
    let mut rng = Rng(0xc0_011a);
    let plans: Vec<Plan> = (0..REQUESTS)
        .map(|index| match rng.below(10) {
            0 => refused(&mut rng),
            _ => forwarded(&mut rng, &format!("r-{index}")),
        })
        .collect();
    let usages = send_all(gateway.addr(), &plans);
    let page = gateway.metrics_after(REQUESTS as u64);

    let mut lines = by_marker([("alpha", &alpha), ("beta", &beta)]);
    let mut oracle = Oracle::default();
    for (index, (plan, usage)) in plans.iter().zip(&usages).enumerate() {
        let line = lines.remove(&format!("r-{index}"));
        assert_eq!(line.is_some(), plan.model.is_some(), "r-{index}");
        let (mut target, mut tokens, mut pricing) = (None, None, None);
        if let (Some(model), Some((provider, served))) = (plan.model, line) {
            let (model, of_provider, price) = MODELS[model];
            assert_eq!(
                (provider.as_str(), served.model.as_str()),
                (of_provider, model)
            );
            assert_eq!(served.status, plan.status);
            // gateway == ledger == what the client saw
            if let Some(usage) = usage {
                assert_eq!(Some(counts(usage)), served.tokens, "r-{index}");
            }
            target = Some(Target {
                key: key_id(&provider, &served.key),
                provider,
                model: model.to_owned(),
            });
            (tokens, pricing) = (served.tokens, price);
            assert_eq!(tokens.is_some(), plan.error.is_none(), "r-{index}");
        }
        oracle.record(&Event {
            target,
            client: plan.client.map(ToOwned::to_owned),
            tokens,
            pricing,
            error: plan.error,
            provider_limited: plan.status == 429,
        });
    }
    assert!(lines.is_empty(), "requests that no one sent: {lines:?}");
    assert_eq!(oracle.requests(), REQUESTS as u64);
    assert_eq!(oracle.differences(&page), Vec::<String>::new());
    // The oracle is not empty where it matters.
    assert!(oracle.sum("coo_llm_cost_total") > 0 && oracle.sum("coo_llm_errors_total") > 0);

    // One attempt for each request that went upstream, under the same labels.
    let attempts = page.count("coo_llm_upstream_attempts_total", &[]);
    let ledger = alpha.ledger().served.len() + beta.ledger().served.len();
    assert_eq!(attempts, ledger as u64);
    assert_eq!(
        page.count("coo_llm_records_total", &[("stage", "recorded")]),
        REQUESTS as u64
    );
    assert_eq!(page.count("coo_llm_active_requests", &[]), 0);

    // The admin JSON is made from the same records.
    let global = gateway.admin_get("/admin/v1/metrics/global").json();
    assert_eq!(global["total_requests"], json!(REQUESTS));
    assert_eq!(
        global["total_tokens"],
        json!(oracle.sum("coo_llm_tokens_total"))
    );
    let cost = coo_llm_tests::exposition::Decimal::parse(&global["total_cost"].to_string());
    let cost = cost.and_then(|decimal| decimal.scaled(9));
    assert_eq!(cost, Some(oracle.sum("coo_llm_cost_total")));
}
