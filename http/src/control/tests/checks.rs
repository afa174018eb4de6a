//! The checks against real sockets and a real history.

use super::folder::Folder;
use super::{ask, control};
use crate::control::checks::{Checks, Facts, Health, ProviderCheck, Status, TaskCounts};
use crate::control::{Control, router};
use crate::gateway::{AddressBook, Heartbeats, Ledgers, Plan, PriceBook, Setup, Setups};
use coo_llm_core::{Meter, UnixMillis};
use coo_llm_exporters::history::{self, History};
use http::header::AUTHORIZATION;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::net::TcpListener;

const HOUR: Duration = Duration::from_secs(3600);

/// A provider that takes connections, counts them, and answers nothing.
struct Provider {
    port: u16,
    connects: Arc<AtomicUsize>,
}

impl Provider {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let port = listener.local_addr().expect("it is bound").port();
        let connects = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&connects);
        tokio::spawn(async move {
            let mut open = Vec::new();
            while let Ok((stream, _)) = listener.accept().await {
                counted.fetch_add(1, Ordering::Relaxed);
                open.push(stream);
            }
        });
        Self { port, connects }
    }

    fn url(&self, scheme: &str) -> String {
        format!("{scheme}://127.0.0.1:{}/v1", self.port)
    }

    fn connects(&self) -> usize {
        self.connects.load(Ordering::Relaxed)
    }
}

pub(super) fn setups(providers: &[(&str, &str)]) -> Setups {
    let mut yaml = "llm_providers:\n".to_owned();
    for (id, url) in providers {
        yaml += &match *url {
            "" => format!("  - {{ id: {id}, type: simulator, model: m }}\n"),
            url => format!(
                "  - {{ id: {id}, type: custom, base_url: \"{url}\", api_keys: [a-secret-key, k2], \
                 timeouts: {{ connect: 200ms }} }}\n"
            ),
        };
    }
    let config = coo_llm_config::parse(&yaml, &|_| None).expect("a sound configuration");
    let plan = Plan::new(&config, &Meter::new(100)).expect("a plan");
    let book = AddressBook::of_literals(&plan.hosts());
    let ledgers = Ledgers::new(&plan, 1, &[]);
    Setups::new(Setup::new(plan, book, PriceBook::default(), ledgers))
}

pub(super) fn checks(setups: &Setups, kept: Duration) -> Arc<Checks> {
    let tasks = Box::new(|| {
        let tasks = TaskCounts {
            alive: 7,
            panicked: 0,
        };
        Facts {
            tasks: Some(tasks),
            sinks: Vec::new(),
        }
    });
    let checks = Checks::new(setups.clone(), None, Heartbeats::new(2), tasks, "1.2.3");
    Arc::new(checks.keeping(kept))
}

fn of<'a>(health: &'a Health, provider: &str) -> &'a ProviderCheck {
    &health.checks.providers[provider]
}

#[tokio::test]
async fn providers_are_reached_or_named_and_no_secret_is_told() {
    let here = Provider::start().await;
    let gone = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let gone_port = gone.local_addr().expect("it is bound").port();
    drop(gone);
    let gone = format!("http://127.0.0.1:{gone_port}/v1");
    let setups = setups(&[
        ("here", &here.url("http")),
        ("gone", &gone),
        ("mute", &here.url("https")),
        ("nowhere", "http://nowhere.invalid/v1"),
        ("sim", ""),
    ]);
    let health = checks(&setups, HOUR).look(5).await;
    assert_eq!(health.status, Status::Degraded);
    let status = |id| of(&health, id).check.status;
    assert_eq!(status("here"), Status::Ok);
    assert_eq!(status("sim"), Status::Ok);
    for (id, part) in [
        ("gone", "refused"),
        ("mute", "no connection within 200ms"),
        ("nowhere", "no address"),
    ] {
        assert_eq!(status(id), Status::Down, "{id}");
        let detail = &of(&health, id).check.detail;
        assert!(detail.contains(part), "{detail}");
    }
    assert!(of(&health, "mute").check.latency_ms >= 200.0);
    assert_eq!(
        (of(&health, "here").keys, of(&health, "here").keys_up),
        (2, 2)
    );
    let text = serde_json::to_string(&*health).expect("JSON");
    assert!(!text.contains("a-secret-key"), "{text}");
}

#[tokio::test]
async fn however_often_it_is_asked_a_provider_sees_one_connection() {
    let provider = Provider::start().await;
    let setups = setups(&[("here", &provider.url("http"))]);
    let kept = checks(&setups, HOUR);
    // At once, and by some that leave before there is an answer.
    for _ in 0..10 {
        drop(tokio::time::timeout(Duration::ZERO, kept.look(1)).await);
    }
    let asked = (0..50).map(|_| {
        let kept = Arc::clone(&kept);
        tokio::spawn(async move { kept.look(1).await.status })
    });
    for asked in asked.collect::<Vec<_>>() {
        assert_eq!(asked.await.expect("an answer"), Status::Ok);
    }
    assert_eq!(provider.connects(), 1);
    let fresh = checks(&setups, Duration::ZERO);
    for _ in 0..3 {
        fresh.look(1).await;
    }
    assert_eq!(
        provider.connects(),
        4,
        "what is not kept is looked at again"
    );
}

#[tokio::test]
async fn what_the_workers_know_of_a_provider_counts() {
    let provider = Provider::start().await;
    let setups = setups(&[("here", &provider.url("http"))]);
    let status = || async {
        let health = checks(&setups, HOUR).look(1).await;
        (of(&health, "here").check.status, health.status)
    };
    assert_eq!(status().await, (Status::Ok, Status::Ok));
    let setup = setups.current();
    setup.plan.set_aside(0, 0);
    assert_eq!(status().await, (Status::Degraded, Status::Degraded));
    setup.plan.set_aside(0, 1);
    assert_eq!(status().await, (Status::Down, Status::Down));
}

#[tokio::test]
async fn the_endpoint_says_down_with_503_and_who_may_not_see_it_is_told_nothing() {
    let meter = Meter::new(1000);
    let provider = Provider::start().await;
    for (url, status, word) in [
        (provider.url("http"), 200, "ok"),
        ("http://nowhere.invalid/v1".to_owned(), 503, "down"),
    ] {
        let checks = checks(&setups(&[("one", &url)]), HOUR);
        let router = router(Control {
            checks: Some(checks),
            ..control(&meter, false)
        });
        for path in ["/admin/v1/health", "/api/admin/v1/health"] {
            let answer = ask(&router, "GET", path, &[(AUTHORIZATION, "Bearer secret")]).await;
            assert_eq!(answer.status, status, "{}", answer.text());
            let body = answer.json();
            assert_eq!(body["status"], word);
            assert_eq!(body["version"], "1.2.3");
            assert!(body["uptime_seconds"].is_u64());
            assert_eq!(body["checks"]["tasks"]["count"], 7);
            assert!(body["checks"]["memory"]["rss_bytes"].is_u64());
            assert_eq!(body["checks"]["sinks"], serde_json::json!({}));
            assert_eq!(body["checks"]["providers"]["one"]["status"], word);
            for check in ["database", "memory", "tasks"] {
                let check = &body["checks"][check];
                assert_eq!(check["status"], "ok");
                assert!(check["latency_ms"].is_number() && check["detail"].is_string());
            }
        }
        let answer = ask(&router, "GET", "/admin/v1/health", &[]).await;
        assert_eq!(answer.status, 401);
        assert!(!answer.text().contains("providers"), "{}", answer.text());
    }
}

#[tokio::test]
async fn a_history_that_takes_nothing_is_down_and_the_gateway_is_not() {
    let folder = Folder::new();
    let path = folder.path().join("history.db");
    let meter = Meter::with_pairs(100);
    let options = history::Options {
        path: path.clone(),
        retention: [Duration::from_secs(86_400); 3],
        spool_bytes_max: 1 << 20,
    };
    let history = History::open(&options, meter, UnixMillis(1_700_000_000_000));
    let history = Arc::new(history.expect("a history"));
    let provider = Provider::start().await;
    let setups = setups(&[("here", &provider.url("http"))]);
    let tasks = Box::new(Facts::default);
    let checks = Checks::new(setups, Some(history), Heartbeats::new(1), tasks, "1");
    let checks = Arc::new(checks.keeping(Duration::ZERO));
    let health = checks.look(1).await;
    assert_eq!(
        health.checks.database.check.status,
        Status::Ok,
        "{health:?}"
    );
    assert_eq!(health.checks.database.waiting_rows, Some(0));
    std::fs::rename(&path, folder.path().join("elsewhere")).expect("the same folder");
    let health = checks.look(1).await;
    assert_eq!(
        health.checks.database.check.status,
        Status::Down,
        "{health:?}"
    );
    assert_eq!(health.status, Status::Degraded);
}
