//! Reload: another configuration under load, by SIGHUP and by the admin API.
//!
//! Needs the built gateway.

use coo_llm_tests::client::{Client, Reply};
use coo_llm_tests::exposition::{Decimal, Exposition};
use coo_llm_tests::gateway::{
    ADMIN_KEY, ClientKey, Config, Gateway, ONE_ATTEMPT, Pricing, Provider,
};
use coo_llm_tests::oracle::key_id;
use coo_llm_tests::patience::poll;
use coo_llm_tests::rig::{self, CHAT, Rig};
use coo_llm_tests::upstream::{Kind, Script, TokenCounts, Upstream};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

const RELOADS: u32 = 60;
const CONNECTIONS: usize = 16;
/// Requests that go through between two reloads, at least.
const BETWEEN: u64 = 30;
const KEYS: [&str; 3] = [
    "sk-acme-1-aaaaaaaa",
    "sk-acme-2-bbbbbbbb",
    "sk-acme-3-cccccccc",
];
const MOVER_KEY: &str = "sk-mover-dddddddd";
const EXTRA_KEY: &str = "sk-extra-eeeeeeee";
const STEADY: &str = "sk-steady-0123456789abcdef";
const GUEST: &str = "sk-guest-0123456789abcdef";

const FIXED: Pricing = Pricing {
    input: "1.00",
    output: "2.00",
    cached_input: None,
};

fn priced(input: &'static str) -> Pricing {
    Pricing { input, ..FIXED }
}

/// Two configurations and the upstreams that both name.
struct Scene {
    here: Upstream,
    there: Upstream,
}

impl Scene {
    fn start() -> Self {
        let mut keys = KEYS.to_vec();
        keys.extend([MOVER_KEY, EXTRA_KEY]);
        let start = || Upstream::builder().keys(&keys).start();
        Self {
            here: start(),
            there: start(),
        }
    }

    /// Keys of `acme` rotate, the price of `m-json` changes, `mover` moves.
    fn config(&self, is_second: bool) -> Config {
        let (keys, price, at) = if is_second {
            // By a name that is new with each such reload.
            let port = self.there.addr().port();
            (&KEYS[1..], "3.00", format!("http://localhost:{port}/v1"))
        } else {
            (&KEYS[..2], "1.50", self.here.base_url())
        };
        let mut acme = Provider::new(
            "acme",
            &self.here.base_url(),
            keys[0],
            "m-json",
            priced(price),
        )
        .model("m-stream", Some(FIXED));
        for key in &keys[1..] {
            acme = acme.key(key);
        }
        let mover = Provider::new("mover", &at, MOVER_KEY, "m-mover", FIXED);
        let mut config = Config {
            providers: vec![acme, mover],
            clients: vec![ClientKey::new("steady", STEADY)],
            workers: Some(2),
            // Nothing hides a failure.
            policy: Some(ONE_ATTEMPT.to_owned()),
            ..Config::default()
        };
        if is_second {
            let extra = Provider::new("extra", &self.there.base_url(), EXTRA_KEY, "m-extra", FIXED);
            // First, so that all others have another place.
            config.providers.insert(0, extra);
            config.clients.insert(0, ClientKey::new("guest", GUEST));
        }
        config
    }
}

fn ask(client: &mut Client, key: &str, model: &str, script: &Script, streams: bool) -> Reply {
    let mut body = rig::chat(script);
    body["model"] = json!(model);
    body["stream"] = json!(streams);
    client.post(CHAT, key, body.to_string().as_bytes())
}

fn reloads_in_log(gateway: &Gateway) -> usize {
    gateway
        .log()
        .matches("the configuration is reloaded")
        .count()
}

/// Reloads by SIGHUP and waits until the log says that it is done.
fn hang_up_and_wait(gateway: &Gateway) {
    let before = reloads_in_log(gateway);
    gateway.hang_up();
    poll("the log to say that it reloaded", || {
        (reloads_in_log(gateway) > before).then_some(())
    });
}

fn post_config(gateway: &Gateway, text: &str) {
    let reply = gateway.admin_send("POST", "/admin/v1/config", text);
    assert_eq!(reply.status, 200, "{}", reply.text());
    let answer: Value = serde_json::from_slice(&reply.body).expect("JSON");
    assert_eq!(
        (&answer["status"], &answer["reloaded"]),
        (&json!("ok"), &json!(true))
    );
}

/// What the clients of the load saw.
#[derive(Debug, Default)]
struct Seen {
    requests: u64,
    /// By the header of each answer, in nano-USD, by model.
    costs: BTreeMap<String, u64>,
}

/// One connection's requests until it is told to stop; each has to succeed.
fn load(gateway: &Gateway, done: &AtomicU64, stop: &AtomicBool) -> Seen {
    let mut client = gateway.client();
    let mut seen = Seen::default();
    let script = Script::default();
    while !stop.load(Ordering::Relaxed) {
        let (model, name, streams) = match seen.requests % 3 {
            0 => ("acme:m-json", "m-json", false),
            1 => ("m-stream", "m-stream", true),
            _ => ("mover:m-mover", "m-mover", false),
        };
        let reply = ask(&mut client, STEADY, model, &script, streams);
        assert_eq!(reply.status, 200, "{model}: {}", reply.text());
        if streams {
            assert!(
                reply.text().ends_with("data: [DONE]\n\n"),
                "{}",
                reply.text()
            );
        } else {
            let cost = reply.header("x-coo-cost-usd").and_then(Decimal::parse);
            let cost = cost.and_then(|cost| cost.scaled(9)).expect("a cost");
            *seen.costs.entry(name.to_owned()).or_default() += cost;
        }
        seen.requests += 1;
        done.fetch_add(1, Ordering::Relaxed);
    }
    seen
}

/// Checks that nothing that counts went down or away since the page before.
fn monotone(before: &mut BTreeMap<String, Decimal>, page: &Exposition) {
    let counts = page.samples.iter().filter(|sample| {
        let name = &sample.name;
        ["_total", "_bucket", "_count", "_sum"]
            .iter()
            .any(|end| name.ends_with(end))
    });
    let now: BTreeMap<String, Decimal> = counts
        .map(|sample| {
            (
                format!("{}{:?}", sample.name, sample.labels),
                sample.value.clone(),
            )
        })
        .collect();
    for (series, value) in &*before {
        let next = now.get(series);
        let next = next.unwrap_or_else(|| unreachable!("{series} is gone"));
        assert!(
            next.total_cmp(value).is_ge(),
            "{series}: {value:?}, then {next:?}"
        );
    }
    *before = now;
}

#[test]
fn no_request_fails_and_every_unit_is_counted_while_it_reloads() {
    let scene = Scene::start();
    let gateway = Gateway::start(&scene.config(false));
    let (first, second) = (
        gateway.yaml(&scene.config(false)),
        gateway.yaml(&scene.config(true)),
    );
    let (done, stop) = (AtomicU64::new(0), AtomicBool::new(false));
    let held = Script {
        gate: Some("held".to_owned()),
        gate_after_chunks: 2,
        ..Script::default()
    };

    let (seen, scrapes, mut scraped) = thread::scope(|scope| {
        let (gateway, done, stop) = (&gateway, &done, &stop);
        let clients: Vec<_> = (0..CONNECTIONS)
            .map(|_| scope.spawn(|| load(gateway, done, stop)))
            .collect();
        let scraper = scope.spawn(|| {
            let (mut scrapes, mut last) = (0, BTreeMap::new());
            while !stop.load(Ordering::Relaxed) {
                monotone(&mut last, &gateway.metrics());
                scrapes += 1;
            }
            (scrapes, last)
        });
        // Ends the others where this thread fails.
        struct Stop<'a>(&'a AtomicBool);
        impl Drop for Stop<'_> {
            fn drop(&mut self) {
                self.0.store(true, Ordering::Relaxed);
            }
        }
        let ending = Stop(stop);
        let mut guest = gateway.client();
        for reload in 0..RELOADS {
            let text = if reload % 2 == 0 { &second } else { &first };
            match reload % 3 {
                0 => {
                    gateway.write_config(text);
                    hang_up_and_wait(gateway);
                }
                1 => post_config(gateway, text),
                _ => {
                    gateway.write_config(text);
                    post_config(gateway, "");
                }
            }
            if reload == 0 {
                // A stream of a client and at a provider that the next reload takes away.
                let mut body = rig::stream(&held);
                body["model"] = json!("extra:m-extra");
                let bearer = format!("Bearer {GUEST}");
                let headers = [("authorization", bearer.as_str())];
                let sent = guest.send("POST", CHAT, &headers, body.to_string().as_bytes());
                sent.expect("the gateway reads the request");
                assert_eq!(guest.read_head().expect("a response").status, 200);
            }
            let before = done.load(Ordering::Relaxed);
            poll("requests to go through", || {
                let is_ended = clients.iter().any(thread::ScopedJoinHandle::is_finished);
                (is_ended || done.load(Ordering::Relaxed) >= before + BETWEEN).then_some(())
            });
        }
        scene.there.open_gate("held");
        let mut stream = Vec::new();
        while let Some(piece) = guest.read_piece().expect("the stream goes on") {
            stream.extend(piece);
        }
        assert!(stream.ends_with(b"data: [DONE]\n\n"));
        drop(ending);
        let seen: Vec<_> = clients
            .into_iter()
            .map(|client| client.join().expect("no request fails"))
            .collect();
        let (scrapes, last) = scraper.join().expect("nothing that counts goes down");
        (seen, scrapes, last)
    });

    let requests: u64 = seen.iter().map(|seen| seen.requests).sum();
    let page = gateway.metrics_after(requests + 1);
    monotone(&mut scraped, &page);
    assert!(scrapes > 10, "{scrapes} scrapes");
    assert_eq!(page.count("coo_llm_requests_total", &[]), requests + 1);
    assert_eq!(page.count("coo_llm_errors_total", &[]), 0);
    assert_eq!(
        page.count("coo_llm_client_requests_total", &[("client_id", "steady")]),
        requests
    );
    assert_eq!(
        page.count("coo_llm_client_requests_total", &[("client_id", "guest")]),
        1
    );
    for model in ["m-json", "m-mover"] {
        let cost = seen.iter().map(|seen| seen.costs[model]).sum::<u64>();
        assert_eq!(
            page.nano_usd("coo_llm_cost_total", &[("model", model)]),
            cost,
            "{model}"
        );
    }

    // By provider, model and key: requests and tokens.
    let mut ledger = BTreeMap::<(String, String), (u64, TokenCounts)>::new();
    for upstream in [&scene.here, &scene.there] {
        for served in upstream.ledger().served {
            assert_eq!(served.kind, Kind::Chat);
            let provider = match &*served.model {
                "m-mover" => "mover",
                "m-extra" => "extra",
                _ => "acme",
            };
            let entry = ledger
                .entry((served.model, key_id(provider, &served.key)))
                .or_default();
            entry.0 += 1;
            entry.1 += served.tokens.expect("usage was sent");
        }
    }
    assert_eq!(
        ledger.len(),
        2 * KEYS.len() + 2,
        "every key was used: {ledger:?}"
    );
    for ((model, key), (requests, tokens)) in &ledger {
        let labels = [("model", model.as_str()), ("key", key.as_str())];
        assert_eq!(
            page.count("coo_llm_requests_total", &labels),
            *requests,
            "{labels:?}"
        );
        for (kind, count) in tokens.by_type() {
            let labels = [labels[0], labels[1], ("type", kind)];
            assert_eq!(
                page.count("coo_llm_tokens_total", &labels),
                count,
                "{labels:?}"
            );
        }
    }
    for provider in ["acme", "mover", "extra"] {
        assert_eq!(
            page.count("coo_llm_active_requests", &[("provider", provider)]),
            0
        );
    }
    assert_eq!(page.count("coo_llm_task_panics_total", &[]), 0);
    assert_eq!(page.count("coo_llm_config_last_reload_success", &[]), 1);
    assert_eq!(reloads_in_log(&gateway), RELOADS as usize);
}

#[test]
fn clients_come_and_go_on_every_worker_at_once() {
    let scene = Scene::start();
    let gateway = Gateway::start(&scene.config(true));
    let (without, with) = (
        gateway.yaml(&scene.config(false)),
        gateway.yaml(&scene.config(true)),
    );
    let mut clients: Vec<_> = (0..CONNECTIONS).map(|_| gateway.client()).collect();
    let script = Script::default();
    let mut all_get = |key: &str, status: u16| {
        for client in &mut clients {
            let reply = ask(client, key, "acme:m-json", &script, false);
            assert_eq!(reply.status, status, "{}", reply.text());
        }
    };
    for _ in 0..3 {
        all_get(GUEST, 200);
        post_config(&gateway, &without);
        // The same open connections, whose key was known a moment ago.
        all_get(GUEST, 401);
        all_get(STEADY, 200);
        post_config(&gateway, &with);
    }
    // Whoever has a client's place in the plan, it is counted under its own name.
    let page = gateway.metrics();
    let of = |id| page.count("coo_llm_client_requests_total", &[("client_id", id)]);
    let rounds = 3 * CONNECTIONS as u64;
    assert_eq!([of("guest"), of("steady"), of("none")], [rounds; 3]);
}

/// Asserts that an answer refuses, with this status and these words.
fn assert_refused(reply: &Reply, status: u16, kind: &str, says: &[&str]) {
    assert_eq!(reply.status, status, "{}", reply.text());
    let answer: Value = serde_json::from_slice(&reply.body).expect("JSON");
    assert_eq!(answer["error"]["type"], kind);
    let errors = answer["error"]["errors"].to_string();
    for word in says {
        assert!(errors.contains(word), "no {word:?} in {errors}");
    }
}

#[test]
fn what_is_wrong_changes_nothing_and_is_told() {
    let rig = Rig::start();
    let gateway = &rig.gateway;
    let sound = gateway.yaml(&rig::config(&rig.upstream.base_url()));
    let page = gateway.metrics();
    let success = |page: &Exposition| page.count("coo_llm_config_last_reload_success", &[]);
    let since = |page: &Exposition| {
        let name = "coo_llm_config_last_reload_timestamp_seconds";
        let samples: Vec<_> = page.matching(name, &[]).collect();
        samples[0].value.scaled(3).expect("milliseconds")
    };
    let started = since(&page);
    assert_eq!(success(&page), 1);

    // A new provider before the mistake: nothing of it may be seen.
    let bad = format!("{sound}\nllm_provider: []\n").replace(
        "llm_providers:",
        "llm_providers:\n  - { id: ghost, type: simulator, model: m-ghost }",
    );
    let broken_ca = sound.replace("m-chat", "m-other").replace(
        "llm_providers:",
        "llm_providers:\n  - { id: ghost, type: simulator, model: m-ghost }\n  - { id: tls, type: custom, \
         base_url: \"https://127.0.0.1:1/v1\", ca_file: nowhere.pem }",
    );
    let missing_variable = sound.replace("m-chat", "${NO_SUCH_VARIABLE}");
    let restart = sound.replace("workers: 1", "workers: 2");
    assert_ne!(restart, sound);
    let post = |text: &str| gateway.admin_send("POST", "/admin/v1/config", text);
    assert_refused(
        &post(&bad),
        400,
        "invalid_config",
        &["llm_provider: unknown key", "request:"],
    );
    assert_refused(
        &post(&broken_ca),
        400,
        "invalid_config",
        &["nowhere.pem", "tls"],
    );
    assert_refused(
        &post(&missing_variable),
        400,
        "invalid_config",
        &["NO_SUCH_VARIABLE"],
    );
    assert_refused(&post("{"), 400, "invalid_config", &["request:"]);
    assert_refused(
        &post(&restart),
        409,
        "restart_needed",
        &["server.workers", "restart"],
    );
    for text in [&bad, &broken_ca, &restart] {
        gateway.write_config(text);
        assert_ne!(
            gateway.admin_send("POST", "/admin/v1/config", "").status,
            200
        );
        let before = gateway.log().matches("is not reloaded").count();
        gateway.hang_up();
        poll("the log to say that it did not reload", || {
            (gateway.log().matches("is not reloaded").count() > before).then_some(())
        });
    }
    let log = gateway.log();
    assert!(
        log.contains("coo-llm.yaml") && log.contains("llm_provider: unknown key"),
        "{log}"
    );

    assert_eq!(rig.chat(&rig::chat(&Script::default())).status, 200);
    let text = gateway.metrics_text();
    for new in ["ghost", "m-other", "tls"] {
        assert!(!text.contains(&format!("\"{new}\"")), "{new}");
    }
    let page = gateway.metrics();
    assert_eq!((success(&page), since(&page)), (0, started));
    gateway.write_config(&sound);
    hang_up_and_wait(gateway);
    let page = gateway.metrics();
    assert_eq!(success(&page), 1);
    assert!(since(&page) > started);
    assert_eq!(rig.chat(&rig::chat(&Script::default())).status, 200);
}

#[test]
fn the_admin_api_shows_checks_and_changes_it() {
    let rig = Rig::start_with(|config| config.workers = Some(2));
    let gateway = &rig.gateway;
    let mut config = rig::config(&rig.upstream.base_url());
    config.workers = Some(2);
    let sound = gateway.yaml(&config);

    let shown = gateway.admin_get("/admin/v1/config");
    assert_eq!(shown.status, 200);
    for secret in [ADMIN_KEY, rig::CLIENT_KEY, rig::PROVIDER_KEY] {
        assert!(!shown.text().contains(secret), "{}", shown.text());
    }
    let shown: Value = serde_json::from_slice(&shown.body).expect("JSON");
    assert_eq!(shown["llm_providers"][0]["api_keys"], json!(["sk-****"]));
    assert_eq!(shown["api_keys"][0]["id"], rig::CLIENT);
    assert_eq!(shown["server"]["workers"], 2);

    let validate = |text: &str| {
        let reply = gateway.admin_send("POST", "/admin/v1/config/validate", text);
        assert_eq!(reply.status, 200, "{}", reply.text());
        serde_json::from_slice::<Value>(&reply.body).expect("JSON")
    };
    assert_eq!(validate("")["valid"], true);
    let other = validate(&sound.replace("workers: 2", "workers: 1"));
    assert_eq!(other["valid"], true);
    assert_eq!(
        other["restart_needed"].as_array().map(Vec::len),
        Some(1),
        "{other}"
    );
    let wrong = validate(&sound.replace("type: custom", "type: costum"));
    assert_eq!(wrong["valid"], false);
    assert!(
        wrong["errors"][0]
            .as_str()
            .is_some_and(|e| e.contains("type")),
        "{wrong}"
    );

    let put = |text: &str| gateway.admin_send("PUT", "/admin/v1/config/policy", text);
    let policy = json!({"algorithm": "least_loaded", "retry": {"max_attempts": 1}});
    let reply = put(&policy.to_string());
    assert_eq!(reply.status, 200, "{}", reply.text());
    let answer: Value = serde_json::from_slice(&reply.body).expect("JSON");
    assert_eq!(answer["policy"], policy);
    assert!(answer["message"].is_string());
    let shown = gateway.admin_get("/admin/v1/config");
    let shown: Value = serde_json::from_slice(&shown.body).expect("JSON");
    assert_eq!(shown["policy"], policy);
    let wrong = put(r#"{"fallback": {"providers": ["nobody"]}}"#);
    assert_refused(
        &wrong,
        400,
        "invalid_config",
        &["policy.fallback.providers[0]"],
    );

    // JSON is YAML; a mask is no key.
    let masked = gateway.admin_send("POST", "/admin/v1/config", &shown.to_string());
    assert_refused(&masked, 400, "invalid_config", &["mask"]);

    // Another admin key, which metrics need too, and a level that says less.
    let other = sound
        .replace(ADMIN_KEY, "another-admin-key")
        .replace("server:\n", "server:\n  metrics_auth: bearer\n")
        .replace("level: info", "level: error");
    post_config(gateway, &other);
    assert_eq!(gateway.admin_get("/admin/v1/config").status, 401);
    let mut client = gateway.client();
    assert_eq!(client.get("/metrics").status, 401);
    let headers = [("authorization", "Bearer another-admin-key")];
    let ours = client.request("GET", "/admin/v1/config", &headers, b"");
    assert_eq!(ours.expect("an answer").status, 200);
    let lines = |gateway: &Gateway| gateway.log().matches("[AUDIT]").count();
    let before = poll("the log to be written", || {
        let count = lines(gateway);
        thread::sleep(coo_llm_tests::patience::POLL);
        (lines(gateway) == count).then_some(count)
    });
    let ours = client.request("POST", "/admin/v1/config", &headers, sound.as_bytes());
    assert_eq!(ours.expect("an answer").status, 200);
    assert_eq!(gateway.admin_get("/admin/v1/config").status, 200);
    // Of that POST the beginning was not logged any more, and its end was.
    poll("the level to be info again", || {
        (lines(gateway) == before + 3).then_some(())
    });
    assert_eq!(
        gateway
            .metrics()
            .count("coo_llm_config_last_reload_success", &[]),
        1
    );
}

#[test]
fn what_was_taken_of_limits_and_budgets_stays_taken() {
    let upstream = Upstream::builder().start();
    let config = |limits: &str, clients: bool| {
        let mut config = rig::config(&upstream.base_url());
        config.workers = Some(2);
        let key = ClientKey::new(rig::CLIENT, rig::CLIENT_KEY)
            .line(&format!("limits: {{ req_per_min: {limits} }}"))
            .line("budget: { usd: 1, per: day, action: block }");
        let other = ClientKey::new("someone", "sk-someone-0123456789abcdef");
        config.clients = if clients {
            vec![other, key]
        } else {
            vec![other]
        };
        config
    };
    let gateway = Gateway::start(&config("5", true));
    let ask = || {
        let body = rig::chat(&Script::default()).to_string();
        gateway
            .client()
            .post(CHAT, rig::CLIENT_KEY, body.as_bytes())
            .status
    };
    let spent = || {
        let page = gateway.metrics_when("nothing to be under way", |page| {
            page.count("coo_llm_active_requests", &[]) == 0
        });
        page.nano_usd(
            "coo_llm_client_budget_spent_usd",
            &[("client_id", rig::CLIENT)],
        )
    };
    assert_eq!([ask(), ask(), ask()], [200; 3]);
    let before = spent();
    assert!(before > 0);
    post_config(&gateway, &gateway.yaml(&config("5", false)));
    assert_eq!(ask(), 401);
    post_config(&gateway, &gateway.yaml(&config("5", true)));
    assert_eq!(spent(), before);
    assert_eq!([ask(), ask(), ask()], [200, 200, 429]);
    assert_eq!(spent(), before / 3 * 5);
    // A limit that is raised is what it is raised by.
    post_config(&gateway, &gateway.yaml(&config("6", true)));
    assert_eq!([ask(), ask()], [200, 429]);
}

#[test]
fn a_key_that_was_set_aside_stays_so() {
    let upstream = Upstream::builder().start();
    let config = |keys: &[&str]| {
        let mut config = rig::config(&upstream.base_url());
        config.policy = None;
        config.providers[0].keys = keys.iter().map(ToString::to_string).collect();
        config
    };
    upstream.key_by(
        KEYS[0],
        Some(Script {
            status: Some(401),
            ..Script::default()
        }),
    );
    let gateway = Gateway::start(&config(&KEYS[..2]));
    let ask = || {
        let body = rig::chat(&Script::default()).to_string();
        let reply = gateway
            .client()
            .post(CHAT, rig::CLIENT_KEY, body.as_bytes());
        assert_eq!(reply.status, 200, "{}", reply.text());
    };
    let of_key = |key: &str| {
        let ledger = upstream.ledger();
        ledger
            .served
            .iter()
            .filter(|served| served.key == key)
            .count()
    };
    ask();
    ask();
    assert_eq!(of_key(KEYS[0]), 1);
    // Another place and another key beside it.
    post_config(&gateway, &gateway.yaml(&config(&[KEYS[2], KEYS[0]])));
    for _ in 0..4 {
        ask();
    }
    assert_eq!((of_key(KEYS[0]), of_key(KEYS[2])), (1, 4));
    let key_up = |key: &str| {
        let id = key_id(rig::PROVIDER, key);
        gateway
            .metrics()
            .count("coo_llm_provider_key_up", &[("key", &id)])
    };
    assert_eq!((key_up(KEYS[0]), key_up(KEYS[2])), (0, 1));
}
