use coo_llm_core::price::ServiceTier;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::wire::arbitrary_json;

fn read_value(value: &Value) -> UsageOutcome {
    read(value.to_string().as_bytes(), &mut Terms::default())
}

fn tokens(input: u64, output: u64) -> Tokens {
    Tokens {
        input,
        output,
        ..Tokens::default()
    }
}

#[test]
fn the_kinds_are_disjoint() {
    let usage = json!({
        "promptTokenCount": 1000, "candidatesTokenCount": 200, "thoughtsTokenCount": 300,
        "toolUsePromptTokenCount": 40, "cachedContentTokenCount": 600, "totalTokenCount": 1540,
        "promptTokensDetails": [{"modality": "TEXT", "tokenCount": 750}, {"modality": "AUDIO", "tokenCount": 250}],
        "cacheTokensDetails": [{"modality": "TEXT", "tokenCount": 500}, {"modality": "AUDIO", "tokenCount": 100}],
        "candidatesTokensDetails": [{"modality": "AUDIO", "tokenCount": 20}],
        "toolUsePromptTokensDetails": [{"modality": "TEXT", "tokenCount": 40}],
        "trafficType": "ON_DEMAND"
    });
    let expected = Tokens {
        input: 1000 - 600 - 150 + 40,
        output: 180,
        cached_input: 600,
        cache_write: 0,
        reasoning: 300,
        audio_input: 150,
        audio_output: 20,
    };
    assert_eq!(read_value(&usage), UsageOutcome::Reported(expected));
    assert_eq!(expected.total(), 1540);
}

#[test]
fn what_protobuf_leaves_out_is_found() {
    for (usage, expected) in [
        (
            json!({"promptTokenCount": 8, "totalTokenCount": 8}),
            tokens(8, 0),
        ),
        (
            json!({"promptTokenCount": 8, "totalTokenCount": 11}),
            tokens(8, 3),
        ),
        (json!({"promptTokenCount": 8}), tokens(8, 0)),
        (json!({"totalTokenCount": 8}), tokens(8, 0)),
        (
            json!({"candidatesTokenCount": 3, "totalTokenCount": 11}),
            tokens(8, 3),
        ),
        (
            json!({"promptTokenCount": 0, "candidatesTokenCount": 0}),
            tokens(0, 0),
        ),
        (
            json!({"promptTokenCount": 8, "responseTokenCount": 3}),
            tokens(8, 3),
        ),
        (
            json!({"promptTokenCount": 8, "thoughtsTokenCount": 5, "totalTokenCount": 13}),
            Tokens {
                reasoning: 5,
                ..tokens(8, 0)
            },
        ),
        (
            json!({"promptTokenCount": 8, "toolUsePromptTokenCount": 5, "candidatesTokenCount": 2}),
            tokens(13, 2),
        ),
    ] {
        assert_eq!(
            read_value(&usage),
            UsageOutcome::Reported(expected),
            "{usage}"
        );
    }
    for missing in [
        json!(null),
        json!({}),
        json!({"promptTokenCount": null}),
        json!({"trafficType": "X"}),
    ] {
        assert_eq!(read_value(&missing), UsageOutcome::Missing, "{missing}");
    }
}

#[test]
fn faults_keep_what_is_sure() {
    use UsageFault as F;
    for (usage, fault, sure, is_input_known, is_output_known) in [
        (json!(7), F::NotAnObject, tokens(0, 0), false, false),
        (
            json!({"promptTokenCount": 5, "candidatesTokenCount": 4, "cachedContentTokenCount": 6}),
            F::DetailsExceedWhole,
            tokens(5, 4),
            true,
            true,
        ),
        (
            json!({"promptTokenCount": -5, "candidatesTokenCount": 4}),
            F::Negative,
            tokens(0, 4),
            false,
            true,
        ),
        (
            json!({"promptTokenCount": 5, "candidatesTokenCount": 4,
                   "candidatesTokensDetails": [{"modality": "AUDIO", "tokenCount": 5}]}),
            F::DetailsExceedWhole,
            tokens(5, 4),
            true,
            true,
        ),
        (
            json!({"candidatesTokenCount": 4, "totalTokenCount": 3}),
            F::DetailsExceedWhole,
            tokens(0, 4),
            false,
            true,
        ),
    ] {
        let expected = UsageOutcome::Malformed {
            sure,
            is_input_known,
            is_output_known,
            fault,
        };
        assert_eq!(read_value(&usage), expected, "{usage}");
    }
    for broken in [&b"{"[..], br#"{"promptTokensDetails": 3}"#] {
        assert_eq!(
            read(broken, &mut Terms::default()),
            UsageOutcome::unreadable(F::Syntax)
        );
    }
}

proptest! {
    #[test]
    fn the_kinds_add_up_to_the_total(
        prompt in 0..1_000_000_u64, candidates in 0..1_000_000_u64, cached in 0..400_000_u64,
        thoughts in 0..1_000_000_u64, tool_use in 0..1_000_000_u64, heard in 0..400_000_u64,
        spoken in 0..400_000_u64,
    ) {
        let usage = json!({
            "promptTokenCount": prompt, "candidatesTokenCount": candidates,
            "cachedContentTokenCount": cached, "thoughtsTokenCount": thoughts,
            "toolUsePromptTokenCount": tool_use,
            "promptTokensDetails": [{"modality": "AUDIO", "tokenCount": heard}],
            "candidatesTokensDetails": [{"modality": "AUDIO", "tokenCount": spoken}],
        });
        let outcome = read_value(&usage);
        let tokens = outcome.tokens().expect("there are counts");
        prop_assert_eq!(tokens.total(), prompt + candidates + thoughts + tool_use);
        let fits = cached + heard <= prompt && spoken <= candidates;
        prop_assert_eq!(fits, matches!(outcome, UsageOutcome::Reported(_)));
    }

    #[test]
    fn any_json_is_read_without_a_panic(value in arbitrary_json::value()) {
        let usage = json!({"promptTokenCount": value, "candidatesTokenCount": 1, "cachedContentTokenCount": value});
        let _outcome = read_value(&usage);
    }
}

#[test]
fn the_tier_has_two_names() {
    for (usage, tier) in [
        (json!({"promptTokenCount": 1}), ToldTier::Untold),
        (
            json!({"serviceTier": "flex"}),
            ToldTier::Told(ServiceTier::Flex),
        ),
        (
            json!({"serviceTier": "unspecified", "trafficType": "ON_DEMAND_PRIORITY"}),
            ToldTier::Told(ServiceTier::Priority),
        ),
        (
            json!({"trafficType": "PROVISIONED_THROUGHPUT"}),
            ToldTier::Unknown,
        ),
        (json!({"trafficType": 3}), ToldTier::Unknown),
    ] {
        let mut terms = Terms::default();
        let _outcome = read(usage.to_string().as_bytes(), &mut terms);
        assert_eq!(terms.tier, tier, "{usage}");
    }
}
