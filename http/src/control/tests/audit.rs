//! The audit lines, as a log would get them.

use super::*;
use std::fmt;
use std::sync::Arc;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id};
use tracing::{Event, Metadata, Subscriber};

/// Keeps the messages of the target `audit`.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<String>>>);

impl Subscriber for Lines {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target() == "audit"
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &tracing::span::Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        event.record(&mut Message(&self.0));
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

struct Message<'a>(&'a Mutex<Vec<String>>);

impl Visit for Message<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() == "message" {
            lock(self.0).push(format!("{value:?}"));
        }
    }
}

#[tokio::test]
async fn every_admin_request_leaves_two_lines_without_its_secrets() {
    let lines = Lines::default();
    // While there is one subscriber only, a test on another thread that reaches a log line
    // first turns it off for all threads; tracing asks all subscribers once there are two.
    let _second = tracing::Dispatch::new(Lines::default());
    let _log = tracing::subscriber::set_default(lines.clone());
    let router = router(control(&Meter::new(100), false));
    for (method, uri) in [
        ("GET", "/admin/v1/metrics/global?token=hush"),
        ("POST", "/admin/v1/x%0a"),
    ] {
        let mut request = http::Request::builder()
            .method(method)
            .uri(uri)
            .header(AUTHORIZATION, "Bearer wrong-secret")
            .body(Body::empty())
            .expect("a request");
        let peer = "192.168.1.100:5".parse().expect("an address");
        request.extensions_mut().insert(Peer(peer));
        let Ok(_response) = router.clone().oneshot(request).await;
    }
    ask(&router, "GET", "/health", &[]).await;
    let lines = lock(&lines.0).clone();
    let [begun, ended, begun_too, ended_too] = &*lines else {
        panic!("{lines:?}");
    };
    assert_eq!(
        begun,
        "[AUDIT] GET /admin/v1/metrics/global from 192.168.1.100"
    );
    let ms = ended
        .strip_prefix("[AUDIT] GET /admin/v1/metrics/global completed in ")
        .and_then(|rest| rest.strip_suffix("ms"));
    assert!(ms.is_some_and(|ms| ms.parse::<u64>().is_ok()), "{ended}");
    assert_eq!(begun_too, "[AUDIT] POST /admin/v1/x%0a from 192.168.1.100");
    assert!(ended_too.starts_with("[AUDIT] POST /admin/v1/x%0a completed in "));
}
