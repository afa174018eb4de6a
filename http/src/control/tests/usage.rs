//! What was used, asked of a real history through the router.

use super::*;
use crate::control::questions::now;
use coo_llm_core::ShardWriter;
use coo_llm_core::catalog::NONE;
use coo_llm_core::record::Limit;
use coo_llm_exporters::history::{History, Options};

const CONFIG: &str = r#"
version: "1.0"
server: { admin_api_key: secret }
llm_providers:
  - { id: openai, type: openai, api_keys: [sk-1] }
  - { id: idle, type: openai, api_keys: [sk-2] }
api_keys:
  - { id: client-123, key: key-of-a-client }
  - { id: quiet, key: key-of-another }
"#;

const ENDPOINTS: [&str; 6] = [
    "/admin/v1/metrics",
    "/admin/v1/metrics/clients/client-123",
    "/admin/v1/metrics/providers/openai",
    "/admin/v1/metrics/global",
    "/admin/v1/stats",
    "/admin/v1/clients",
];

/// A control plane over a history, and a worker's writer.
struct Plane {
    folder: Folder,
    meter: Meter,
    writer: ShardWriter,
    router: Router,
}

impl Plane {
    fn new() -> Self {
        let folder = Folder::new();
        let meter = Meter::with_pairs(1000);
        let options = Options {
            path: folder.path().join("history.db"),
            retention: [Duration::from_secs(24 * 3600); 3],
            spool_bytes_max: 1 << 20,
        };
        let history = History::open(&options, meter.clone(), now()).expect("a folder");
        let config = coo_llm_config::parse(CONFIG, &|_| None).expect("a configuration");
        let plan = Plan::new(&config, &meter).expect("it names no files");
        let book = PriceBook::new(&plan, None);
        let ledgers = Ledgers::new(&plan, 1, &[]);
        let addresses = AddressBook::of_literals(&plan.hosts());
        let control = Control {
            setups: Setups::new(Setup::new(plan, addresses, book, ledgers)),
            history: Some(Arc::new(history)),
            ..control(&meter, false)
        };
        Self {
            folder,
            writer: meter.writer(),
            router: router(control),
            meter,
        }
    }

    /// A finished request, of so many milliseconds and nano-USD.
    fn record(
        &mut self,
        [provider, model, key, client]: [&str; 4],
        ms: u64,
        cost: Option<u64>,
        error: Option<ErrorType>,
    ) {
        let record = Record {
            route: self.meter.catalog().route(provider, model, key),
            client: self.meter.catalog().client(client),
            endpoint: Endpoint::ChatCompletions,
            request_id: None,
            finished: now(),
            latency: Micros(ms * 1000),
            overhead: None,
            time_to_first_token: None,
            time_per_output_token: None,
            tokens: Tokens {
                input: 30,
                cached_input: 10,
                output: 5,
                ..Tokens::default()
            },
            usage: Some(UsageSource::Provider),
            cost: cost.map(NanoUsd),
            error,
            limited: None::<Limit>,
            attempts: &[],
        };
        self.writer.record(&record);
    }

    /// Two models over two keys, a failure, a refusal, a client of no configuration, and a
    /// request without a price.
    fn filled() -> Self {
        let mut plane = Self::new();
        let own = "client-123";
        for _ in 0..3 {
            plane.record(["openai", "gpt", "k1", own], 100, Some(1), None);
        }
        plane.record(["openai", "o3", "k2", own], 300, Some(2_000_000_000), None);
        let error = Some(ErrorType::Timeout);
        plane.record(["openai", "gpt", "k1", own], 900, Some(0), error);
        let error = Some(ErrorType::Budget);
        plane.record([NONE, NONE, NONE, own], 1, Some(0), error);
        plane.record(["far", "m", "k3", "ingested"], 50, None, None);
        plane
    }

    async fn ask(&self, uri: &str) -> Answer {
        ask(&self.router, "GET", uri, &[RIGHT]).await
    }

    async fn json(&self, uri: &str) -> Value {
        let answer = self.ask(uri).await;
        assert_eq!(answer.status, StatusCode::OK, "{uri}: {}", answer.text());
        answer.json()
    }
}

/// `serde_json` reads a float to the last bit or the one before.
fn is_near(have: &Value, want: f64) -> bool {
    have.as_f64().is_some_and(|have| (have - want).abs() < 1e-9)
}

#[tokio::test]
async fn a_client_has_its_numbers_and_its_providers() {
    let plane = Plane::filled();
    for prefix in ["", "/api"] {
        let uri = format!("{prefix}/admin/v1/metrics/clients/client-123");
        let answer = plane.ask(&uri).await;
        assert!(
            answer.text().contains("\"total_cost\":2.000000003,"),
            "{}",
            answer.text()
        );
        let client = answer.json();
        for (name, want) in [
            ("client_id", json!("client-123")),
            ("total_requests", json!(6)),
            ("total_tokens", json!(270)),
            ("input_tokens", json!(240)),
            ("output_tokens", json!(30)),
            ("errors", json!(2)),
            ("unpriced_requests", json!(0)),
            ("success_rate", json!(4.0 / 6.0)),
            ("anomalies", Value::Null),
            (
                "tokens_by_type",
                json!({"input": 180, "cached_input": 60, "output": 30}),
            ),
        ] {
            assert_eq!(client[name], want, "{name}");
        }
        assert!(is_near(&client["avg_latency"], 1501.0 / 6.0), "{client}");
        let p99 = client["p99_latency"].as_f64().expect("a number");
        assert!((p99 - 900.0).abs() < 9.0, "{p99}");
        let last = client["last_request_time"].as_u64().expect("seconds");
        assert!(now().0 / 1000 - last < 60, "{last}");
        let providers = &client["providers"];
        assert_eq!(providers.as_object().expect("parts").len(), 2);
        assert_eq!(providers["openai"]["requests"], 5);
        assert_eq!(providers["openai"]["cost"], 2.000000003);
        assert_eq!(providers[NONE]["errors"], 1);
        assert_eq!(providers[NONE]["success_rate"], 0.0);
    }
    // It is configured and did nothing: that is known.
    let quiet = plane.json("/admin/v1/metrics/clients/quiet").await;
    assert_eq!(quiet["total_requests"], 0);
    assert_eq!(quiet["total_cost"], 0);
    for name in ["success_rate", "avg_latency", "last_request_time"] {
        assert_eq!(quiet[name], Value::Null, "{name}");
    }
    // It is in no configuration, and no request of it has a price.
    let ingested = plane.json("/admin/v1/metrics/clients/ingested").await;
    assert_eq!(ingested["total_requests"], 1);
    assert_eq!(ingested["unpriced_requests"], 1);
    assert_eq!(ingested["total_cost"], Value::Null);
}

#[tokio::test]
async fn a_provider_has_its_models_keys_and_failures() {
    let plane = Plane::filled();
    let openai = plane.json("/admin/v1/metrics/providers/openai").await;
    assert_eq!(openai["provider_id"], "openai");
    assert_eq!(openai["total_requests"], 5);
    assert_eq!(openai["error_count"], 1);
    assert_eq!(openai["success_rate"], 0.8);
    assert_eq!(openai["error_types"], json!({"timeout": 1}));
    assert_eq!(openai["models"]["gpt"]["requests"], 4);
    assert_eq!(openai["models"]["o3"]["cost"], 2.0);
    assert_eq!(openai["keys"]["k1"]["tokens"], 180);
    assert_eq!(openai["keys"]["k2"]["avg_latency"], 300.0);
    let none = plane.json("/admin/v1/metrics/providers/none").await;
    assert_eq!(none["error_types"], json!({"budget": 1}));
    let idle = plane.json("/admin/v1/metrics/providers/idle").await;
    assert_eq!(
        (&idle["total_requests"], &idle["models"]),
        (&json!(0), &json!({}))
    );
}

#[tokio::test]
async fn totals_and_groups_add_up() {
    let plane = Plane::filled();
    let global = plane.json("/admin/v1/metrics/global").await;
    for (name, want) in [
        ("total_clients", json!(3)),
        ("total_providers", json!(3)),
        ("total_requests", json!(7)),
        ("total_tokens", json!(315)),
        ("total_cost", json!(2.000000003)),
        ("unpriced_requests", json!(1)),
        ("errors", json!(2)),
        ("overall_success_rate", json!(5.0 / 7.0)),
    ] {
        assert_eq!(global[name], want, "{name}");
    }
    assert!(is_near(&global["avg_latency"], 1551.0 / 7.0), "{global}");
    assert!(global["partial"].is_null(), "{global}");

    let clients = plane.json("/admin/v1/clients").await;
    let used = |queries, tokens, cost| json!({"queries": queries, "tokens": tokens, "cost": cost});
    let want = json!({
        "client-123": {
            "total": used(6, 270, json!(2.000000003)),
            "by_provider": {
                "openai": used(5, 225, json!(2.000000003)),
                "none": used(1, 45, json!(0)),
            },
        },
        "ingested": {
            "total": used(1, 45, Value::Null),
            "by_provider": {"far": used(1, 45, Value::Null)},
        },
    });
    assert_eq!(clients["client_stats"], want);
    let one = plane.json("/admin/v1/clients?provider=far").await;
    assert_eq!(one["client_stats"], json!({"ingested": want["ingested"]}));

    for by in ["client,provider", "client_key,provider", "id,provider"] {
        let stats = plane.json(&format!("/admin/v1/stats?group_by={by}")).await;
        let names: Vec<&str> = by.split(',').collect();
        assert_eq!(stats["group_by"], json!(names));
        let of_client = &stats["stats"]["client-123"];
        assert_eq!(of_client, &want["client-123"]["by_provider"]);
    }
    let stats = plane.json("/admin/v1/stats").await;
    assert_eq!(stats["group_by"], json!(["client", "provider"]));
    let filters = "model=gpt&client=client-123";
    let uri = format!("/admin/v1/stats?group_by=key,model,client,provider&{filters}");
    let deep = plane.json(&uri).await;
    assert_eq!(
        deep["stats"],
        json!({"k1": {"gpt": {"client-123": {"openai": used(4, 180, json!(0.000000003))}}}})
    );
    assert_eq!(
        deep["filters"],
        json!({"provider": null, "model": "gpt", "client": "client-123", "key": null})
    );
}

/// The sum of a series' values.
fn sum(series: &Value) -> f64 {
    let points = series["points"].as_array().expect("points").iter();
    points.filter_map(|point| point["value"].as_f64()).sum()
}

#[tokio::test]
async fn series_are_whole_and_latency_is_an_average() {
    let plane = Plane::filled();
    let all = plane.json("/admin/v1/metrics").await;
    assert_eq!(sum(&all["requests"]), 7.0);
    assert_eq!(sum(&all["errors"]), 2.0);
    assert_eq!(sum(&all["tokens"]), 315.0);
    assert!((sum(&all["cost"]) - 2.000000003).abs() < 1e-12);
    let step = all["step"].as_u64().expect("seconds");
    let timestamps = |series: &Value| -> Vec<u64> {
        let points = series["points"].as_array().expect("points").iter();
        points
            .map(|point| point["timestamp"].as_u64().expect("seconds"))
            .collect()
    };
    let times = timestamps(&all["requests"]);
    assert!(times.windows(2).all(|pair| pair[1] - pair[0] == step));
    assert_eq!(times.first().map(|first| first % step), Some(0));
    // Where nothing happened there is no latency.
    let latency = all["latency"]["points"].as_array().expect("points");
    assert!(latency.len() <= 2 && !latency.is_empty(), "{latency:?}");

    let own = "name=latency&client=client-123&provider=openai&step=86400";
    let latency = plane.json(&format!("/admin/v1/metrics?{own}")).await;
    assert_eq!(latency["name"], "latency");
    assert_eq!(latency["step"], 86_400);
    let [point] = latency["points"].as_array().expect("points").as_slice() else {
        panic!("one point: {latency}");
    };
    assert_eq!(point["value"], 1500.0 / 5.0);
    for (name, want) in [("p50", 100.0), ("p95", 900.0), ("p99", 900.0)] {
        let have = point[name].as_f64().expect("a number");
        assert!((have - want).abs() <= want * 0.004, "{name} {have}");
    }
    for (name, want) in [("tokens", 180.0), ("requests", 4.0), ("errors", 1.0)] {
        let one = plane
            .json(&format!("/admin/v1/metrics?name={name}&model=gpt"))
            .await;
        assert_eq!((&one["name"], sum(&one)), (&json!(name), want));
    }
    let key = plane.json("/admin/v1/metrics?name=cost&key=k2").await;
    assert_eq!(sum(&key), 2.0);
    let unpriced = plane
        .json("/admin/v1/metrics?name=cost&provider=far&step=86400")
        .await;
    assert_eq!(unpriced["points"][0]["value"], Value::Null);
}

#[tokio::test]
async fn of_a_time_before_the_history_nothing_is_known_and_that_is_said() {
    let plane = Plane::filled();
    // As the administrator's guide has it.
    let then = "start=1700000000&end=1700003600";
    for path in ENDPOINTS {
        let answer = plane.json(&format!("{path}?{then}")).await;
        assert_eq!(answer["partial"], true, "{path}");
        let reason = answer["reason"].as_str().expect("a reason");
        assert!(reason.contains("begins at"), "{reason}");
        for name in ["total_requests", "total_tokens", "total_cost", "errors"] {
            if path.contains("/metrics/") {
                assert_eq!(answer.get(name), Some(&Value::Null), "{path} {name}");
            }
        }
    }
    let half = plane
        .json("/admin/v1/metrics/global?start=1700000000")
        .await;
    assert_eq!(
        (&half["partial"], &half["total_requests"]),
        (&json!(true), &json!(7))
    );
    // A window up to now, however it is written, has the present bucket.
    let end = now().0 / 1000;
    let whole = plane
        .json(&format!("/admin/v1/metrics/global?end={end}"))
        .await;
    assert_eq!(whole["total_requests"], 7);
    let past = plane
        .json(&format!("/admin/v1/metrics/global?end={}", end - 60))
        .await;
    assert_eq!(past["total_requests"], 0, "{past}");
}

#[tokio::test]
async fn what_nobody_knows_is_404() {
    let plane = Plane::filled();
    for path in ["clients/nobody", "providers/nobody", "clients/a%2Fb"] {
        let answer = plane.ask(&format!("/admin/v1/metrics/{path}")).await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND, "{path}");
        assert_eq!(answer.json()["error"]["type"], "not_found");
    }
    let answer = plane.ask("/admin/v1/metrics/clients/%FF").await;
    assert_eq!(answer.status, StatusCode::BAD_REQUEST);
    assert_eq!(answer.json()["error"]["type"], "invalid_request_error");
}

#[tokio::test]
async fn wrong_questions_are_400_and_say_which_parameter() {
    let plane = Plane::new();
    for path in ENDPOINTS {
        for (query, part) in [
            ("start=x", "start must be"),
            ("end=-1", "end must be"),
            ("start=7&end=7", "start must be before end"),
            ("start=99999999999", "start must not be after now"),
            ("start=1&start=2", "start was given more than once"),
            ("from=1", "from is no parameter here"),
            ("scope=cluster", "scope=cluster is not in this version"),
        ] {
            let answer = plane.ask(&format!("{path}?{query}")).await;
            assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{path}?{query}");
            let message = answer.json()["error"]["message"].to_string();
            assert!(message.contains(part), "{path}?{query}: {message}");
        }
    }
    for (query, part) in [
        ("metrics?step=0", "step must be a whole number"),
        ("metrics?step=ten", "step must be a whole number"),
        ("metrics?name=size", "name must be of latency, tokens"),
        ("metrics?model=", "model is empty"),
        ("stats?group_by=", "group_by is empty"),
        (
            "stats?group_by=provider,hour",
            "group_by must be of provider",
        ),
        (
            "stats?group_by=client,id",
            "id in group_by was given more than once",
        ),
        ("clients?key=", "key is empty"),
    ] {
        let answer = plane.ask(&format!("/admin/v1/{query}")).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{query}");
        let message = answer.json()["error"]["message"].to_string();
        assert!(message.contains(part), "{query}: {message}");
    }
}

#[tokio::test]
async fn without_a_history_or_with_a_broken_one_nothing_is_zero() {
    let meter = Meter::new(1000);
    let off = router(control(&meter, false));
    for path in ENDPOINTS
        .into_iter()
        .filter(|path| !path.ends_with("global"))
    {
        let answer = ask(&off, "GET", path, &[RIGHT]).await;
        assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE, "{path}");
        let error = &answer.json()["error"];
        assert_eq!(error["type"], "store_error");
        let message = error["message"].as_str().expect("text");
        assert!(message.contains("storage.history.enabled"), "{message}");
    }
    let plane = Plane::filled();
    let file = plane.folder.path().join("history.db");
    std::fs::write(file, "rows".repeat(5000)).expect("the folder is writable");
    for path in ENDPOINTS {
        let answer = plane.ask(path).await;
        assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE, "{path}");
        let message = answer.json()["error"]["message"].to_string();
        assert!(message.contains("storage.history"), "{message}");
    }
}
