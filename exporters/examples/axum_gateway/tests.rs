//! The example under many tasks, asked over its own socket.

use super::*;
use axum::body::Bytes;
use axum::http::Request;
use axum::http::header::HeaderValue;
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Waker};
use tokio::task::JoinSet;

const TASKS: u64 = 48;
const ROUNDS: u64 = 40;
const MODELS: [&str; 2] = ["echo-small", "echo-large"];
/// 40 bytes: 10 tokens in, 20 out.
const PROMPT: &str = "forty bytes of prompt, which is ten toks";

#[derive(Clone)]
struct Caller {
    client: Client<HttpConnector, Full<Bytes>>,
    to: SocketAddr,
}

impl Caller {
    /// Asks the gateway on a free port.
    async fn of(gateway: Arc<Gateway>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let to = listener.local_addr().expect("an address");
        tokio::spawn(async move { serve(listener, router(gateway)).await });
        let client = Client::builder(TokioExecutor::new()).build_http();
        Self { client, to }
    }

    async fn send(&self, request: Request<Full<Bytes>>) -> (StatusCode, HeaderMap, Bytes) {
        let response = self.client.request(request).await.expect("an answer");
        let (head, body) = response.into_parts();
        let body = body.collect().await.expect("a whole answer");
        (head.status, head.headers, body.to_bytes())
    }

    async fn ask(&self, who: &str, body: String) -> (StatusCode, Bytes) {
        let request = Request::post(format!("http://{}/chat", self.to))
            .header("x-client", who)
            .header(CONTENT_TYPE, "application/json")
            .body(Full::from(body));
        let (status, _, body) = self.send(request.expect("a request")).await;
        (status, body)
    }

    async fn page(&self, accept: &str) -> (HeaderValue, Bytes) {
        let request = Request::get(format!("http://{}/metrics", self.to))
            .header(ACCEPT, accept)
            .body(Full::default());
        let (status, headers, page) = self.send(request.expect("a request")).await;
        assert_eq!(status, StatusCode::OK);
        (headers[CONTENT_TYPE].clone(), page)
    }

    /// The samples of a page of text.
    async fn samples(&self) -> BTreeMap<String, String> {
        let (_, page) = self.page("").await;
        let page = String::from_utf8(page.into()).expect("UTF-8");
        let lines = page.lines().filter(|line| !line.starts_with('#'));
        let samples = lines.map(|line| line.rsplit_once(' ').expect("a sample"));
        samples
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect()
    }
}

fn question(model: &str, prompt: &str) -> String {
    serde_json::json!({"model": model, "prompt": prompt}).to_string()
}

/// What `samples` has of a family, added up.
fn sum(samples: &BTreeMap<String, String>, name: &str, label: &str) -> u64 {
    let of_it = samples
        .iter()
        .filter(|(key, _)| key.starts_with(&format!("{name}{{")) && key.contains(label));
    of_it
        .map(|(_, value)| value.parse::<u64>().expect("an integer"))
        .sum()
}

/// In each page requests, errors and tokens are those of the same records.
fn assert_whole(samples: &BTreeMap<String, String>) {
    let answered = sum(samples, "coo_llm_requests_total", "provider=\"echo\"")
        - sum(samples, "coo_llm_errors_total", "provider=\"echo\"");
    let tokens = |kind| sum(samples, "coo_llm_tokens_total", kind);
    assert_eq!(tokens("type=\"input\""), 10 * answered);
    assert_eq!(tokens("type=\"output\""), 20 * answered);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn every_request_of_many_tasks_counts_once() {
    let gateway = Arc::new(Gateway::new().expect("prices"));
    let caller = Caller::of(Arc::clone(&gateway)).await;
    let done = Arc::new(AtomicBool::new(false));
    let reader = tokio::spawn({
        let (caller, done) = (caller.clone(), Arc::clone(&done));
        async move {
            let mut pages = 0u64;
            while !done.load(Ordering::Relaxed) {
                assert_whole(&caller.samples().await);
                pages += 1;
            }
            pages
        }
    });
    let mut tasks = JoinSet::new();
    for task in 0..TASKS {
        let caller = caller.clone();
        tasks.spawn(async move {
            for round in 0..ROUNDS {
                let model = MODELS[(task % 2) as usize];
                let who = format!("client-{}", task % 5);
                // Each tenth fails at the model, each twentieth never gets there.
                let (asked, prompt, want) = match round % 20 {
                    3 | 13 => (model, "fail", StatusCode::BAD_GATEWAY),
                    7 => ("gpt-9", PROMPT, StatusCode::NOT_FOUND),
                    _ => (model, PROMPT, StatusCode::OK),
                };
                let (status, answer) = caller.ask(&who, question(asked, prompt)).await;
                assert_eq!(status, want, "{answer:?}");
            }
        });
    }
    while let Some(task) = tasks.join_next().await {
        task.expect("a task without a wrong answer");
    }
    done.store(true, Ordering::Relaxed);
    assert!(reader.await.expect("whole pages") > 0);

    // Of 40 requests of a task 4 fail, 2 name no model, 34 are answered.
    let samples = caller.samples().await;
    assert_whole(&samples);
    let is = |key: &str, want: &str| {
        let got = samples.get(key).map(String::as_str);
        assert_eq!(got, Some(want), "{key}");
    };
    let prices = [
        ("echo-small", 10 * 150 + 20 * 600),
        ("echo-large", 10 * 3_000 + 20 * 15_000),
    ];
    for (model, nanos) in prices {
        let of = format!("provider=\"echo\",model=\"{model}\"");
        let route = format!("{of},key=\"echo-1f3a9c02\"");
        let (tasks, answered) = (TASKS / 2, TASKS / 2 * 34);
        let count = |n: u64| n.to_string();
        is(
            &format!("coo_llm_requests_total{{{route}}}"),
            &count(tasks * 38),
        );
        let tokens = |kind: &str| format!("coo_llm_tokens_total{{{route},type=\"{kind}\"}}");
        is(&tokens("input"), &count(10 * answered));
        is(&tokens("output"), &count(20 * answered));
        let cost = samples[&format!("coo_llm_cost_total{{{route}}}")].parse::<f64>();
        let want = (nanos * answered) as f64 / 1e9;
        assert_eq!(cost.expect("a number"), want);
        is(
            &format!("coo_llm_unpriced_requests_total{{{of}}}"),
            &count(tasks * 4),
        );
        is(
            &format!("coo_llm_latency_seconds_count{{{of}}}"),
            &count(tasks * 38),
        );
        is(
            &format!("coo_llm_upstream_latency_seconds_count{{{of}}}"),
            &count(tasks * 38),
        );
        let tries =
            |how: &str| format!("coo_llm_upstream_attempts_total{{{route},outcome=\"{how}\"}}");
        is(&tries("success"), &count(answered));
        is(&tries("upstream_5xx"), &count(tasks * 4));
    }
    let nowhere = "provider=\"none\",model=\"none\",key=\"none\"";
    is(
        &format!("coo_llm_requests_total{{{nowhere}}}"),
        &(TASKS * 2).to_string(),
    );
    let errors = |provider: &str, kind: &str| {
        format!("coo_llm_errors_total{{provider=\"{provider}\",type=\"{kind}\"}}")
    };
    is(&errors("echo", "upstream_5xx"), &(TASKS * 4).to_string());
    is(&errors("none", "invalid_request"), &(TASKS * 2).to_string());
    is(&errors("echo", "client_abort"), "0");
    is("coo_llm_active_requests{provider=\"echo\"}", "0");
    for client in 0..5 {
        // 48 tasks are 10 for each of the first three clients, and 9 for the others.
        let tasks = (0..TASKS).filter(|task| task % 5 == client).count() as u64;
        let of = format!("client_id=\"client-{client}\"");
        is(
            &format!("coo_llm_client_requests_total{{{of}}}"),
            &(tasks * 40).to_string(),
        );
        is(
            &format!("coo_llm_client_errors_total{{{of}}}"),
            &(tasks * 6).to_string(),
        );
        let tokens = format!("coo_llm_client_tokens_total{{{of},type=\"output\"}}");
        is(&tokens, &(tasks * 34 * 20).to_string());
    }
    is(
        "coo_llm_records_total{stage=\"recorded\"}",
        &(TASKS * ROUNDS).to_string(),
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_page_comes_as_it_is_asked_for() {
    let gateway = Arc::new(Gateway::new().expect("prices"));
    let caller = Caller::of(gateway).await;
    let (status, answer) = caller.ask("me", question("echo-small", PROMPT)).await;
    assert_eq!(status, StatusCode::OK);
    let answer: serde_json::Value = serde_json::from_slice(&answer).expect("JSON");
    assert_eq!(answer["cost_usd"], 0.000_013_5);
    let (kind, page) = caller.page("").await;
    assert_eq!(kind, "text/plain; version=0.0.4; charset=utf-8");
    assert!(page.starts_with(b"# HELP coo_llm_requests_total "));
    let (kind, page) = caller
        .page("application/openmetrics-text;version=1.0.0,text/plain;q=0.5")
        .await;
    assert_eq!(
        kind,
        "application/openmetrics-text; version=1.0.0; charset=utf-8"
    );
    assert!(page.ends_with(b"# EOF\n"));
    let protobuf = "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited";
    let (kind, page) = caller.page(protobuf).await;
    assert_eq!(kind, protobuf);
    // A length, then field 1, the name.
    let name = b"\x0a\x16coo_llm_requests_total";
    assert!(page.windows(name.len()).take(16).any(|bytes| bytes == name));
}

/// A client that leaves: axum drops the handler where it waits.
#[tokio::test]
async fn who_leaves_counts_as_well() {
    let gateway = Arc::new(Gateway::new().expect("prices"));
    let (route, _) = gateway.models["echo-small"];
    let question = Question {
        model: "echo-small".to_owned(),
        prompt: "wait".to_owned(),
    };
    let active = || {
        gateway
            .meter
            .read(|snapshot| snapshot.active(route.provider))
    };
    {
        let state = State(Arc::clone(&gateway));
        let mut handler = pin!(chat(state, HeaderMap::new(), Ok(Json(question))));
        let mut context = Context::from_waker(Waker::noop());
        for _ in 0..3 {
            assert!(handler.as_mut().poll(&mut context).is_pending());
            assert_eq!(active(), 1);
        }
    }
    assert_eq!(active(), 0);
    gateway.meter.read(|snapshot| {
        assert_eq!(snapshot.total().requests, 1);
        assert_eq!(snapshot.errors(route.provider, ErrorType::ClientAbort), 1);
        assert_eq!(snapshot.attempts(route.id, Outcome::ClientAbort), 1);
        assert_eq!(snapshot.route(route.id).unpriced, 1);
    });
}

#[tokio::test]
async fn a_body_that_is_no_question_counts_too() {
    let gateway = Arc::new(Gateway::new().expect("prices"));
    let caller = Caller::of(Arc::clone(&gateway)).await;
    let (status, _) = caller.ask("me", "{\"model\":".to_owned()).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    let nowhere = gateway.nowhere;
    gateway.meter.read(|snapshot| {
        let refused = snapshot.route(nowhere.id);
        assert_eq!(
            (refused.requests, refused.errors, refused.unpriced),
            (1, 1, 0)
        );
        assert_eq!(
            snapshot.errors(nowhere.provider, ErrorType::InvalidRequest),
            1
        );
    });
}
