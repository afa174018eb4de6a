use serde_json::{Value, json};

use super::*;

fn translated(status: u16, body: &str) -> (u16, Value) {
    let (status, body) = to_openai(status, body.as_bytes());
    (status, serde_json::from_slice(&body).expect("JSON"))
}

#[test]
fn each_of_anthropics_errors_has_one_of_openais() {
    for (status, kind, expected_status, expected_type, code) in [
        (
            400,
            "invalid_request_error",
            400,
            "invalid_request_error",
            Value::Null,
        ),
        (
            401,
            "authentication_error",
            401,
            "invalid_request_error",
            json!("invalid_api_key"),
        ),
        (
            402,
            "billing_error",
            402,
            "insufficient_quota",
            json!("insufficient_quota"),
        ),
        (
            403,
            "permission_error",
            403,
            "invalid_request_error",
            json!("permission_denied"),
        ),
        (
            404,
            "not_found_error",
            404,
            "invalid_request_error",
            json!("model_not_found"),
        ),
        (
            413,
            "request_too_large",
            413,
            "invalid_request_error",
            json!("request_too_large"),
        ),
        (
            429,
            "rate_limit_error",
            429,
            "requests",
            json!("rate_limit_exceeded"),
        ),
        (500, "api_error", 500, "server_error", Value::Null),
        (
            504,
            "timeout_error",
            504,
            "server_error",
            json!("upstream_timeout"),
        ),
        (
            529,
            "overloaded_error",
            503,
            "server_error",
            json!("overloaded"),
        ),
        (418, "new_error", 418, "invalid_request_error", Value::Null),
    ] {
        let body = json!({"type": "error", "error": {"type": kind, "message": "a \"b\"\n"}, "request_id": "req_1"});
        let (got, body) = translated(status, &body.to_string());
        assert_eq!(got, expected_status, "{kind}");
        let expected = json!({"error": {"message": "a \"b\"\n", "type": expected_type, "param": null, "code": code}});
        assert_eq!(body, expected, "{kind}");
    }
}

#[test]
fn what_is_no_error_of_theirs_names_the_status() {
    for body in [
        "",
        "<html>",
        "[]",
        "{}",
        r#"{"error":"x"}"#,
        r#"{"error":{"type":7,"message":{}}}"#,
    ] {
        let (status, read) = translated(502, body);
        assert_eq!(status, 502);
        assert_eq!(
            read["error"]["message"], "The provider answered with status 502.",
            "{body}"
        );
        assert_eq!(read["error"]["type"], "server_error");
    }
}

#[test]
fn every_refusal_has_anthropics_shape() {
    const THEIRS: &[&str] = &[
        "invalid_request_error",
        "authentication_error",
        "permission_error",
        "not_found_error",
        "request_too_large",
        "rate_limit_error",
        "api_error",
        "overloaded_error",
        "timeout_error",
    ];
    for kind in ErrorKind::ALL {
        let body = refusal(kind, &kind.body_with("no \"model\"", Some("model")));
        let read: Value = serde_json::from_slice(&body).expect("JSON");
        assert_eq!(read["type"], "error");
        assert_eq!(read["error"]["message"], "no \"model\"");
        let error_type = read["error"]["type"].as_str().expect("a type");
        assert!(THEIRS.contains(&error_type), "{kind:?}: {error_type}");
    }
}
