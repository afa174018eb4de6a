//! Clients over the router: orders that come of requests, and how answers look.

use super::*;
use crate::control::clients::{ClientOrder, ClientStore, Roster};
use coo_llm_config::Secret;

const CONFIG: &str = "
llm_providers:
  - { id: one, type: custom, base_url: \"http://one.test/v1\", api_keys: [k1] }
api_keys:
  - { id: filed, key: filed-key, limits: { req_per_min: 5 }, budget: { usd: 1.5, per: day } }
";

const NOW: UnixMillis = UnixMillis(1_700_000_000_500);

fn config() -> coo_llm_config::Config {
    coo_llm_config::parse(CONFIG, &|_| None).expect("a sound configuration")
}

/// A router whose orders are followed by a roster alone; nothing is kept.
fn rig(folder: &Folder) -> Router {
    let meter = Meter::new(1000);
    let store = ClientStore::open(folder.path()).expect("a store");
    let roster = Roster::new(store.kept(), &config(), NOW).expect("no clash");
    let clients = Arc::new(Clients::new(roster, Some(store)));
    let (orders, mut end) = Orders::new();
    let router = router(Control {
        config: Some(orders),
        roster: Arc::clone(&clients),
        ..control(&meter, false)
    });
    tokio::spawn(async move {
        while let Some(Ordered { order, answer }) = end.recv().await {
            assert!(!format!("{order:?}").contains("secret"), "{order:?}");
            let Order::Client(order) = order else {
                continue;
            };
            let roster = clients.current();
            let made = || Ok(Secret::new("made-secret"));
            let done = roster
                .change(&order, &config(), NOW, made)
                .map(|(change, answer)| {
                    clients.keep(&change).expect("room");
                    clients.publish(roster.with(&change, &config(), NOW));
                    assert!(!format!("{answer:?}").contains("secret"), "{answer:?}");
                    Followed::Client(answer)
                });
            let _unawaited = answer.send(done);
        }
    });
    router
}

async fn send(router: &Router, method: &str, uri: &str, body: &str) -> (u16, Value) {
    let request = http::Request::builder().method(method).uri(uri);
    let request = request.header(RIGHT.0, RIGHT.1);
    let request = request
        .body(Body::from(body.to_owned()))
        .expect("a request");
    let Ok(response) = router.clone().oneshot(request).await;
    let (head, body) = response.into_parts();
    let body = body.collect().await.expect("a body").to_bytes();
    let json = serde_json::from_slice(&body).expect("JSON");
    (head.status.as_u16(), json)
}

#[tokio::test]
async fn answers_have_the_shapes_of_the_interface() {
    let folder = Folder::new();
    let router = rig(&folder);
    let (status, list) = send(&router, "GET", "/admin/v1/clients/list", "").await;
    let filed = json!({
        "id": "filed", "api_key": "sk-****", "description": "", "allowed_providers": ["*"],
        "ingest": "own", "limits": {"req_per_min": 5, "tokens_per_min": null},
        "budget": {"usd": 1.5, "per": "day", "action": "block"}, "source": "config",
        "created_at": null, "last_used": null, "old_keys_end": [],
    });
    assert_eq!((status, list), (200, json!({"clients": [filed]})));
    let new = r#"{"client_id": "new", "allowed_providers": ["one"]}"#;
    let (status, made) = send(&router, "POST", "/api/admin/v1/clients", new).await;
    let expected = json!({"status": "created", "client_id": "new", "api_key": "made-secret"});
    assert_eq!((status, made), (201, expected));
    let (_, one) = send(&router, "GET", "/admin/v1/clients/new", "").await;
    assert_eq!(
        (&one["source"], &one["created_at"]),
        (&json!("api"), &json!(1_700_000_000))
    );
    let rotation = r#"{"overlap_seconds": 60, "api_key": "my-secret"}"#;
    let (status, rotated) = send(&router, "POST", "/admin/v1/clients/new/rotate", rotation).await;
    let expected = json!({"status": "rotated", "client_id": "new", "old_keys_end": 1_700_000_061});
    assert_eq!((status, rotated), (200, expected));
    let (_, one) = send(&router, "GET", "/admin/v1/clients/new", "").await;
    assert_eq!(one["old_keys_end"], json!([1_700_000_061]));
    let (status, deleted) = send(&router, "DELETE", "/admin/v1/clients/new", "").await;
    assert_eq!(
        (status, deleted),
        (200, json!({"status": "deleted", "client_id": "new"}))
    );
}

#[tokio::test]
async fn refusals_have_their_status_and_repeat_no_secret() {
    let folder = Folder::new();
    let router = rig(&folder);
    let clients = "/admin/v1/clients";
    for (method, path, body, status, kind, says) in [
        (
            "POST",
            clients,
            "{}",
            400,
            "invalid_request_error",
            "client_id: is missing",
        ),
        (
            "POST",
            clients,
            "",
            400,
            "invalid_request_error",
            "is not JSON",
        ),
        (
            "POST",
            clients,
            r#"{"client_id": "list"}"#,
            400,
            "invalid_request_error",
            "is a path",
        ),
        (
            "POST",
            clients,
            r#"{"client_id": "filed"}"#,
            409,
            "conflict",
            "`filed` already",
        ),
        (
            "POST",
            clients,
            r#"{"client_id": "x", "api_key": "filed-key"}"#,
            409,
            "conflict",
            "that of client `filed`",
        ),
        (
            "POST",
            clients,
            r#"{"client_id": "x", "apikey": "my-secret"}"#,
            400,
            "invalid_request_error",
            "did you mean `api_key`?",
        ),
        (
            "PUT",
            "/admin/v1/clients/nobody",
            "{}",
            404,
            "not_found",
            "`nobody`",
        ),
        (
            "GET",
            "/admin/v1/clients/nobody",
            "",
            404,
            "not_found",
            "`nobody`",
        ),
        (
            "DELETE",
            "/admin/v1/clients/nobody",
            "",
            404,
            "not_found",
            "`nobody`",
        ),
        (
            "GET",
            "/admin/v1/clients/%ff",
            "",
            400,
            "invalid_request_error",
            "UTF-8",
        ),
        (
            "POST",
            "/admin/v1/clients/filed/rotate",
            r#"{"overlap_seconds": -1}"#,
            400,
            "invalid_request_error",
            "overlap_seconds",
        ),
    ] {
        let (found, answer) = send(&router, method, path, body).await;
        let text = answer.to_string();
        assert_eq!(found, status, "{method} {path} {body}: {text}");
        assert_eq!(answer["error"]["type"], kind, "{text}");
        assert!(text.contains(says), "{says} in {text}");
        assert!(
            !text.contains("my-secret") && !text.contains("filed-key"),
            "{text}"
        );
    }
    let order = ClientOrder::Create("my-secret".to_owned());
    assert!(!format!("{order:?}").contains("secret"));
}

#[tokio::test]
async fn without_a_data_folder_nothing_can_be_changed() {
    let meter = Meter::new(1000);
    let (orders, _nobody) = Orders::new();
    let router = router(Control {
        config: Some(orders),
        ..control(&meter, false)
    });
    let (status, answer) = send(&router, "DELETE", "/admin/v1/clients/x", "").await;
    assert_eq!(
        (status, &answer["error"]["type"]),
        (503, &json!("store_error"))
    );
    // Whom a worker has not found is nobody.
    let (status, _) = send(&router, "GET", "/v1/usage", "").await;
    assert_eq!(status, 404);
}
