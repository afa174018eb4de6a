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
        "input_tokens": 21, "output_tokens": 393,
        "cache_creation_input_tokens": 188, "cache_read_input_tokens": 1800,
        "cache_creation": {"ephemeral_5m_input_tokens": 100, "ephemeral_1h_input_tokens": 88},
        "output_tokens_details": {"thinking_tokens": 300},
        "server_tool_use": {"web_search_requests": 1}, "service_tier": "standard"
    });
    let expected = Tokens {
        cached_input: 1800,
        cache_write: 188,
        reasoning: 300,
        ..tokens(21, 93)
    };
    assert_eq!(read_value(&usage), UsageOutcome::Reported(expected));
}

#[test]
fn a_zero_is_a_count_and_a_null_is_none() {
    let zero = json!({"input_tokens": 0, "output_tokens": 0});
    assert_eq!(read_value(&zero), UsageOutcome::Reported(tokens(0, 0)));
    let cached = json!({"input_tokens": 0, "cache_read_input_tokens": 9, "output_tokens": 2,
                        "cache_creation_input_tokens": null, "cache_creation": null});
    let expected = Tokens {
        cached_input: 9,
        ..tokens(0, 2)
    };
    assert_eq!(read_value(&cached), UsageOutcome::Reported(expected));
    for missing in [
        json!(null),
        json!({}),
        json!({"input_tokens": null}),
        json!({"speed": "fast"}),
    ] {
        assert_eq!(read_value(&missing), UsageOutcome::Missing, "{missing}");
    }
}

#[test]
fn the_sum_by_time_to_live_stands_in() {
    for (by_ttl, expected) in [
        (
            json!({"ephemeral_5m_input_tokens": 3, "ephemeral_1h_input_tokens": 4}),
            7,
        ),
        (json!({"ephemeral_1h_input_tokens": 4}), 4),
        (json!({}), 0),
    ] {
        let usage = json!({"input_tokens": 1, "output_tokens": 1, "cache_creation": by_ttl});
        let expected = Tokens {
            cache_write: expected,
            ..tokens(1, 1)
        };
        assert_eq!(read_value(&usage), UsageOutcome::Reported(expected));
    }
}

#[test]
fn a_later_usage_replaces_and_never_adds() {
    let mut usage = MessageUsage::default();
    assert_eq!(usage.outcome(false), UsageOutcome::Missing);
    usage.absorb(br#"{"input_tokens":25,"output_tokens":1,"cache_read_input_tokens":7}"#);
    let begun = UsageOutcome::Malformed {
        sure: Tokens {
            cached_input: 7,
            ..tokens(25, 0)
        },
        is_input_known: true,
        is_output_known: false,
        fault: UsageFault::OutputUnfinished,
    };
    assert_eq!(usage.outcome(false), begun);
    for (delta, expected) in [
        (&br#"{"output_tokens":15}"#[..], (25, 7, 15)),
        (br#"{"output_tokens":40,"input_tokens":null}"#, (25, 7, 40)),
        (
            br#"{"output_tokens":41,"input_tokens":30,"cache_read_input_tokens":0}"#,
            (30, 0, 41),
        ),
        (b"{}", (30, 0, 41)),
    ] {
        usage.absorb(delta);
        let UsageOutcome::Reported(tokens) = usage.outcome(true) else {
            unreachable!("a sound usage");
        };
        assert_eq!((tokens.input, tokens.cached_input, tokens.output), expected);
    }
}

#[test]
fn faults_keep_what_is_sure() {
    use UsageFault as F;
    for (usage, fault, sure, is_input_known, is_output_known) in [
        (json!([1]), F::NotAnObject, tokens(0, 0), false, false),
        (
            json!({"output_tokens": 4}),
            F::InputMissing,
            tokens(0, 4),
            false,
            true,
        ),
        (
            json!({"input_tokens": -1, "output_tokens": 4}),
            F::Negative,
            tokens(0, 4),
            false,
            true,
        ),
        (
            json!({"input_tokens": 5, "output_tokens": "4"}),
            F::NotANumber,
            tokens(5, 0),
            true,
            false,
        ),
        (
            json!({"input_tokens": 5, "output_tokens": 4, "output_tokens_details": {"thinking_tokens": 5}}),
            F::DetailsExceedWhole,
            tokens(5, 4),
            true,
            true,
        ),
        (
            json!({"input_tokens": 5, "output_tokens": 4, "cache_read_input_tokens": 1.5}),
            F::Fractional,
            tokens(5, 4),
            true,
            true,
        ),
        (
            json!({"input_tokens": 5, "output_tokens": 4, "cache_creation": 3}),
            F::NotAnObject,
            tokens(5, 4),
            true,
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
    assert_eq!(
        read(b"{", &mut Terms::default()),
        UsageOutcome::unreadable(F::Syntax)
    );
}

proptest! {
    #[test]
    fn the_kinds_add_up_to_what_is_billed(
        input in 0..1_000_000_u64, output in 0..1_000_000_u64, cached in 0..1_000_000_u64,
        short in 0..1_000_000_u64, long in 0..1_000_000_u64, thinking in 0..1_000_000_u64,
    ) {
        let usage = json!({
            "input_tokens": input, "output_tokens": output, "cache_read_input_tokens": cached,
            "cache_creation_input_tokens": short + long,
            "cache_creation": {"ephemeral_5m_input_tokens": short, "ephemeral_1h_input_tokens": long},
            "output_tokens_details": {"thinking_tokens": thinking},
        });
        let outcome = read_value(&usage);
        let tokens = outcome.tokens().expect("there are counts");
        prop_assert_eq!(tokens.total(), input + output + cached + short + long);
        prop_assert_eq!(thinking <= output, matches!(outcome, UsageOutcome::Reported(_)));
    }

    #[test]
    fn any_json_is_read_without_a_panic(value in arbitrary_json::value()) {
        let usage = json!({"input_tokens": value, "output_tokens": 1, "cache_creation": value});
        if let UsageOutcome::Reported(tokens) = read_value(&usage) {
            prop_assert!(value.is_number());
            prop_assert_eq!(Some(tokens.input as f64), value.as_f64());
        }
    }
}

#[test]
fn what_is_billed_apart_is_kept_from_event_to_event() {
    let first = json!({"input_tokens": 5, "cache_creation_input_tokens": 9, "output_tokens": 1,
        "cache_creation": {"ephemeral_5m_input_tokens": 2, "ephemeral_1h_input_tokens": 7},
        "service_tier": "priority"});
    let mut usage = MessageUsage::default();
    usage.absorb(first.to_string().as_bytes());
    let terms = Terms {
        cache_write_1h: 7,
        tier: ToldTier::Told(ServiceTier::Priority),
    };
    assert_eq!(usage.terms(), terms);
    usage.absorb(br#"{"output_tokens": 12, "service_tier": null}"#);
    assert_eq!(usage.terms(), terms);
    let expected = Tokens {
        cache_write: 9,
        ..tokens(5, 12)
    };
    assert_eq!(usage.outcome(true), UsageOutcome::Reported(expected));
    let mut read_at_once = Terms::default();
    let _outcome = read(first.to_string().as_bytes(), &mut read_at_once);
    assert_eq!(read_at_once, terms);
}

#[test]
fn more_for_an_hour_than_was_written_is_a_fault() {
    let usage = json!({"input_tokens": 5, "cache_creation_input_tokens": 9, "output_tokens": 1,
        "cache_creation": {"ephemeral_1h_input_tokens": 10}});
    let UsageOutcome::Malformed { fault, sure, .. } = read_value(&usage) else {
        unreachable!("10 of 9 tokens");
    };
    assert_eq!(fault, UsageFault::DetailsExceedWhole);
    assert_eq!(sure.cache_write, 9);
}
