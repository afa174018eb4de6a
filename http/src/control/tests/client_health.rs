//! What the watch found, as the endpoint shows it.

use super::folder::Folder;
use super::*;
use coo_llm_core::limiter::Period;
use coo_llm_core::record::{Endpoint, ErrorType, Record};
use coo_llm_core::{Micros, NanoUsd, UnixMillis};
use coo_llm_exporters::health::{Budget, Sensitivity};
use coo_llm_exporters::history::{History, Options};
use coo_llm_exporters::watch::{Board, Step, Watch};
use std::collections::HashMap;

const PATH: &str = "/admin/v1/clients/health";

fn now_s() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.expect("after 1970").as_secs() / 60 * 60
}

/// Five clients of which the second fails, and the third has spent its budget.
fn board(meter: &Meter, folder: &Folder) -> Arc<Board> {
    let end_s = now_s();
    let options = Options {
        path: folder.path().join("history.db"),
        retention: [Duration::from_secs(86_400); 3],
        spool_bytes_max: 1 << 20,
    };
    let at = |ago_s: u64| UnixMillis((end_s - ago_s) * 1000);
    let history = History::open(&options, meter.clone(), at(600)).expect("a history");
    let route = meter.catalog().route("openai", "m", "k");
    let mut writer = meter.writer();
    for n in 0..5 {
        let client = meter.catalog().client(&format!("client-{n}"));
        history.drain(at(120));
        for _ in 0..60 {
            let record = Record::new(route, client, Endpoint::ChatCompletions, at(120), Micros(1));
            writer.record(&Record {
                cost: Some(NanoUsd(1_000_000)),
                error: (n == 1).then_some(ErrorType::Timeout),
                ..record
            });
        }
        history.drain(at(120));
    }
    let mut watch = Watch::new(coo_llm_exporters::watch::Options {
        sensitivity: Sensitivity::Normal,
        clients_max: 100,
    });
    while watch.step(&history, at(0)).expect("rows") == Step::Behind {}
    let month = Period::Month.index(at(0));
    let budget = Budget {
        amount: NanoUsd(5_000_000_000),
        start_s: Period::Month.start(month).0 / 1000,
        end_s: Period::Month.end(month).0 / 1000,
        spent: NanoUsd(5_500_000_000),
    };
    let budgets = HashMap::from([("client-2".into(), budget)]);
    assert_eq!(watch.judge(&history, &budgets, at(0)).len(), 2);
    watch.board()
}

async fn get(router: &Router, query: &str) -> Value {
    let answer = ask(router, "GET", &format!("{PATH}{query}"), &[RIGHT]).await;
    assert_eq!(answer.status, StatusCode::OK, "{query}: {}", answer.text());
    answer.json()
}

fn ids(answer: &Value) -> Vec<&str> {
    let clients = answer["clients"].as_array().expect("clients");
    clients
        .iter()
        .map(|client| client["client_id"].as_str().expect("an id"))
        .collect()
}

fn watched() -> (Folder, Router) {
    let folder = Folder::new();
    let meter = Meter::with_pairs(1000);
    let board = board(&meter, &folder);
    let router = router(Control {
        clients: Some(board),
        ..control(&meter, false)
    });
    (folder, router)
}

#[tokio::test]
async fn each_client_has_its_figures_and_what_is_unusual_in_words() {
    let (_folder, router) = watched();
    let all = get(&router, "").await;
    assert_eq!(all["total"], 5);
    assert_eq!(all["next"], Value::Null);
    let judged = all["judged"].as_u64().expect("seconds");
    assert!(now_s() - judged <= 60, "{judged}");
    assert_eq!(all["partial"], true, "the process is new");
    let quiet = &all["clients"][0];
    assert_eq!(quiet["client_id"], "client-0");
    assert_eq!(quiet["status"], "ok");
    assert_eq!(quiet["usage"]["requests"], 60);
    assert_eq!(quiet["usage"]["usual_requests"], Value::Null, "it is new");
    assert_eq!(quiet["errors"]["rate"], 0.0);
    assert_eq!(quiet["cost"]["budget"], Value::Null);
    let served = &quiet["providers"]["distribution"][0];
    assert_eq!(served["provider"], "openai");
    assert_eq!(
        (&served["requests"], &served["share"]),
        (&json!(60), &json!(1.0))
    );

    let failing = &all["clients"][1];
    assert_eq!(failing["status"], "critical");
    let rise = &failing["errors"]["rises"][0];
    assert_eq!(rise["kind"], "error_rate_rise");
    assert_eq!(
        (&rise["observed"], &rise["samples"]),
        (&json!(1.0), &json!(60))
    );
    assert_eq!(
        (&rise["unit"], &rise["open"]),
        (&json!("rate"), &json!(true))
    );
    let text = rise["text"].as_str().expect("words");
    assert!(text.starts_with("100 % of 60 requests in "), "{text}");
    assert_eq!(rise["providers"][0]["provider"], "openai");

    let spent = &all["clients"][2]["cost"];
    assert_eq!(spent["budget"]["usd"], 5.0);
    assert_eq!(spent["budget"]["spent"], 5.5);
    assert_eq!(
        spent["budget"]["forecast"],
        Value::Null,
        "not known is not zero"
    );
    let overrun = &spent["overruns"][0];
    assert_eq!(
        (&overrun["unit"], &overrun["expected"]),
        (&json!("usd"), &json!(5.0))
    );
}

#[tokio::test]
async fn clients_are_filtered_and_paged() {
    let (_folder, router) = watched();
    let some = |query: &'static str| {
        let router = router.clone();
        async move { get(&router, query).await }
    };
    assert_eq!(ids(&some("?client=client-3").await), ["client-3"]);
    assert_eq!(ids(&some("?unusual=true").await), ["client-1", "client-2"]);
    assert_eq!(ids(&some("?kind=budget_overrun").await), ["client-2"]);
    assert_eq!(ids(&some("?kind=cost_drift").await), [""; 0]);
    assert_eq!(ids(&some("?unusual=true&end=1000000000").await), [""; 0]);
    let mut seen = Vec::new();
    let mut query = "?limit=2".to_owned();
    for pages in 1.. {
        let page = get(&router, &query).await;
        assert_eq!(page["total"], 5);
        seen.extend(ids(&page).into_iter().map(str::to_owned));
        let Some(next) = page["next"].as_str() else {
            assert_eq!(pages, 3);
            break;
        };
        query = format!("?limit=2&after={next}");
    }
    assert_eq!(seen, [0, 1, 2, 3, 4].map(|n| format!("client-{n}")));
}

#[tokio::test]
async fn what_is_wrong_with_a_question_is_told() {
    let (_folder, router) = watched();
    for (query, status, part) in [
        ("?kind=x", 400, "kind must be of usage_spike"),
        ("?unusual=1", 400, "unusual must be of true, false"),
        ("?limit=0", 400, "from 1 to 1000"),
        ("?limit=1001", 400, "from 1 to 1000"),
        ("?start=9&end=9", 400, "start must be before end"),
        ("?client=", 400, "client is empty"),
        ("?provider=x", 400, "no parameter here"),
        ("?client=nobody", 404, "Client not found: nobody"),
    ] {
        let answer = ask(&router, "GET", &format!("{PATH}{query}"), &[RIGHT]).await;
        assert_eq!(answer.status, status, "{query}");
        let message = answer.json()["error"]["message"].to_string();
        assert!(message.contains(part), "{query}: {message}");
    }
    // Nobody watches, or not yet.
    let meter = Meter::new(100);
    for clients in [None, Some(Arc::default())] {
        let router = super::router(Control {
            clients,
            ..control(&meter, false)
        });
        let answer = ask(&router, "GET", PATH, &[RIGHT]).await;
        assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    }
    let refused = ask(&router, "GET", PATH, &[]).await;
    assert_eq!(refused.status, StatusCode::UNAUTHORIZED);
}
