use proptest::prelude::*;
use serde_json::Value;

use super::*;
use crate::wire::envelope::Envelope;

fn read(body: &[u8]) -> Value {
    serde_json::from_slice(body).expect("an error body is JSON")
}

#[test]
fn every_kind_has_the_four_members() {
    for kind in ErrorKind::ALL {
        let body = read(&kind.body());
        let error = body["error"].as_object().expect("an object");
        assert_eq!(error.len(), 4, "{kind:?}");
        assert_eq!(error["message"], kind.message());
        assert_eq!(error["type"], kind.error_type());
        assert_eq!(error["param"], Value::Null);
        assert_eq!(error["code"].as_str(), kind.code());
        assert!((400..600).contains(&kind.status()));
    }
}

#[test]
fn the_body_is_what_openai_sends() {
    assert_eq!(
        ErrorKind::model_not_found("gpt-9"),
        r#"{"error":{"message":"The model `gpt-9` does not exist or you do not have access to it.","type":"invalid_request_error","param":null,"code":"model_not_found"}}"#
    );
}

#[test]
fn a_faulty_envelope_names_its_place_or_parameter() {
    let fault = |body: &[u8]| {
        read(&ErrorKind::invalid_envelope(
            &Envelope::parse(body).expect_err("a fault"),
        ))
    };
    let error = fault(b"{\"model\":\n tru}");
    let message = error["error"]["message"].as_str().expect("a message");
    assert!(message.contains("line 2 column 5"), "{message}");
    assert_eq!(
        fault(br#"{"stream":1,"model":"m"}"#)["error"]["param"],
        "stream"
    );
}

#[test]
fn keys_are_masked_and_controls_escaped() {
    for (message, shown) in [
        (
            "model sk-proj-AbC123 is unknown",
            "model sk-**** is unknown",
        ),
        ("`sk-AbC_1.2`", "`sk-****`"),
        ("Bearer abc.def-1, then", "Bearer ****, then"),
        ("a:x-sk-1", "a:x-sk-****"),
        ("task-7 at desk-9", "task-7 at desk-9"),
        (
            "two  spaces\n\u{7f}\u{85}\u{2028}é😀\"\\",
            "two  spaces\n\u{7f}\u{85}\u{2028}é😀\"\\",
        ),
    ] {
        let body = ErrorKind::InvalidRequest.body_with(message, None);
        assert_eq!(read(&body)["error"]["message"], shown);
        let text = std::str::from_utf8(&body).expect("UTF-8");
        assert!(
            !text.contains(|c: char| c.is_control() || c == '\u{2028}'),
            "{text}"
        );
    }
}

proptest! {
    #[test]
    fn any_message_is_valid_json_and_bounded(message in ".{0,900}", param in proptest::option::of(".{0,9}")) {
        let body = ErrorKind::Internal.body_with(&message, param.as_deref());
        let error = read(&body);
        let shown = error["error"]["message"].as_str().expect("a message");
        prop_assert!(shown.len() <= MESSAGE_BYTES_MAX + 4 || shown.contains("****"));
        prop_assert_eq!(error["error"]["param"].as_str(), param.as_deref());
        if !message.contains("sk-") && !message.to_lowercase().contains("bearer") {
            prop_assert_eq!(shown, cut(&message));
        }
    }
}
