//! Clients over the admin API, on the running gateway: on every worker at once, over restarts
//! and crashes, with traffic beside; what they used, and budgets that outlive the process.
//!
//! Needs the built gateway.

use coo_llm_tests::client::{Client, Reply};
use coo_llm_tests::gateway::{ADMIN_KEY, ClientKey, Config, Gateway, Pricing, binary, run};
use coo_llm_tests::patience::poll;
use coo_llm_tests::rig::{self, CHAT, CLIENT, CLIENT_KEY, MODEL, PROVIDER_KEY};
use coo_llm_tests::upstream::{Script, Upstream, Usage};
use serde_json::{Value, json};
use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use tempfile::TempDir;

/// Enough that a worker of two without any of them would be a wonder.
const CONNECTIONS: usize = 24;

/// Prices of a token in nano-USD: 1000 of input, 2000 of output.
const PRICING: Pricing = Pricing {
    input: "1",
    output: "2",
    cached_input: None,
};

/// A gateway's folder and upstream, which outlive it.
struct Scene {
    upstream: Upstream,
    folder: TempDir,
}

impl Scene {
    fn new() -> Self {
        let upstream = Upstream::builder()
            .keys(&[PROVIDER_KEY])
            .models(&[MODEL])
            .start();
        let folder = TempDir::new().expect("a temporary folder");
        Self { upstream, folder }
    }

    fn config(&self, workers: u32, flush: &str) -> Config {
        let folder = self.folder.path().display();
        let mut config = rig::config(&self.upstream.base_url());
        config.providers[0].models = vec![(MODEL.to_owned(), Some(PRICING))];
        config.workers = Some(workers);
        config.server = vec![
            format!("data_dir: \"{folder}\""),
            "admin_req_per_min: none".to_owned(),
        ];
        config.top = vec![format!(
            "storage: {{ flush_interval: {flush}, history: {{ path: \"{folder}/history.db\" }} }}"
        )];
        config
    }
}

fn send(gateway: &Gateway, method: &str, path: &str, body: &Value) -> (u16, Value) {
    let body = if body.is_null() {
        String::new()
    } else {
        body.to_string()
    };
    let reply = gateway.admin_send(method, path, &body);
    (reply.status, reply.json())
}

fn create(gateway: &Gateway, body: &Value) -> Value {
    let (status, answer) = send(gateway, "POST", "/admin/v1/clients", body);
    assert_eq!(status, 201, "{answer}");
    answer
}

fn chat(client: &mut Client, key: &str, script: &Script) -> Reply {
    client.post(CHAT, key, rig::chat(script).to_string().as_bytes())
}

/// What requests on connections over all workers get.
fn statuses(clients: &mut [Client], key: &str) -> Vec<u16> {
    let mut statuses: Vec<u16> = clients
        .iter_mut()
        .map(|client| chat(client, key, &Script::default()).status)
        .collect();
    statuses.dedup();
    statuses
}

fn connections(gateway: &Gateway) -> Vec<Client> {
    (0..CONNECTIONS).map(|_| gateway.client()).collect()
}

fn text_of(value: &Value) -> &str {
    value.as_str().expect("text")
}

#[test]
fn a_client_is_made_changed_and_deleted_on_every_worker_at_once() {
    let scene = Scene::new();
    let gateway = Gateway::start(&scene.config(2, "1h"));
    let mut open = connections(&gateway);
    // All of them know the plan of before.
    assert_eq!(statuses(&mut open, CLIENT_KEY), [200]);

    let made = create(
        &gateway,
        &json!({"client_id": "new", "description": "d", "allowed_providers": ["*"]}),
    );
    let key = text_of(&made["api_key"]).to_owned();
    assert_eq!(
        made,
        json!({"status": "created", "client_id": "new", "api_key": key})
    );
    assert_eq!(statuses(&mut open, &key), [200]);
    assert_eq!(statuses(&mut connections(&gateway), &key), [200]);
    let again = json!({"client_id": "new"});
    assert_eq!(send(&gateway, "POST", "/admin/v1/clients", &again).0, 409);
    let taken = json!({"client_id": "x", "api_key": CLIENT_KEY});
    assert_eq!(
        send(&gateway, "POST", "/api/admin/v1/clients", &taken).0,
        409
    );

    let one = "/admin/v1/clients/new";
    let (status, shown) = send(&gateway, "GET", one, &Value::Null);
    assert_eq!(status, 200);
    assert!(
        shown["last_used"].as_u64() >= shown["created_at"].as_u64(),
        "{shown}"
    );
    assert_eq!(
        (&shown["api_key"], &shown["source"]),
        (&json!("sk-****"), &json!("api"))
    );
    let (_, list) = send(&gateway, "GET", "/admin/v1/clients/list", &Value::Null);
    let list: Vec<_> = list["clients"].as_array().expect("a list").iter().collect();
    assert_eq!(list.len(), 2);
    assert_eq!(
        (&list[0]["id"], &list[0]["source"]),
        (&json!(CLIENT), &json!("config"))
    );
    assert_eq!((&list[0]["created_at"], list[1]), (&Value::Null, &shown));

    let limits = json!({"limits": {"req_per_min": 1}});
    assert_eq!(
        send(&gateway, "PUT", one, &limits),
        (200, json!({"status": "updated", "client_id": "new"}))
    );
    let first = open
        .iter_mut()
        .map(|it| chat(it, &key, &Script::default()).status);
    let first: Vec<_> = first.collect();
    assert_eq!(
        first.iter().filter(|status| **status == 200).count(),
        1,
        "{first:?}"
    );
    assert_eq!(
        first.iter().filter(|status| **status == 429).count(),
        CONNECTIONS - 1
    );
    assert_eq!(send(&gateway, "PUT", one, &json!({"limits": null})).0, 200);
    assert_eq!(statuses(&mut open, &key), [200]);
    let elsewhere = json!({"allowed_providers": ["acme"], "limits": {"req_per_mn": 1}});
    let (status, refused) = send(&gateway, "PUT", one, &elsewhere);
    assert_eq!(status, 400);
    assert_eq!(
        refused["error"]["errors"],
        json!(["limits.req_per_mn: unknown key; did you mean `req_per_min`?"])
    );

    let counted = gateway.metrics();
    let requests = |page: &coo_llm_tests::exposition::Exposition| {
        page.count("coo_llm_client_requests_total", &[("client_id", "new")])
    };
    let before = requests(&counted);
    assert!(before > 0);
    assert_eq!(
        send(&gateway, "DELETE", one, &Value::Null),
        (200, json!({"status": "deleted", "client_id": "new"}))
    );
    assert_eq!(statuses(&mut open, &key), [401]);
    assert_eq!(statuses(&mut connections(&gateway), &key), [401]);
    assert_eq!(send(&gateway, "GET", one, &Value::Null).0, 404);
    assert_eq!(send(&gateway, "DELETE", one, &Value::Null).0, 404);
    // Its series stay, and go on where it is made again.
    assert_eq!(requests(&gateway.metrics()), before);
    let made = create(&gateway, &json!({"client_id": "new"}));
    assert_eq!(statuses(&mut open, text_of(&made["api_key"])), [200]);
    let after = before + CONNECTIONS as u64;
    let _page = gateway.metrics_when("its series to go on", |page| requests(page) == after);

    // No key is anywhere but in the answer.
    let trail = fs::read_to_string(scene.folder.path().join("audit/audit-000000000001.jsonl"));
    let store = fs::read_to_string(scene.folder.path().join("clients/clients.log"));
    for text in [
        trail.expect("a trail"),
        store.expect("a store"),
        gateway.log(),
    ] {
        assert!(!text.contains(&key) && !text.contains(text_of(&made["api_key"])));
        assert!(!text.contains(CLIENT_KEY));
    }
}

#[test]
fn a_key_is_rotated_with_and_without_an_overlap() {
    let scene = Scene::new();
    let gateway = Gateway::start(&scene.config(2, "1h"));
    let mut open = connections(&gateway);
    let rotate = |body: &Value| {
        let path = format!("/admin/v1/clients/{CLIENT}/rotate");
        let (status, answer) = send(&gateway, "POST", &path, body);
        assert_eq!(status, 200, "{answer}");
        answer
    };
    let second = rotate(&json!({"overlap_seconds": 3600}));
    assert_eq!(second["status"], "rotated");
    let second = text_of(&second["api_key"]).to_owned();
    assert_eq!(statuses(&mut open, &second), [200]);
    assert_eq!(statuses(&mut open, CLIENT_KEY), [200]);
    // What is left of the overlap outlives the process, and so does its end.
    drop(gateway);
    let gateway = Gateway::start(&scene.config(2, "1h"));
    let mut open = connections(&gateway);
    assert_eq!(statuses(&mut open, CLIENT_KEY), [200]);
    let rotate = |body: &Value| {
        let path = format!("/admin/v1/clients/{CLIENT}/rotate");
        send(&gateway, "POST", &path, body)
    };
    // Both old keys end with this one, on every worker, by themselves.
    let (status, third) = rotate(&json!({"overlap_seconds": 1, "api_key": "third"}));
    assert_eq!((status, &third["api_key"]), (200, &Value::Null));
    for key in [CLIENT_KEY, &second] {
        poll("the old key to end everywhere", || {
            (statuses(&mut open, key) == [401]).then_some(())
        });
    }
    assert_eq!(statuses(&mut open, "third"), [200]);
    let (_, fourth) = rotate(&json!({"overlap_seconds": 0}));
    assert_eq!(statuses(&mut open, "third"), [401]);
    assert_eq!(statuses(&mut open, text_of(&fourth["api_key"])), [200]);
    let (status, _) = rotate(&json!({"overlap_seconds": 0, "api_key": ADMIN_KEY}));
    assert_eq!(status, 409);
}

#[test]
fn a_crash_keeps_what_was_answered_and_a_reload_keeps_it_too() {
    let scene = Scene::new();
    let mut config = scene.config(2, "1h");
    config.clients.push(ClientKey::new("filed", "filed-key"));
    let gateway = Gateway::start(&config);
    let made = create(&gateway, &json!({"client_id": "made"}));
    let made = text_of(&made["api_key"]).to_owned();
    assert_eq!(
        send(&gateway, "DELETE", "/admin/v1/clients/filed", &Value::Null).0,
        200
    );
    let path = format!("/admin/v1/clients/{CLIENT}");
    let put = json!({"api_key": "put-key"});
    assert_eq!(send(&gateway, "PUT", &path, &put).0, 200);
    let check = |gateway: &Gateway| {
        let mut open = connections(gateway);
        for (key, status) in [
            (&*made, 200),
            ("put-key", 200),
            ("filed-key", 401),
            (CLIENT_KEY, 401),
        ] {
            assert_eq!(statuses(&mut open, key), [status], "{key}");
        }
    };
    check(&gateway);
    // While it makes clients one after the other, it is killed.
    let last = AtomicU64::new(0);
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut client = Client::new(gateway.admin());
            let bearer = format!("Bearer {ADMIN_KEY}");
            let headers = [("authorization", bearer.as_str())];
            for n in 1.. {
                let body = json!({"client_id": format!("c{n}"), "api_key": format!("key-{n}")});
                let body = body.to_string();
                match client.request("POST", "/admin/v1/clients", &headers, body.as_bytes()) {
                    Ok(reply) if reply.status == 201 => last.store(n, Ordering::SeqCst),
                    _ => break,
                }
            }
        });
        poll("some clients", || {
            (last.load(Ordering::SeqCst) >= 20).then_some(())
        });
        let pid = i32::try_from(gateway.pid()).expect("a pid");
        let killed = std::process::Command::new("kill")
            .args(["-9", &pid.to_string()])
            .status();
        assert!(killed.expect("kill runs").success());
    });
    let last = last.load(Ordering::SeqCst);
    drop(gateway);
    let mut gateway = Gateway::start(&config);
    check(&gateway);
    let (_, list) = send(&gateway, "GET", "/admin/v1/clients/list", &Value::Null);
    let ids: Vec<_> = list["clients"].as_array().expect("a list").iter().collect();
    // Each that was told of; the one whose answer did not come may be there.
    let found = ids
        .iter()
        .filter(|it| text_of(&it["id"]).starts_with('c') && it["id"] != CLIENT);
    let found = found.count() as u64;
    assert!(found == last || found == last + 1, "{found} of {last}");
    let mut open = connections(&gateway);
    assert_eq!(statuses(&mut open, &format!("key-{last}")), [200]);

    // A reload of the file changes nothing of it, and says what goes before what.
    let reply = gateway.admin_send("POST", "/admin/v1/config", "");
    assert_eq!(reply.status, 200, "{}", reply.text());
    check(&gateway);
    for says in [
        "client `filed` of the file is not in use",
        &format!("client `{CLIENT}` of the file is overridden"),
    ] {
        assert!(gateway.log().contains(says), "{says}");
    }
    // A file with the key of a client that was made here is not used.
    let mut clash = config.clone();
    clash.clients.push(ClientKey::new("late", "key-1"));
    let reply = gateway.admin_send("POST", "/admin/v1/config", &gateway.yaml(&clash));
    assert_eq!(reply.status, 400);
    assert!(
        reply.text().contains("have the same key"),
        "{}",
        reply.text()
    );
    let file = gateway.dir().join("coo-llm.yaml");
    let output = run(
        &["check-config", "--config", &file.display().to_string()],
        gateway.dir(),
    );
    let said = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{said}");
    assert!(
        said.contains("client `filed` of the file is not in use"),
        "{said}"
    );

    gateway.terminate();
    assert_eq!(gateway.wait().code(), Some(0));
    // A damaged file ends the start with one line.
    let store = scene.folder.path().join("clients/clients.log");
    let mut bytes = fs::read(&store).expect("the store");
    let at = bytes.len() / 2;
    bytes[at] ^= 1;
    fs::write(&store, &bytes).expect("ours");
    refuses(&file);
    assert_eq!(fs::read(&store).expect("the store"), bytes);
}

/// Demands that a start ends with one line about the damaged store and the way out.
fn refuses(config: &Path) {
    assert!(binary().exists());
    let folder = config.parent().expect("a folder");
    let output = run(
        &["serve", "--config", &config.display().to_string()],
        folder,
    );
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{stderr}");
    for part in [
        "clients.log",
        "is damaged",
        "restore the file",
        "move it away",
    ] {
        assert!(stderr.contains(part), "{stderr}");
    }
}

#[test]
fn limits_change_while_traffic_runs_and_no_request_fails() {
    let scene = Scene::new();
    let gateway = Gateway::start(&scene.config(2, "1h"));
    let path = format!("/admin/v1/clients/{CLIENT}");
    let first = json!({"budget": {"usd": 1, "per": "day"}});
    assert_eq!(send(&gateway, "PUT", &path, &first).0, 200);
    let (done, stop) = (AtomicU64::new(0), AtomicBool::new(false));
    let changes = 60;
    thread::scope(|scope| {
        let load = || {
            let mut client = gateway.client();
            let mut n = 0u64;
            while !stop.load(Ordering::SeqCst) {
                let mut body = rig::chat(&Script::default());
                body["stream"] = json!(n.is_multiple_of(3));
                let reply = client.post(CHAT, CLIENT_KEY, body.to_string().as_bytes());
                assert_eq!(reply.status, 200, "{}", reply.text());
                done.fetch_add(1, Ordering::SeqCst);
                n += 1;
            }
        };
        let threads: Vec<_> = (0..8).map(|_| scope.spawn(load)).collect();
        for n in 0..changes {
            // A limit that traffic does not reach.
            let limits = json!({"limits": {"req_per_min": 1_000_000_000 + n}, "budget": {"usd": 1_000_000 + n, "per": "day"}});
            assert_eq!(send(&gateway, "PUT", &path, &limits).0, 200);
            let other = json!({"client_id": format!("other-{n}")});
            create(&gateway, &other);
            let before = done.load(Ordering::SeqCst);
            poll("traffic", || {
                let is_ended = threads.iter().any(thread::ScopedJoinHandle::is_finished);
                (is_ended || done.load(Ordering::SeqCst) > before + 10).then_some(())
            });
        }
        stop.store(true, Ordering::SeqCst);
    });
    let sent = done.load(Ordering::SeqCst);
    let page = gateway.metrics_after(sent);
    let own = [("client_id", CLIENT)];
    assert_eq!(page.count("coo_llm_client_requests_total", &own), sent);
    assert_eq!(page.count("coo_llm_requests_total", &[]), sent);
    assert_eq!(page.count("coo_llm_errors_total", &[]), 0);
    // Whatever the plan it ran under, all of it is of the budget, to the unit.
    let cost = page.nano_usd("coo_llm_client_cost_total", &own);
    let spent = page.nano_usd("coo_llm_client_budget_spent_usd", &own);
    assert_eq!(spent, cost);
}

/// A chat that costs a round number.
fn priced(tokens: u64) -> Script {
    Script {
        usage: Usage {
            prompt: tokens,
            completion: tokens,
            ..Usage::default()
        },
        ..Script::default()
    }
}

#[test]
fn a_budget_outlives_the_process_to_the_unit() {
    let scene = Scene::new();
    let config = scene.config(2, "1h");
    let budget =
        |per: &str| json!({"client_id": per, "api_key": per, "budget": {"usd": 100, "per": per}});
    let spent = |gateway: &Gateway, id: &str| {
        let page = gateway.metrics();
        page.nano_usd("coo_llm_client_budget_spent_usd", &[("client_id", id)])
    };
    let mut gateway = Gateway::start(&config);
    let mut expected = 0;
    create(&gateway, &budget("day"));
    create(&gateway, &budget("month"));
    for round in 1..=3u64 {
        for n in 1..=5 {
            let tokens = 7 * n + round;
            for key in ["day", "month"] {
                let reply = chat(&mut gateway.client(), key, &priced(tokens));
                assert_eq!(reply.status, 200);
            }
            expected += 3000 * tokens;
        }
        let sent = 10;
        let _page = gateway.metrics_after(sent);
        for id in ["day", "month"] {
            assert_eq!(spent(&gateway, id), expected, "{id} in round {round}");
        }
        gateway.terminate();
        assert_eq!(gateway.wait().code(), Some(0));
        gateway = Gateway::start(&config);
        for id in ["day", "month"] {
            assert_eq!(spent(&gateway, id), expected, "{id} after round {round}");
        }
    }
    // A budget that comes later has what the history knows; one that blocks does so at once.
    let reply = chat(&mut gateway.client(), CLIENT_KEY, &priced(1000));
    assert_eq!(reply.status, 200);
    let _page = gateway.metrics_after(1);
    let path = format!("/admin/v1/clients/{CLIENT}");
    let small = json!({"budget": {"usd": 0.003, "per": "month"}});
    assert_eq!(send(&gateway, "PUT", &path, &small).0, 200);
    assert_eq!(spent(&gateway, CLIENT), 3_000_000);
    let refused = chat(&mut gateway.client(), CLIENT_KEY, &priced(1));
    assert_eq!(refused.status, 429, "{}", refused.text());
    let daily = json!({"budget": {"usd": 100, "per": "day"}});
    assert_eq!(
        send(&gateway, "PUT", "/admin/v1/clients/month", &daily).0,
        200
    );
    assert_eq!(spent(&gateway, "month"), expected);
}

#[test]
fn a_crash_forgets_of_a_budget_what_the_history_forgets_and_no_more() {
    let scene = Scene::new();
    let config = scene.config(1, "1s");
    let gateway = Gateway::start(&config);
    let path = format!("/admin/v1/clients/{CLIENT}");
    let budget = json!({"budget": {"usd": 100, "per": "month"}});
    assert_eq!(send(&gateway, "PUT", &path, &budget).0, 200);
    for n in 1..=10 {
        let reply = chat(&mut gateway.client(), CLIENT_KEY, &priced(n));
        assert_eq!(reply.status, 200);
    }
    let own = [("client_id", CLIENT)];
    let _page = gateway.metrics_when("all of it to be in the file", |page| {
        page.count("coo_llm_records_total", &[("stage", "persisted")]) == 10
    });
    // These may be in the file by then or not.
    for _ in 0..3 {
        let reply = chat(&mut gateway.client(), CLIENT_KEY, &priced(1000));
        assert_eq!(reply.status, 200);
    }
    // kill -9
    drop(gateway);
    let gateway = Gateway::start(&config);
    let page = gateway.metrics();
    let spent = page.nano_usd("coo_llm_client_budget_spent_usd", &own);
    let kept = 3000 * (1..=10).sum::<u64>();
    let late = spent
        .checked_sub(kept)
        .expect("what was in the file counts");
    assert!(
        late.is_multiple_of(3_000_000) && late <= 9_000_000,
        "{late}"
    );
    // To the unit what the history knows.
    let usage = usage(&gateway, CLIENT_KEY, "");
    assert_eq!(usage["requests"], 10 + late / 3_000_000);
    assert_eq!(nano(&usage["cost"]), spent);
    assert_eq!(nano(&usage["budget"]["spent"]), spent);
}

fn usage(gateway: &Gateway, key: &str, query: &str) -> Value {
    let bearer = format!("Bearer {key}");
    let headers = [("authorization", bearer.as_str())];
    let path = format!("/v1/usage{query}");
    let reply = gateway.client().request("GET", &path, &headers, b"");
    let reply = reply.expect("the gateway answers");
    assert_eq!(reply.status, 200, "{}", reply.text());
    reply.json()
}

/// USD as nano-USD; amounts of tests are exact as floats.
fn nano(usd: &Value) -> u64 {
    (usd.as_f64().expect("a number") * 1e9).round() as u64
}

#[test]
fn what_a_client_is_told_of_its_usage_is_what_metrics_say() {
    let scene = Scene::new();
    let mut config = scene.config(2, "1s");
    config.clients = vec![
        ClientKey::new(CLIENT, CLIENT_KEY)
            .line("limits: { req_per_min: 100, tokens_per_min: 1000000 }")
            .line("budget: { usd: 5, per: day, action: warn }"),
        ClientKey::new("neighbour", "neighbour-key"),
    ];
    let gateway = Gateway::start(&config);
    let failing = Script {
        status: Some(500),
        ..Script::default()
    };
    for n in 1..=6 {
        let mut client = gateway.client();
        assert_eq!(chat(&mut client, CLIENT_KEY, &priced(n)).status, 200);
        assert_eq!(chat(&mut client, "neighbour-key", &priced(99)).status, 200);
    }
    assert_eq!(
        chat(&mut gateway.client(), CLIENT_KEY, &failing).status,
        500
    );
    let page = gateway.metrics_after(13);
    let told = usage(&gateway, CLIENT_KEY, "");
    let own = [("client_id", CLIENT)];
    let token = |kind| page.count("coo_llm_client_tokens_total", &[own[0], ("type", kind)]);
    assert_eq!(told["object"], "usage");
    assert_eq!(told["client_id"], CLIENT);
    assert_eq!(
        told["requests"],
        page.count("coo_llm_client_requests_total", &own)
    );
    assert_eq!(
        told["errors"],
        page.count("coo_llm_client_errors_total", &own)
    );
    assert_eq!(told["tokens"]["input"], token("input"));
    assert_eq!(told["tokens"]["output"], token("output"));
    let cost = page.nano_usd("coo_llm_client_cost_total", &own);
    assert_eq!(nano(&told["cost"]), cost);
    assert_eq!(nano(&told["budget"]["spent"]), cost);
    assert_eq!(nano(&told["budget"]["left"]), 5_000_000_000 - cost);
    assert_eq!(told["budget"]["action"], "warn");
    assert_eq!(told["limits"]["requests"]["per_minute"], 100);
    assert_eq!(told["limits"]["requests"]["remaining"], 93);
    // Once it is written, it is the same; this question is a request, too.
    let _page = gateway.metrics_when("all of it to be in the file", |page| {
        page.count("coo_llm_records_total", &[("stage", "persisted")]) == 14
    });
    let again = usage(&gateway, CLIENT_KEY, "?start=0");
    assert_eq!(
        (&again["cost"], &again["requests"]),
        (&told["cost"], &json!(8))
    );
    assert_eq!(again["partial"], true, "the history does not begin in 1970");
    // Another one's is nobody's to ask for.
    let other = usage(&gateway, "neighbour-key", "");
    assert_eq!(
        (&other["client_id"], &other["requests"]),
        (&json!("neighbour"), &json!(6))
    );
    assert_eq!(
        (&other["budget"], &other["limits"]["tokens"]),
        (&Value::Null, &Value::Null)
    );
    for (path, key, status) in [
        ("/v1/usage?client=neighbour", CLIENT_KEY, 400),
        ("/v1/usage?start=7&end=7", CLIENT_KEY, 400),
        ("/api/v1/usage", CLIENT_KEY, 200),
        ("/v1/usage", "wrong", 401),
        ("/v1/usage", ADMIN_KEY, 401),
    ] {
        let bearer = format!("Bearer {key}");
        let headers = [("authorization", bearer.as_str())];
        let reply = gateway.client().request("GET", path, &headers, b"");
        let reply = reply.expect("the gateway answers");
        assert_eq!(reply.status, status, "{path}: {}", reply.text());
        assert!(reply.header("x-request-id").is_some(), "{path}");
        if status != 200 {
            assert!(reply.json()["error"]["message"].is_string(), "{path}");
        }
    }
}

#[test]
fn without_a_data_folder_clients_are_the_files() {
    let scene = Scene::new();
    let mut config = scene.config(1, "1h");
    config.server = vec!["data_dir: none".to_owned()];
    let gateway = Gateway::start(&config);
    let new = json!({"client_id": "new"});
    let (status, refused) = send(&gateway, "POST", "/admin/v1/clients", &new);
    assert_eq!(
        (status, &refused["error"]["type"]),
        (503, &json!("store_error"))
    );
    let (status, list) = send(&gateway, "GET", "/admin/v1/clients/list", &Value::Null);
    assert_eq!(status, 200);
    assert_eq!(list["clients"][0]["id"], CLIENT);
    assert_eq!(list["clients"][0]["last_used"], Value::Null);
}
