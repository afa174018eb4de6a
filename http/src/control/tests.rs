//! The router by itself: each endpoint, each refusal, and what both leave in the meter.

mod audit;
mod checks;
mod client_health;
mod clients;
mod folder;
mod openapi;
mod security;
mod serving;
mod usage;

pub(in crate::control) use folder::Folder;

use super::*;
use crate::gateway::{AddressBook, Ledgers, Plan, PriceBook, Setup};
use axum::body::Body;
use bytes::Bytes;
use coo_llm_config::MetricsAuth;
use coo_llm_core::record::{Endpoint, ErrorType, Record, Tokens, UsageSource};
use coo_llm_core::{Micros, NanoUsd, UnixMillis};
use http::header::{
    ACCEPT, ACCEPT_ENCODING, ALLOW, AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE, VARY,
    WWW_AUTHENTICATE,
};
use http::{HeaderMap, HeaderName, StatusCode};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use std::io::Read;
use std::time::{Duration, UNIX_EPOCH};
use tower::ServiceExt;

const GLOBAL: &str = "/admin/v1/metrics/global";
const RIGHT: (HeaderName, &str) = (AUTHORIZATION, "Bearer secret");

/// The configuration of a server without a data folder.
fn server(admin_key: Option<&str>) -> coo_llm_config::Server {
    coo_llm_config::Server {
        admin_api_key: admin_key.map(coo_llm_config::Secret::new),
        data_dir: None,
        ..coo_llm_config::Server::default()
    }
}

fn auth(server: &coo_llm_config::Server) -> Arc<Auth> {
    Arc::new(Auth::open(server).expect("nothing on disk"))
}

/// The setup of a configuration without clients and providers.
fn setups(meter: &Meter) -> Setups {
    let plan = Plan::new(&coo_llm_config::Config::builtin(), meter).expect("it names no files");
    let book = PriceBook::new(&plan, None);
    let ledgers = Ledgers::new(&plan, 1, &[]);
    let addresses = AddressBook::of_literals(&plan.hosts());
    Setups::new(Setup::new(plan, addresses, book, ledgers))
}

fn control(meter: &Meter, needs_admin_key: bool) -> Control {
    Control {
        roster: Arc::default(),
        setups: setups(meter),
        history: None,
        meter: meter.clone(),
        auth: auth(&coo_llm_config::Server {
            metrics_auth: if needs_admin_key {
                MetricsAuth::Bearer
            } else {
                MetricsAuth::None
            },
            ..server(Some("secret"))
        }),
        front: Front::default(),
        audit: None,
        config: None,
        checks: None,
        clients: None,
        metrics: Some(Metrics {
            native_histograms: true,
            path: MetricsPath::default(),
            namespace: Namespace::default(),
            build: vec![("version", "9.9.9".to_owned())],
        }),
        readiness: Readiness::new(State::Ready),
        started: UNIX_EPOCH + Duration::from_secs(1_700_000_000),
        extras: Box::new(|| vec![Extra::config_last_reload_success(true)]),
    }
}

struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: Bytes,
}

impl Answer {
    fn json(&self) -> Value {
        assert_eq!(self.headers[CONTENT_TYPE], "application/json");
        serde_json::from_slice(&self.body).expect("JSON")
    }

    fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("UTF-8")
    }
}

async fn ask(router: &Router, method: &str, uri: &str, headers: &[(HeaderName, &str)]) -> Answer {
    let mut request = http::Request::builder().method(method).uri(uri);
    for (name, value) in headers {
        request = request.header(name, *value);
    }
    let request = request.body(Body::empty()).expect("a request");
    let Ok(response) = router.clone().oneshot(request).await;
    let (head, body) = response.into_parts();
    Answer {
        status: head.status,
        headers: head.headers,
        body: body.collect().await.expect("a body").to_bytes(),
    }
}

/// An encoded page as text, read by decoders of others.
fn decoded(answer: &Answer, encoding: &str) -> String {
    assert_eq!(answer.headers[CONTENT_ENCODING], encoding);
    let mut page = String::new();
    let read = if encoding == "zstd" {
        let decoder = ruzstd::decoding::StreamingDecoder::new(&*answer.body);
        decoder.expect("zstd").read_to_string(&mut page)
    } else {
        flate2::read::GzDecoder::new(&*answer.body).read_to_string(&mut page)
    };
    assert_eq!(read.expect("a whole page"), page.len());
    page
}

/// The count of an event series, which must exist.
fn counted(meter: &Meter, family: Family, values: &[&str]) -> u64 {
    let found = meter.catalog().events().find(|(_, of, have)| {
        *of == family && have.iter().map(|value| &**value).eq(values.iter().copied())
    });
    let (event, ..) = found.unwrap_or_else(|| panic!("no {family:?} {values:?}"));
    meter.read(|snapshot| snapshot.event(event))
}

#[tokio::test]
async fn health_and_readiness_are_told() {
    let control = control(&Meter::new(100), false);
    let readiness = control.readiness.clone();
    let router = router(control);
    let health = ask(&router, "GET", "/health", &[]).await;
    assert_eq!(
        (health.status, health.json()),
        (StatusCode::OK, json!({"status": "ok"}))
    );
    let table = [
        (State::Ready, StatusCode::OK, "ready"),
        (State::Draining, StatusCode::SERVICE_UNAVAILABLE, "draining"),
        (
            State::NotConfigured,
            StatusCode::SERVICE_UNAVAILABLE,
            "not_configured",
        ),
    ];
    for (state, status, text) in table {
        readiness.set(state);
        let ready = ask(&router, "GET", "/ready", &[]).await;
        assert_eq!(
            (ready.status, ready.json()),
            (status, json!({"status": text}))
        );
    }
}

#[tokio::test]
async fn a_scrape_is_negotiated() {
    let meter = Meter::new(2000);
    let router = router(control(&meter, false));
    let text = ask(&router, "GET", "/metrics", &[]).await;
    assert_eq!(text.status, StatusCode::OK);
    assert_eq!(
        text.headers[CONTENT_TYPE],
        "text/plain; version=0.0.4; charset=utf-8"
    );
    assert!(!text.headers.contains_key(CONTENT_ENCODING));
    let vary: Vec<_> = text.headers.get_all(VARY).iter().collect();
    assert_eq!(vary, ["accept", "accept-encoding"]);
    for line in [
        "coo_llm_build_info{version=\"9.9.9\"} 1",
        "coo_llm_config_last_reload_success 1",
        "coo_llm_admin_requests_total{endpoint=\"/admin/v1/metrics/global\",method=\"GET\",status=\"200\"} 0",
        "coo_llm_admin_rate_limits_total{endpoint=\"/admin/v1/metrics/global\"} 0",
        "coo_llm_auth_attempts_total{method=\"admin_key\",result=\"invalid\"} 0",
    ] {
        assert!(text.text().lines().any(|have| have == line), "{line}");
    }
    // The duration of a scrape is known from the second one on.
    let duration = "\ncoo_llm_scrape_duration_seconds 0.";
    assert!(!text.text().contains(duration));
    let accept = (ACCEPT, "application/openmetrics-text;version=1.0.0");
    for (asked, encoding) in [("gzip", "gzip"), ("gzip;q=0.9, zstd", "zstd")] {
        let headers = [accept.clone(), (ACCEPT_ENCODING, asked)];
        let encoded = ask(&router, "GET", "/metrics", &headers).await;
        let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
        assert_eq!(encoded.headers[CONTENT_TYPE], kind);
        let page = decoded(&encoded, encoding);
        assert!(page.ends_with("# EOF\n") && page.contains(duration));
    }
    // Pages that are encoded on a thread of their own.
    for n in 0..1000 {
        meter.catalog().client(&format!("client-{n}"));
    }
    for encoding in ["gzip", "zstd"] {
        let headers = [accept.clone(), (ACCEPT_ENCODING, encoding)];
        let encoded = ask(&router, "GET", "/metrics", &headers).await;
        let page = decoded(&encoded, encoding);
        assert!(page.len() > 64 * 1024 && page.ends_with("# EOF\n"));
        assert!(page.contains("{client_id=\"client-999\"}"));
    }
    let refused = (ACCEPT_ENCODING, "zstd;q=0, gzip;q=0");
    let plain = ask(&router, "GET", "/metrics", &[accept, refused]).await;
    assert!(!plain.headers.contains_key(CONTENT_ENCODING));
    assert!(plain.text().ends_with("# EOF\n"));
    let head = ask(&router, "HEAD", "/metrics", &[]).await;
    assert_eq!((head.status, head.body.len()), (StatusCode::OK, 0));
}

/// A page that is still being sent is not overwritten by the next scrape.
#[tokio::test]
async fn a_page_outlives_the_next_scrape() {
    let meter = Meter::new(100);
    let router = router(control(&meter, false));
    let first = ask(&router, "GET", "/metrics", &[]).await;
    let before = first.body.to_vec();
    meter.catalog().client("new");
    let second = ask(&router, "GET", "/metrics", &[]).await;
    assert_eq!(first.body, before);
    assert_ne!(second.body, before);
}

#[tokio::test]
async fn a_scrape_needs_the_key_where_the_operator_says_so() {
    let meter = Meter::new(100);
    let router = router(control(&meter, true));
    let refused = ask(&router, "GET", "/metrics", &[]).await;
    assert_eq!(refused.status, StatusCode::UNAUTHORIZED);
    assert_eq!(refused.headers[WWW_AUTHENTICATE], "Bearer");
    assert_eq!(refused.json()["error"]["code"], "invalid_api_key");
    let taken = ask(&router, "GET", "/metrics", &[RIGHT]).await;
    assert_eq!(taken.status, StatusCode::OK);
    assert_eq!(
        counted(&meter, Family::AuthAttempts, &["admin_key", "invalid"]),
        1
    );
    assert_eq!(
        counted(&meter, Family::AuthAttempts, &["admin_key", "success"]),
        1
    );
}

#[tokio::test]
async fn no_endpoint_is_there_for_metrics_that_are_off() {
    let mut control = control(&Meter::new(100), false);
    control.metrics = None;
    let answer = ask(&router(control), "GET", "/metrics", &[]).await;
    assert_eq!(answer.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn what_is_not_known_is_null() {
    let meter = Meter::new(100);
    let answer = ask(&router(control(&meter, false)), "GET", GLOBAL, &[RIGHT]).await;
    assert_eq!(answer.status, StatusCode::OK);
    let mut global = answer.json();
    let reason = global["reason"].take().to_string();
    assert!(reason.contains("since the start"), "{reason}");
    let end = global["end"].take().as_u64().expect("seconds");
    assert!(end > 1_700_000_000);
    let want = json!({
        "total_clients": 0, "total_providers": 1, "total_requests": 0, "total_tokens": 0,
        "total_cost": 0, "overall_success_rate": null, "avg_latency": null, "p50_latency": null,
        "p95_latency": null, "p99_latency": null, "errors": 0, "unpriced_requests": 0,
        "input_tokens": 0, "output_tokens": 0, "tokens_by_type": {"input": 0, "output": 0},
        "start": 1_700_000_000, "end": null, "partial": true, "reason": null,
    });
    assert_eq!(global, want);
}

#[tokio::test]
async fn the_global_numbers_are_those_of_the_records() {
    let meter = Meter::new(100);
    let mut record = Record {
        route: meter.catalog().route("openai", "gpt-4o", "k"),
        client: meter.catalog().client("a"),
        endpoint: Endpoint::ChatCompletions,
        request_id: None,
        finished: UnixMillis(1),
        latency: Micros(10_000),
        overhead: Some(Micros(1)),
        time_to_first_token: None,
        time_per_output_token: None,
        tokens: Tokens {
            input: 3,
            output: 4,
            ..Tokens::default()
        },
        usage: Some(UsageSource::Provider),
        cost: None,
        error: None,
        limited: None,
        attempts: &[],
    };
    let mut writer = meter.writer();
    writer.record(&record);
    let router = router(control(&meter, false));
    // The one request has no price: then no cost is known at all.
    let global = ask(&router, "GET", GLOBAL, &[RIGHT]).await.json();
    assert_eq!(
        (&global["total_cost"], &global["unpriced_requests"]),
        (&Value::Null, &json!(1))
    );
    record.cost = Some(NanoUsd(1_000_000_000_001));
    record.latency = Micros(30_000);
    record.error = Some(ErrorType::Timeout);
    writer.record(&record);
    for path in [GLOBAL.to_owned(), format!("/api{GLOBAL}")] {
        let answer = ask(&router, "GET", &path, &[RIGHT]).await;
        // To the nano-USD.
        assert!(
            answer.text().contains("\"total_cost\":1000.000000001,"),
            "{}",
            answer.text()
        );
        let global = answer.json();
        assert_eq!(global["total_requests"], 2);
        assert_eq!(global["total_tokens"], 14);
        assert_eq!(global["errors"], 1);
        assert_eq!(global["overall_success_rate"], 0.5);
        assert_eq!(global["avg_latency"], 20.0);
        let p99 = global["p99_latency"].as_f64().expect("a number");
        assert!((p99 - 30.0).abs() < 1.0, "{p99}");
    }
    let values = [GLOBAL, "GET", "200"];
    assert_eq!(counted(&meter, Family::AdminRequests, &values), 3);
}

#[tokio::test]
async fn a_window_that_cannot_be_answered_is_refused() {
    let meter = Meter::new(100);
    let router = router(control(&meter, false));
    for query in ["start=x", "start=2&end=1"] {
        let answer = ask(&router, "GET", &format!("{GLOBAL}?{query}"), &[RIGHT]).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{query}");
        assert_eq!(answer.json()["error"]["type"], "invalid_request_error");
    }
    // It leaves out a part of what the meter has, which cannot be told apart.
    for query in ["start=1700000001", "end=1700000001"] {
        let answer = ask(&router, "GET", &format!("{GLOBAL}?{query}"), &[RIGHT]).await;
        assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE, "{query}");
        assert_eq!(answer.json()["error"]["type"], "store_error");
    }
    let whole = format!("{GLOBAL}?start=1699999999&end=99999999999");
    assert_eq!(
        ask(&router, "GET", &whole, &[RIGHT]).await.status,
        StatusCode::OK
    );
    let values = [GLOBAL, "GET", "400"];
    assert_eq!(counted(&meter, Family::AdminRequests, &values), 2);
}

#[tokio::test]
async fn nobody_gets_in_without_the_key() {
    let meter = Meter::new(100);
    let closed = router(control(&meter, false));
    for headers in [&[][..], &[(AUTHORIZATION, "Bearer wrong")]] {
        for path in [GLOBAL, "/admin", "/api/admin/v1/nothing"] {
            let answer = ask(&closed, "GET", path, headers).await;
            assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{path}");
            let error = &answer.json()["error"];
            assert_eq!(error["type"], "authentication_error");
            assert_eq!(
                error.as_object().expect("an object").len(),
                2,
                "message and type"
            );
        }
    }
    assert_eq!(
        counted(&meter, Family::AuthAttempts, &["admin_key", "invalid"]),
        6
    );
    assert_eq!(
        counted(&meter, Family::AdminRequests, &[GLOBAL, "GET", "401"]),
        2
    );
    assert_eq!(
        counted(&meter, Family::AdminRequests, &["other", "GET", "401"]),
        4
    );
    let mut keyless = control(&meter, false);
    keyless.auth = auth(&server(None));
    let answer = ask(&router(keyless), "GET", GLOBAL, &[RIGHT]).await;
    assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn unknown_paths_and_methods_are_told_in_the_right_shape() {
    let meter = Meter::new(100);
    let router = router(control(&meter, false));
    let unknown = ask(&router, "GET", "/x", &[]).await;
    assert_eq!(unknown.status, StatusCode::NOT_FOUND);
    let want = json!({"error": {
        "message": "Not found: GET /x", "type": "invalid_request_error", "param": null,
        "code": "unknown_url",
    }});
    assert_eq!(unknown.json(), want);
    let wrong = ask(&router, "POST", "/health", &[]).await;
    assert_eq!(wrong.status, StatusCode::METHOD_NOT_ALLOWED);
    assert_eq!(wrong.headers[ALLOW], "GET,HEAD");
    assert_eq!(wrong.json()["error"]["code"], "method_not_supported");

    let unknown = ask(&router, "GET", "/admin/v1/x?y=secret", &[RIGHT]).await;
    assert_eq!(unknown.status, StatusCode::NOT_FOUND);
    let want = json!({"error": {"message": "Not found: GET /admin/v1/x", "type": "not_found"}});
    assert_eq!(unknown.json(), want);
    let wrong = ask(&router, "DELETE", GLOBAL, &[RIGHT]).await;
    assert_eq!(wrong.status, StatusCode::METHOD_NOT_ALLOWED);
    assert_eq!(wrong.headers[ALLOW], "GET,HEAD");
    assert_eq!(wrong.json()["error"]["type"], "method_not_allowed");
    // Any token is a method; as a label it is `other`, so that none can make series.
    ask(&router, "EXPLODE", GLOBAL, &[RIGHT]).await;
    let count = |values| counted(&meter, Family::AdminRequests, values);
    assert_eq!(count(&["other", "GET", "404"]), 1);
    assert_eq!(count(&[GLOBAL, "DELETE", "405"]), 1);
    assert_eq!(count(&[GLOBAL, "other", "405"]), 1);
}

async fn send(router: &Router, method: &str, uri: &str, body: &str) -> (StatusCode, Value) {
    let request = http::Request::builder().method(method).uri(uri);
    let request = request
        .header(RIGHT.0, RIGHT.1)
        .body(Body::from(body.to_owned()));
    let Ok(response) = router.clone().oneshot(request.expect("a request")).await;
    let status = response.status();
    let body = response
        .into_body()
        .collect()
        .await
        .expect("a body")
        .to_bytes();
    (status, serde_json::from_slice(&body).expect("JSON"))
}

#[tokio::test]
async fn orders_about_the_configuration_are_given_one_by_one() {
    let meter = Meter::new(100);
    let (orders, mut end) = Orders::new();
    let mut control = control(&meter, false);
    control.config = Some(orders);
    let router = router(control);
    let follower = tokio::spawn(async move {
        let mut followed = Vec::new();
        while let Some(Ordered { order, answer }) = end.recv().await {
            let wrong = |text: &str| OrderRefused::Invalid(vec![text.to_owned()]);
            let done = match &order {
                Order::Use(Some(text)) if text == "bad" => Err(wrong("it is bad")),
                Order::Use(Some(_)) => Err(OrderRefused::NeedsRestart(vec!["listen".into()])),
                _ => Ok(Followed::Shown(json!({"done": format!("{order:?}")}))),
            };
            followed.push(order);
            answer.send(done).expect("who asked waits");
            if followed.len() == 6 {
                break;
            }
        }
        followed
    });
    let config = "/admin/v1/config";
    let done = |what: &str| (StatusCode::OK, json!({ "done": what }));
    assert_eq!(send(&router, "GET", config, "").await, done("Show"));
    assert_eq!(send(&router, "POST", config, " \n").await, done("Use"));
    let (status, bad) = send(&router, "POST", config, "bad").await;
    assert_eq!(
        (status, &bad["error"]["type"]),
        (StatusCode::BAD_REQUEST, &json!("invalid_config"))
    );
    assert_eq!(bad["error"]["errors"], json!(["it is bad"]));
    let (status, fixed) = send(&router, "POST", "/api/admin/v1/config", "x").await;
    assert_eq!(
        (status, &fixed["error"]["type"]),
        (StatusCode::CONFLICT, &json!("restart_needed"))
    );
    let validate = "/admin/v1/config/validate";
    assert_eq!(send(&router, "POST", validate, "x").await, done("Validate"));
    let policy = "/admin/v1/config/policy";
    assert_eq!(send(&router, "PUT", policy, "p").await, done("UsePolicy"));
    let (status, _) = send(&router, "PUT", policy, "").await;
    assert_eq!(
        status,
        StatusCode::BAD_REQUEST,
        "an order that was not given"
    );
    let text = |text: &str| Some(text.to_owned());
    assert_eq!(
        follower.await.expect("it does not panic"),
        [
            Order::Show,
            Order::Use(None),
            Order::Use(text("bad")),
            Order::Use(text("x")),
            Order::Validate(text("x")),
            Order::UsePolicy("p".into()),
        ]
    );
    // Nobody follows any more.
    let (status, _) = send(&router, "GET", config, "").await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    let (status, _) = send(&router, "DELETE", config, "").await;
    assert_eq!(status, StatusCode::METHOD_NOT_ALLOWED);
    let values = ["/admin/v1/config", "POST", "409"];
    assert_eq!(counted(&meter, Family::AdminRequests, &values), 1);
}

#[tokio::test]
async fn rights_change_while_it_serves() {
    let meter = Meter::new(100);
    let control = control(&meter, false);
    let auth = Arc::clone(&control.auth);
    let router = router(control);
    assert_eq!(
        ask(&router, "GET", "/metrics", &[]).await.status,
        StatusCode::OK
    );
    assert_eq!(
        ask(&router, "GET", GLOBAL, &[RIGHT]).await.status,
        StatusCode::OK
    );
    let other = coo_llm_config::Server {
        metrics_auth: MetricsAuth::Bearer,
        ..server(Some("other"))
    };
    auth.set(Rights::new(&other).expect("no hash is wrong"));
    for path in ["/metrics", GLOBAL] {
        let refused = ask(&router, "GET", path, &[RIGHT]).await;
        assert_eq!(refused.status, StatusCode::UNAUTHORIZED, "{path}");
        let other = (AUTHORIZATION, "Bearer other");
        assert_eq!(
            ask(&router, "GET", path, &[other]).await.status,
            StatusCode::OK,
            "{path}"
        );
    }
}
