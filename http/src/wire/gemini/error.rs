//! Google's errors: `{"error":{"code","message","status"}}`.

use bytes::Bytes;

use crate::wire::openai_error::ErrorKind;

/// A refusal of the gateway in Google's shape; `openai` is its body in OpenAI's.
#[must_use]
pub fn refusal(kind: ErrorKind, openai: &[u8]) -> Bytes {
    let read = serde_json::from_slice::<serde_json::Value>(openai).unwrap_or_default();
    let message = match &read["error"]["message"] {
        serde_json::Value::String(message) => message.as_str(),
        _ => kind.message(),
    };
    let message = serde_json::Value::from(message);
    let (code, status) = (kind.status(), grpc_status(kind.status()));
    format!(r#"{{"error":{{"code":{code},"message":{message},"status":"{status}"}}}}"#).into()
}

/// The name of the gRPC code that Google gives a status.
const fn grpc_status(status: u16) -> &'static str {
    match status {
        401 => "UNAUTHENTICATED",
        403 => "PERMISSION_DENIED",
        404 => "NOT_FOUND",
        429 => "RESOURCE_EXHAUSTED",
        500 => "INTERNAL",
        502 | 503 => "UNAVAILABLE",
        504 => "DEADLINE_EXCEEDED",
        _ => "INVALID_ARGUMENT",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_keeps_its_message() {
        let body = ErrorKind::model_not_found("gemini-\"x\"");
        let body = refusal(ErrorKind::ModelNotFound, &body);
        let read: serde_json::Value = serde_json::from_slice(&body).expect("JSON");
        assert_eq!(read["error"]["code"], 404);
        assert_eq!(read["error"]["status"], "NOT_FOUND");
        let message = read["error"]["message"].as_str().expect("a text");
        assert!(message.contains("`gemini-\"x\"`"), "{message}");
    }
}
