//! The admin API beside `/metrics` and beside the administrator's guide: what it says of real
//! traffic is the same to the unit, and its `curl` lines work as they are written.
//!
//! Needs the built gateway and `curl`.

use coo_llm_tests::exposition::Exposition;
use coo_llm_tests::gateway::{
    ADMIN_KEY, ClientKey, Config, Gateway, ONE_ATTEMPT, Pricing, Provider,
};
use coo_llm_tests::oracle::key_id;
use coo_llm_tests::rig::{self, CHAT};
use coo_llm_tests::upstream::{Script, Upstream, Usage};
use serde_json::{Value, json};
use std::path::Path;
use std::process::Command;

const CLIENT: &str = "client-123";
const CLIENT_KEY: &str = "sk-client-123-0123456789";
const POOR: &str = "poor";
const POOR_KEY: &str = "sk-poor-0123456789abcdef";
const PROVIDERS: [(&str, &str, &str); 2] = [
    ("openai", "m-one", "sk-openai-fedcba9876543210"),
    ("acme", "m-two", "sk-acme-fedcba9876543210"),
];
const PRICING: Pricing = Pricing {
    input: "0.0375",
    output: "10.00",
    cached_input: Some("0.01"),
};
const USAGE: Usage = Usage {
    prompt: 131,
    completion: 77,
    cached: 32,
    cache_write: 0,
    audio_in: 5,
    reasoning: 13,
    audio_out: 3,
};

/// Two providers, their upstreams, and a client that can pay little.
struct Scene {
    upstreams: Vec<Upstream>,
    config: Config,
    gateway: Gateway,
}

impl Scene {
    fn start(history: &Path) -> Self {
        let upstreams: Vec<_> = PROVIDERS
            .iter()
            .map(|(_, model, key)| Upstream::builder().keys(&[key]).models(&[model]).start())
            .collect();
        let providers = PROVIDERS.iter().zip(&upstreams);
        let providers = providers.map(|((id, model, key), upstream)| Provider {
            id: (*id).to_owned(),
            kind: "custom".to_owned(),
            base_url: upstream.base_url(),
            keys: vec![(*key).to_owned()],
            models: vec![((*model).to_owned(), Some(PRICING))],
            more: Vec::new(),
        });
        let poor = ClientKey::new(POOR, POOR_KEY)
            .line("budget: { usd: 0.003, per: month, action: block }");
        let config = Config {
            providers: providers.collect(),
            clients: vec![ClientKey::new(CLIENT, CLIENT_KEY), poor],
            workers: Some(2),
            policy: Some(ONE_ATTEMPT.to_owned()),
            server: vec!["admin_req_per_min: none".to_owned()],
            top: vec![format!(
                "storage: {{ flush_interval: 1s, history: {{ path: \"{}\" }} }}",
                history.display()
            )],
            ..Config::default()
        };
        let gateway = Gateway::start(&config);
        Self {
            upstreams,
            config,
            gateway,
        }
    }

    fn post(&self, key: &str, body: &[u8]) -> u16 {
        self.gateway.client().post(CHAT, key, body).status
    }

    fn chat(&self, key: &str, model: &str, status: Option<u16>, streams: bool) -> u16 {
        let script = Script {
            usage: USAGE,
            status,
            ..Script::default()
        };
        let mut body = if streams {
            rig::stream(&script)
        } else {
            rig::chat(&script)
        };
        body["model"] = json!(model);
        body["max_tokens"] = json!(100);
        self.post(key, body.to_string().as_bytes())
    }

    /// Answers, streams, failures of each kind, and requests that reach no provider.
    fn traffic(&self) -> u64 {
        let mut sent = 0;
        for (_, model, _) in PROVIDERS {
            for n in 0..6 {
                assert_eq!(self.chat(CLIENT_KEY, model, None, n % 2 == 0), 200);
                sent += 1;
            }
            for status in [500, 429, 400] {
                assert_eq!(self.chat(CLIENT_KEY, model, Some(status), false), status);
                sent += 1;
            }
        }
        assert_eq!(self.chat(POOR_KEY, "m-one", None, false), 200);
        sent += 1;
        // What is left is less than a request reserves.
        let mut refused = 0;
        while refused < 3 {
            refused += u64::from(self.chat(POOR_KEY, "m-one", None, false) == 429);
            sent += 1;
            assert!(sent < 100, "the budget never ends");
        }
        assert_eq!(self.post("sk-nobody", b"{}"), 401);
        assert_eq!(self.post(CLIENT_KEY, b"{\"model\": oops"), 400);
        assert_eq!(self.chat(CLIENT_KEY, "no-such-model", None, false), 404);
        sent + 3
    }

    fn json(&self, path: &str) -> Value {
        get(&self.gateway, path)
    }
}

fn get(gateway: &Gateway, path: &str) -> Value {
    let reply = gateway.admin_get(path);
    assert_eq!(reply.status, 200, "{path}: {}", reply.text());
    reply.json()
}

/// Money as integers: amounts here are far below 2^53 nano-USD.
fn nano(usd: &Value) -> u64 {
    let usd = usd
        .as_f64()
        .unwrap_or_else(|| unreachable!("no amount: {usd}"));
    (usd * 1e9).round() as u64
}

/// What `/metrics` says of some labels, as the summaries of the admin API name it.
fn summary(page: &Exposition, labels: &[(&str, &str)]) -> Value {
    let tokens = |kind| {
        let mut labels = labels.to_vec();
        labels.push(("type", kind));
        page.count("coo_llm_tokens_total", &labels)
    };
    let input = tokens("input") + tokens("cached_input") + tokens("audio_input");
    let output = tokens("output") + tokens("reasoning") + tokens("audio_output");
    json!({
        "total_requests": page.count("coo_llm_requests_total", labels),
        "total_tokens": page.count("coo_llm_tokens_total", labels),
        "input_tokens": input,
        "output_tokens": output,
        "total_cost": page.nano_usd("coo_llm_cost_total", labels),
    })
}

/// The members of `want` in an answer.
fn assert_has(answer: &Value, want: &Value, what: &str) {
    for (name, want) in want.as_object().expect("an object") {
        let have = if name == "total_cost" {
            json!(nano(&answer[name]))
        } else {
            answer[name].clone()
        };
        assert_eq!(&have, want, "{what} {name}: {answer}");
    }
}

/// Everything that the admin API says of a window, against a page.
fn assert_agrees(gateway: &Gateway, page: &Exposition, window: &str) {
    let requests = page.count("coo_llm_requests_total", &[]);
    let errors = page.count("coo_llm_errors_total", &[]);
    let global = get(gateway, &format!("/admin/v1/metrics/global?{window}"));
    assert_has(&global, &summary(page, &[]), "global");
    assert_eq!(global["errors"], json!(errors));
    assert_eq!(
        global["unpriced_requests"],
        json!(page.count("coo_llm_unpriced_requests_total", &[]))
    );
    let rate = global["overall_success_rate"].as_f64().expect("a rate");
    assert!((rate - (1.0 - errors as f64 / requests as f64)).abs() < 1e-12);
    let timed = page.count("coo_llm_latency_seconds_count", &[]);
    assert_eq!(timed, requests);

    let mut of_providers = 0;
    for (provider, model, key) in [
        ("none", "none", "none".to_owned()),
        (
            PROVIDERS[0].0,
            PROVIDERS[0].1,
            key_id(PROVIDERS[0].0, PROVIDERS[0].2),
        ),
        (
            PROVIDERS[1].0,
            PROVIDERS[1].1,
            key_id(PROVIDERS[1].0, PROVIDERS[1].2),
        ),
    ] {
        let labels = [("provider", provider)];
        let answer = get(
            gateway,
            &format!("/admin/v1/metrics/providers/{provider}?{window}"),
        );
        let want = summary(page, &labels);
        assert_has(&answer, &want, provider);
        of_providers += answer["total_requests"].as_u64().expect("a count");
        let failed = page.count("coo_llm_errors_total", &labels);
        assert_eq!(answer["error_count"], json!(failed));
        for (kind, count) in answer["error_types"].as_object().expect("types") {
            let labels = [("provider", provider), ("type", kind.as_str())];
            assert_eq!(count, &json!(page.count("coo_llm_errors_total", &labels)));
        }
        let types = answer["error_types"].as_object().expect("types").values();
        assert_eq!(types.filter_map(Value::as_u64).sum::<u64>(), failed);
        for part in [&answer["models"][model], &answer["keys"][&key]] {
            assert_eq!(part["requests"], want["total_requests"], "{answer}");
            assert_eq!(
                nano(&part["cost"]),
                want["total_cost"].as_u64().expect("an amount")
            );
        }
        // Another door to the same: one group of all dimensions.
        let by = "group_by=provider,model,key";
        let stats = get(gateway, &format!("/admin/v1/stats?{by}&{window}"));
        let group = &stats["stats"][provider][model][&key];
        assert_eq!(group["queries"], want["total_requests"], "{stats}");
        assert_eq!(group["tokens"], want["total_tokens"]);
        assert_eq!(json!(nano(&group["cost"])), want["total_cost"]);
    }
    assert_eq!(of_providers, requests);

    let clients = get(gateway, &format!("/admin/v1/clients?{window}"));
    let mut of_clients = 0;
    for (client, stats) in clients["client_stats"].as_object().expect("clients") {
        let labels = [("client_id", client.as_str())];
        let queries = page.count("coo_llm_client_requests_total", &labels);
        of_clients += queries;
        assert_eq!(stats["total"]["queries"], json!(queries), "{client}");
        let cost = page.nano_usd("coo_llm_client_cost_total", &labels);
        assert_eq!(nano(&stats["total"]["cost"]), cost);
        let answer = get(
            gateway,
            &format!("/admin/v1/metrics/clients/{client}?{window}"),
        );
        let want = json!({
            "total_requests": queries,
            "total_tokens": page.count("coo_llm_client_tokens_total", &labels),
            "total_cost": cost,
            "errors": page.count("coo_llm_client_errors_total", &labels),
        });
        assert_has(&answer, &want, client);
        let parts = answer["providers"].as_object().expect("parts").values();
        let parts = parts.filter_map(|part| part["requests"].as_u64());
        assert_eq!(parts.sum::<u64>(), queries);
    }
    assert_eq!(of_clients, requests);

    let series = get(gateway, &format!("/admin/v1/metrics?{window}"));
    let sum = |name: &str| {
        let points = series[name]["points"].as_array().expect("points").iter();
        points
            .map(|point| point["value"].clone())
            .collect::<Vec<_>>()
    };
    let counts = |name| sum(name).iter().filter_map(Value::as_u64).sum::<u64>();
    assert_eq!(counts("requests"), requests);
    assert_eq!(counts("errors"), errors);
    assert_eq!(counts("tokens"), page.count("coo_llm_tokens_total", &[]));
    let cost: u64 = sum("cost").iter().map(nano).sum();
    assert_eq!(cost, page.nano_usd("coo_llm_cost_total", &[]));
}

#[test]
fn it_says_what_metrics_say_now_and_after_a_restart() {
    let folder = tempfile::TempDir::new().expect("a temporary folder");
    let mut scene = Scene::start(&folder.path().join("history.db"));
    let sent = scene.traffic();
    let page = scene.gateway.metrics_after(sent);
    assert_eq!(page.count("coo_llm_requests_total", &[]), sent);
    // The scene is one in which there is something to see.
    for kind in [
        "budget",
        "upstream_5xx",
        "upstream_4xx",
        "rate_limit",
        "auth",
        "invalid_request",
    ] {
        let errors = page.count("coo_llm_errors_total", &[("type", kind)]);
        assert!(errors > 0, "{kind}");
    }
    assert!(page.nano_usd("coo_llm_cost_total", &[]) > 0);
    // What is not flushed yet and what is: the same.
    assert_agrees(&scene.gateway, &page, "");
    let persisted = [("stage", "persisted")];
    let flushed = scene
        .gateway
        .metrics_when("everything in the file", |page| {
            page.count("coo_llm_records_total", &persisted) == sent
        });
    assert_eq!(flushed.count("coo_llm_requests_total", &[]), sent);
    assert_agrees(&scene.gateway, &page, "");
    let begins = scene.json("/admin/v1/metrics/global")["start"].clone();
    scene.gateway.terminate();
    assert_eq!(scene.gateway.wait().code(), Some(0));
    let again = Gateway::start(&scene.config);
    assert_agrees(&again, &page, &format!("start={begins}"));
    drop(scene.upstreams);
}

/// Runs a line of the guide in a shell, for this gateway's port and key.
fn curl(gateway: &Gateway, line: &str) -> Value {
    let line = line
        .replace(
            "localhost:2906",
            &format!("localhost:{}", gateway.admin().port()),
        )
        .replace("your-admin-key", "admin-key")
        .replace("admin-key", ADMIN_KEY)
        .replace("curl ", "curl --silent --show-error --fail ");
    let output = Command::new("sh")
        .args(["-c", &line])
        .output()
        .expect("a shell");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{line}: {errors}");
    serde_json::from_slice(&output.stdout).expect("JSON")
}

/// Whether an answer has every member of a sample, with values of the same kind where they are
/// known.
fn assert_like(answer: &Value, sample: &Value, what: &str) {
    for (name, sample) in sample.as_object().expect("an object") {
        let have = &answer[name];
        let is_alike =
            have.is_number() && sample.is_number() || have.is_string() && sample.is_string();
        assert!(is_alike, "{what} {name}: {answer}");
    }
}

#[test]
fn the_guides_lines_work_as_they_are_written() {
    let folder = tempfile::TempDir::new().expect("a temporary folder");
    let scene = Scene::start(&folder.path().join("history.db"));
    let sent = scene.traffic();
    let page = scene.gateway.metrics_after(sent);
    assert!(page.count("coo_llm_requests_total", &[]) == sent);
    let line = r#"curl -H "Authorization: Bearer admin-key" \
  http://localhost:2906/admin/v1/metrics/clients/client-123"#;
    let client = curl(&scene.gateway, line);
    let sample = json!({
        "client_id": "client-123", "total_requests": 1000, "total_tokens": 50000,
        "total_cost": 25.50, "success_rate": 0.98, "avg_latency": 150.5,
        "last_request_time": 1_700_001_000,
    });
    assert_like(&client, &sample, "client");
    let auth = r#"curl -H "Authorization: Bearer admin-key" "http://localhost:2906"#;
    let provider = curl(
        &scene.gateway,
        &format!("{auth}/admin/v1/metrics/providers/openai\""),
    );
    let sample = json!({
        "provider_id": "openai", "total_requests": 500, "total_tokens": 25000,
        "total_cost": 12.50, "success_rate": 0.99, "avg_latency": 120.3, "error_count": 5,
    });
    assert_like(&provider, &sample, "provider");
    let global = curl(&scene.gateway, &format!("{auth}/admin/v1/metrics/global\""));
    let sample = json!({
        "total_clients": 5, "total_providers": 3, "total_requests": 2500,
        "total_tokens": 125_000, "total_cost": 62.50, "overall_success_rate": 0.97,
        "avg_latency": 135.2,
    });
    assert_like(&global, &sample, "global");
    // Of 2023 this gateway knows nothing, and says so.
    for path in ["clients/client-123", "providers/openai", "global"] {
        let then = "start=1700000000&end=1700003600";
        let answer = curl(
            &scene.gateway,
            &format!("{auth}/admin/v1/metrics/{path}?{then}\""),
        );
        assert_eq!(
            (&answer["partial"], &answer["total_requests"]),
            (&json!(true), &Value::Null)
        );
    }
    // Without quotes a shell takes the line as far as the `&`.
    let line = r#"curl -H "Authorization: Bearer your-admin-key" \
  http://localhost:2906/admin/v1/metrics?start=1700000000&end=1700003600
wait"#;
    let series = curl(&scene.gateway, line);
    for name in ["latency", "tokens"] {
        let point = series[name]["points"]
            .as_array()
            .and_then(|points| points.last());
        let sample = json!({"timestamp": 1_700_000_100, "value": 150.5});
        assert_like(point.expect("a point"), &sample, name);
    }
    assert_eq!(
        curl(&scene.gateway, "curl http://localhost:2906/health"),
        json!({"status": "ok"})
    );
}
