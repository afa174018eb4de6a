//! A store that refuses rows, calls and clients.

use super::*;
use axum::Router;
use axum::body::Bytes;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use flate2::read::GzDecoder;
use std::collections::{BTreeSet, HashMap};
use std::io::Read as _;
use std::sync::Mutex;

/// What it took and how it answers.
#[derive(Debug, Default)]
struct Store {
    rows: BTreeSet<String>,
    calls: usize,
    /// More lines than this are too large.
    lines_max: usize,
    /// Answered to every call, with a `Retry-After`.
    status: Option<(StatusCode, &'static str)>,
    asked: Vec<(HashMap<String, String>, Option<String>)>,
}

type Shared = Arc<Mutex<Store>>;

async fn write(
    State(store): State<Shared>,
    Query(query): Query<HashMap<String, String>>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let mut store = store.lock().expect("no panic");
    store.calls += 1;
    let authorization = headers.get("authorization");
    let authorization = authorization.map(|it| it.to_str().expect("ASCII").to_owned());
    store.asked.push((query, authorization));
    if let Some((status, retry_after)) = store.status {
        return (status, [("retry-after", retry_after)], "not now\n").into_response();
    }
    let mut text = String::new();
    GzDecoder::new(&body[..])
        .read_to_string(&mut text)
        .expect("gzip");
    let lines: Vec<&str> = text.lines().collect();
    if lines.len() > store.lines_max {
        return StatusCode::PAYLOAD_TOO_LARGE.into_response();
    }
    // As InfluxDB 1 does: the good ones are in it, and the call is refused.
    let (bad, good): (Vec<&str>, _) = lines.iter().partition(|line| line.contains("bad"));
    store.rows.extend(good.into_iter().map(str::to_owned));
    match bad.first() {
        None => StatusCode::NO_CONTENT.into_response(),
        Some(_) => (StatusCode::BAD_REQUEST, "partial write: a bad one").into_response(),
    }
}

async fn serve(store: &Shared) -> String {
    let router = Router::new()
        .route("/write", post(write))
        .route("/api/v2/write", post(write))
        .with_state(Arc::clone(store));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
        .await
        .expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("bound"));
    tokio::spawn(async move { axum::serve(listener, router).await });
    url
}

fn sink(url: &str, org: Option<&str>, token: Option<&str>) -> Influx {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let tls = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("ring has them")
        .with_root_certificates(rustls::RootCertStore::empty())
        .with_no_client_auth();
    Influx::new(Options {
        url: url.to_owned(),
        token: token.map(str::to_owned),
        org: org.map(str::to_owned),
        bucket: "b u".to_owned(),
        tls,
        patience: Duration::from_secs(5),
    })
    .expect("no TLS")
}

fn rows(models: &[&str]) -> Sealed {
    let mut all = sealed(["p", "m", "k", "c"], 1);
    all.errors.clear();
    let row = all.rows.remove(0);
    all.rows = models
        .iter()
        .map(|model| SealedRow {
            model: Arc::from(*model),
            ..row.clone()
        })
        .collect();
    all
}

fn store(lines_max: usize) -> Shared {
    Arc::new(Mutex::new(Store {
        lines_max,
        ..Store::default()
    }))
}

#[tokio::test]
async fn a_poison_row_is_set_aside_and_all_others_are_taken() {
    let store = store(1000);
    let mut sink = sink(&serve(&store).await, None, Some("me:secret"));
    let models: Vec<String> = (0..100).map(|n| format!("m{n}")).collect();
    let mut models: Vec<&str> = models.iter().map(String::as_str).collect();
    models[17] = "bad1";
    models[83] = "bad2";
    let applied = sink.apply(1, None, &rows(&models)).await.expect("taken");
    let Applied::Taken(aside) = applied else {
        panic!("{applied:?}");
    };
    let names: Vec<_> = aside
        .iter()
        .map(|it| it.row.contains("model=bad"))
        .collect();
    assert_eq!(names, [true, true]);
    assert_eq!(aside[0].reason, "400: partial write: a bad one");
    let store = store.lock().expect("no panic");
    assert_eq!(store.rows.len(), 98);
    assert!(store.calls < 40, "{} calls", store.calls);
    let (query, authorization) = &store.asked[0];
    assert_eq!(
        (query["db"].as_str(), query["precision"].as_str()),
        ("b u", "s")
    );
    // me:secret
    assert_eq!(authorization.as_deref(), Some("Basic bWU6c2VjcmV0"));
}

#[tokio::test]
async fn a_store_that_refuses_every_row_is_at_fault_and_none_is_set_aside() {
    let store = store(1000);
    let mut sink = sink(&serve(&store).await, None, None);
    let fault = sink.apply(1, None, &rows(&["bad1", "bad2", "bad3"])).await;
    let fault = fault.expect_err("refused");
    assert_eq!(fault.reason, Reason::Refused);
    assert!(fault.detail.contains("every row"), "{fault}");
}

#[tokio::test]
async fn a_call_that_is_too_large_is_halved() {
    let store = store(3);
    let mut sink = sink(&serve(&store).await, None, None);
    let models = ["a", "b", "c", "d", "e", "f", "g"];
    let applied = sink.apply(1, None, &rows(&models)).await.expect("taken");
    assert_eq!(applied, Applied::Taken(Vec::new()));
    assert_eq!(store.lock().expect("no panic").rows.len(), 7);
}

#[tokio::test]
async fn what_the_store_says_of_itself_is_a_fault_of_its_kind() {
    let store = store(1000);
    let url = serve(&store).await;
    let mut acme = sink(&url, Some("acme"), Some("t0ken"));
    for (status, reason) in [
        (StatusCode::UNAUTHORIZED, Reason::Auth),
        (StatusCode::FORBIDDEN, Reason::Auth),
        (StatusCode::NOT_FOUND, Reason::Refused),
        (StatusCode::TOO_MANY_REQUESTS, Reason::Busy),
        (StatusCode::INTERNAL_SERVER_ERROR, Reason::Busy),
        (StatusCode::SERVICE_UNAVAILABLE, Reason::Busy),
    ] {
        store.lock().expect("no panic").status = Some((status, "7"));
        let fault = acme.apply(1, None, &rows(&["m"])).await;
        let fault = fault.expect_err("refused");
        assert_eq!(fault.reason, reason, "{fault}");
        assert_eq!(fault.retry_after, Some(Duration::from_secs(7)));
        assert_eq!(fault.detail, format!("{}: not now", status.as_u16()));
        assert!(!format!("{fault:?}{acme:?}").contains("t0ken"));
    }
    let (query, authorization) = store.lock().expect("no panic").asked.remove(0);
    assert_eq!(
        (query["org"].as_str(), query["bucket"].as_str()),
        ("acme", "b u")
    );
    assert_eq!(authorization.as_deref(), Some("Token t0ken"));
    let gone = format!("http://127.0.0.1:{}", 1);
    let mut nobody = sink(&gone, None, None);
    let fault = nobody.apply(1, None, &rows(&["m"])).await;
    assert_eq!(fault.expect_err("nobody is there").reason, Reason::Connect);
}
