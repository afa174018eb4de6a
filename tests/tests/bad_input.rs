//! Bad requests and bad upstreams: the right status and shape, a metric, a log line,
//! nothing secret anywhere, and the worker serves on.
//!
//! Needs the built gateway.

use coo_llm_tests::client::Reply;
use coo_llm_tests::gateway::{ADMIN_KEY, ClientKey, Gateway, Pricing, Provider, free_port};
use coo_llm_tests::patience::poll;
use coo_llm_tests::rig::{self, CHAT, CLIENT_KEY, MODEL, PROVIDER, PROVIDER_KEY, Rig};
use coo_llm_tests::upstream::{End, Fault, Script};
use serde_json::{Value, json};

/// A client that may use a provider which there is, but not [`PROVIDER`].
const OTHER_KEY: &str = "sk-client-b-without-rights-0123456789";

const FREE: Pricing = Pricing {
    input: "0",
    output: "0",
    cached_input: None,
};

/// Short waits, a small body limit, and a provider that is down.
fn rig() -> Rig {
    Rig::start_with(|config| {
        config.server = vec!["limits: { max_body_bytes: 65536 }".to_owned()];
        let timeouts = "timeouts: { connect: 2s, first_byte: 1s, idle: 1s, total: 30s }";
        config.providers[0].more.push(timeouts.to_owned());
        let down = format!("http://127.0.0.1:{}/v1", free_port());
        let down = Provider::new("down", &down, "sk-down-key-0123456789", "m-down", FREE);
        config.providers.push(down);
        config
            .clients
            .push(ClientKey::limited_to("client-b", OTHER_KEY, &["down"]));
    })
}

/// OpenAI's error shape, with a message that names no secret.
fn assert_shape(reply: &Reply) -> Value {
    let kind = reply.header("content-type").unwrap_or("");
    assert!(kind.starts_with("application/json"), "{kind}");
    let body = reply.json();
    let error = body["error"].as_object().expect("an error object");
    for field in ["message", "type", "param", "code"] {
        assert!(error.contains_key(field), "no {field}: {body}");
    }
    assert!(!error["message"].as_str().expect("a message").is_empty());
    assert!(error["type"].is_string(), "{body}");
    assert!(reply.header("x-request-id").is_some());
    body
}

/// After the failure: counted once under its type, logged, nothing leaked, and the worker serves.
fn assert_harmless(rig: &Rig, reply: Option<&Reply>, error: &str, provider: &str) {
    let page = rig.gateway.metrics_after(1);
    let labels = [("type", error), ("provider", provider)];
    let errors: Vec<String> = page
        .matching("coo_llm_errors_total", &[])
        .filter(|sample| sample.value.as_f64() != 0.0)
        .map(|sample| format!("{:?} {}", sample.labels, sample.value.as_str()))
        .collect();
    assert_eq!(
        page.count("coo_llm_errors_total", &labels),
        1,
        "{error}/{provider}: {errors:?}"
    );
    assert_eq!(page.count("coo_llm_errors_total", &[]), 1, "{errors:?}");
    assert_eq!(
        page.count("coo_llm_requests_total", &[("provider", provider)]),
        1
    );
    assert_eq!(page.count("coo_llm_active_requests", &[]), 0);

    let id = reply.and_then(|reply| reply.header("x-request-id"));
    let of_request = |line: &str| match id {
        Some(id) => line.contains(id),
        None => line.contains("request_id") && line.contains(provider),
    };
    // The line is written by another thread than the one that answers.
    let log = poll(&format!("a log line of the request {id:?}"), || {
        let log = rig.gateway.log();
        log.lines().any(of_request).then_some(log)
    });

    let text = rig.gateway.metrics_text();
    let body = reply.map(|reply| {
        format!(
            "{:?} {}",
            reply.headers,
            String::from_utf8_lossy(&reply.body)
        )
    });
    for secret in [
        CLIENT_KEY,
        OTHER_KEY,
        PROVIDER_KEY,
        ADMIN_KEY,
        "sk-down-key",
    ] {
        for (place, text) in [
            ("metrics", Some(&text)),
            ("log", Some(&log)),
            ("body", body.as_ref()),
        ] {
            assert!(
                !text.is_some_and(|t| t.contains(secret)),
                "{secret} in the {place}"
            );
        }
    }

    let good = rig.chat(&rig::chat(&Script::default()));
    assert_eq!(good.status, 200, "the worker serves on: {}", good.text());
}

/// A request that is refused before a provider is chosen.
fn refused(key: Option<&str>, body: &[u8], status: u16, error: &str) -> Value {
    let rig = rig();
    let bearer = format!("Bearer {}", key.unwrap_or(""));
    let mut headers = vec![("content-type", "application/json")];
    if key.is_some() {
        headers.push(("authorization", bearer.as_str()));
    }
    let reply = rig.gateway.client().request("POST", CHAT, &headers, body);
    let reply = reply.expect("a whole response");
    assert_eq!(reply.status, status, "{}", reply.text());
    let shape = assert_shape(&reply);
    assert_eq!(rig.upstream.ledger().connections, 0, "it went upstream");
    assert_harmless(&rig, Some(&reply), error, "none");
    shape
}

/// A request that the upstream spoils.
fn spoiled(body: &Value, status: u16, error: &str) -> Rig {
    let rig = rig();
    let reply = rig.chat(body);
    assert_eq!(reply.status, status, "{}", reply.text());
    assert_shape(&reply);
    assert_harmless(&rig, Some(&reply), error, PROVIDER);
    rig
}

fn fault(fault: Fault) -> Script {
    Script {
        fault: Some(fault),
        ..Script::default()
    }
}

#[test]
fn malformed_json() {
    for body in [
        &b"{\"model\": \"m-chat\", oops"[..],
        b"",
        b"[]",
        b"\xff\xfe",
        b"{\"model\":7}",
    ] {
        let shape = refused(Some(CLIENT_KEY), body, 400, "invalid_request");
        assert_eq!(shape["error"]["type"], "invalid_request_error");
    }
}

#[test]
fn a_body_without_a_model() {
    refused(
        Some(CLIENT_KEY),
        b"{\"messages\":[]}",
        400,
        "invalid_request",
    );
}

#[test]
fn a_body_over_the_limit() {
    let body = json!({"model": MODEL, "messages": [], "x": "x".repeat(65_536)}).to_string();
    refused(Some(CLIENT_KEY), body.as_bytes(), 413, "invalid_request");
}

#[test]
fn a_chunked_body_over_the_limit() {
    let rig = rig();
    let mut client = rig.gateway.client();
    let head = format!(
        "POST {CHAT} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {CLIENT_KEY}\r\n\
         content-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n"
    );
    client.send_raw(head.as_bytes()).expect("the gateway reads");
    let chunk = format!("4000\r\n{}\r\n", "x".repeat(0x4000));
    // The gateway may close as soon as it knows; what it said before that is what counts.
    for _ in 0..6 {
        if client.send_raw(chunk.as_bytes()).is_err() {
            break;
        }
    }
    let reply = client.read().expect("an answer before the close");
    assert_eq!(reply.status, 413, "{}", reply.text());
    assert_shape(&reply);
    assert_harmless(&rig, Some(&reply), "invalid_request", "none");
}

#[test]
fn an_unknown_model() {
    let body = json!({"model": "no-such-model", "messages": []}).to_string();
    let shape = refused(Some(CLIENT_KEY), body.as_bytes(), 404, "invalid_request");
    assert_eq!(shape["error"]["code"], "model_not_found");
}

#[test]
fn no_key() {
    let body = rig::chat(&Script::default()).to_string();
    refused(None, body.as_bytes(), 401, "auth");
}

#[test]
fn a_wrong_key() {
    let body = rig::chat(&Script::default()).to_string();
    let shape = refused(
        Some("sk-wrong-key-0123456789"),
        body.as_bytes(),
        401,
        "auth",
    );
    assert_eq!(shape["error"]["code"], "invalid_api_key");
    assert!(!shape.to_string().contains("sk-wrong-key"), "{shape}");
}

#[test]
fn a_key_without_the_right() {
    let body = rig::chat(&Script::default()).to_string();
    refused(Some(OTHER_KEY), body.as_bytes(), 403, "auth");
}

#[test]
fn an_unknown_path_is_404() {
    let rig = rig();
    let reply = rig.gateway.client().post("/v1/nothing", CLIENT_KEY, b"{}");
    assert_eq!(reply.status, 404, "{}", reply.text());
}

#[test]
fn an_upstream_that_is_down() {
    let rig = rig();
    let reply = rig.chat(&json!({"model": "m-down", "messages": []}));
    assert_eq!(reply.status, 502, "{}", reply.text());
    assert_shape(&reply);
    assert_harmless(&rig, Some(&reply), "connect", "down");
}

#[test]
fn an_upstream_that_hangs_before_the_headers() {
    for body in [rig::chat, rig::stream] {
        let rig = spoiled(&body(&fault(Fault::HangBeforeHeaders)), 504, "timeout");
        rig.upstream.wait("the gateway to let go", |l| {
            l.served[0].end == End::CutByPeer
        });
    }
}

#[test]
fn an_upstream_that_closes_before_the_headers() {
    spoiled(
        &rig::chat(&fault(Fault::CloseBeforeHeaders)),
        502,
        "upstream_protocol",
    );
}

#[test]
fn an_upstream_that_does_not_speak_http() {
    spoiled(
        &rig::chat(&fault(Fault::GarbageHttp)),
        502,
        "upstream_protocol",
    );
}

/// A body that breaks off: the client sees a broken body, or 502 where nothing was passed on yet.
fn broken_body(body: &Value, error: &str) {
    let rig = rig();
    let mut client = rig.send_chat(body);
    let reply = client.read();
    match &reply {
        Ok(reply) if reply.status == 200 => {
            let text = reply.text();
            assert!(
                text.contains("\"error\""),
                "a broken body looks whole: {text}"
            );
        }
        Ok(reply) => {
            assert!(matches!(reply.status, 502 | 504), "{}", reply.text());
            assert_shape(reply);
        }
        Err(_) => {}
    }
    let reply = reply
        .ok()
        .filter(|reply| reply.header("x-request-id").is_some());
    assert_harmless(&rig, reply.as_ref(), error, PROVIDER);
}

#[test]
fn an_upstream_that_closes_mid_body() {
    broken_body(&rig::chat(&fault(Fault::CloseMidBody)), "upstream_protocol");
    broken_body(
        &rig::stream(&fault(Fault::CloseMidBody)),
        "upstream_protocol",
    );
}

#[test]
fn an_upstream_that_hangs_mid_body() {
    broken_body(&rig::chat(&fault(Fault::HangMidBody)), "timeout");
    broken_body(&rig::stream(&fault(Fault::HangMidBody)), "timeout");
}

/// 200 and what is not JSON: passed on as it is or refused, an error of the upstream either way.
fn not_json(body: &Value) {
    let rig = rig();
    let reply = rig.chat(body);
    assert!(matches!(reply.status, 200 | 502), "{}", reply.text());
    if reply.status == 200 {
        let sent = rig.upstream.ledger().last().sent.clone();
        assert_eq!(reply.text(), String::from_utf8(sent).expect("UTF-8"));
    }
    assert_harmless(&rig, Some(&reply), "upstream_protocol", PROVIDER);
}

#[test]
fn an_upstream_that_says_200_with_a_body_that_is_not_json() {
    not_json(&rig::chat(&fault(Fault::GarbageJson)));
}

#[test]
fn an_upstream_that_streams_an_event_that_is_not_json_and_no_done() {
    let mut body = rig::stream(&fault(Fault::GarbageJson));
    // So that the gateway has nothing to take out.
    body["stream_options"] = json!({"include_usage": true});
    not_json(&body);
}

#[test]
fn bytes_that_are_no_http() {
    let rig = rig();
    for bytes in [
        &b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"[..],
        b"GET / HTTP/9.9\r\n\r\n",
        b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\nhello",
        b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: -1\r\n\r\n",
        b"\r\n\r\n\r\n\x00",
    ] {
        let mut client = rig.gateway.client();
        client.send_raw(bytes).expect("the gateway reads");
        // 400 and a close, or a close alone.
        if let Ok(reply) = client.read() {
            assert_eq!(reply.status, 400, "{bytes:?}");
        }
    }
    assert_eq!(rig.chat(&rig::chat(&Script::default())).status, 200);
    assert!(rig.upstream.ledger().served.len() == 1);
}

#[test]
fn a_wrong_admin_key_opens_nothing() {
    let rig = rig();
    for key in ["", "wrong", CLIENT_KEY, PROVIDER_KEY] {
        let bearer = format!("Bearer {key}");
        let headers = [("authorization", bearer.as_str())];
        let reply = rig
            .gateway
            .client()
            .request("GET", "/admin/v1/metrics/global", &headers, b"");
        assert_eq!(reply.expect("a whole response").status, 401, "{key:?}");
    }
    let reply = rig.gateway.client().get("/admin/v1/metrics/global");
    assert_eq!(reply.status, 401);
    assert_eq!(
        rig.gateway.admin_get("/admin/v1/metrics/global").status,
        200
    );
}

#[test]
fn a_client_that_hangs_up_in_the_middle_of_its_request_is_harmless() {
    let gateway: &Gateway = &rig().gateway;
    for cut in [3, 40, 120, 190] {
        let request = format!(
            "POST {CHAT} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {CLIENT_KEY}\r\n\
             content-type: application/json\r\ncontent-length: 100\r\n\r\n{{\"model\":\"m-chat\""
        );
        let mut client = gateway.client();
        let sent = client.send_raw(&request.as_bytes()[..cut.min(request.len())]);
        sent.expect("the gateway reads");
        client.hang_up();
    }
    assert_eq!(
        gateway.client().get("/health").text(),
        "{\"status\":\"ok\"}"
    );
}
