use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

fn read(value: &Value) -> UsageOutcome {
    UsageOutcome::read(value.to_string().as_bytes())
}

fn tokens(input: u64, output: u64) -> Tokens {
    Tokens {
        input,
        output,
        ..Tokens::default()
    }
}

#[test]
fn details_are_taken_out_of_their_whole() {
    let usage = json!({
        "prompt_tokens": 100, "completion_tokens": 50, "total_tokens": 150,
        "prompt_tokens_details": {"cached_tokens": 60, "audio_tokens": 10},
        "completion_tokens_details": {
            "reasoning_tokens": 20, "audio_tokens": 5,
            "accepted_prediction_tokens": 3, "rejected_prediction_tokens": 0
        }
    });
    let expected = Tokens {
        input: 30,
        output: 25,
        cached_input: 60,
        cache_write: 0,
        reasoning: 20,
        audio_input: 10,
        audio_output: 5,
    };
    assert_eq!(read(&usage), UsageOutcome::Reported(expected));

    let responses = json!({
        "input_tokens": 100, "output_tokens": 50, "total_tokens": 150,
        "input_tokens_details": {"cached_tokens": 60, "audio_tokens": 10},
        "output_tokens_details": {"reasoning_tokens": 20, "audio_tokens": 5}
    });
    assert_eq!(read(&responses), UsageOutcome::Reported(expected));
}

#[test]
fn dialects_are_read() {
    for (usage, expected) in [
        (json!({"prompt_tokens": 8, "total_tokens": 8}), tokens(8, 0)),
        (json!({"total_tokens": 8}), tokens(8, 0)),
        (
            json!({"prompt_tokens": 8, "total_tokens": 11}),
            tokens(8, 3),
        ),
        (
            json!({"completion_tokens": 3, "total_tokens": 11}),
            tokens(8, 3),
        ),
        (
            json!({"prompt_tokens": 0, "completion_tokens": 0}),
            tokens(0, 0),
        ),
        (
            json!({"prompt_tokens": 7.0, "completion_tokens": null}),
            tokens(7, 0),
        ),
        (
            json!({"prompt_tokens": 7, "completion_tokens": 1, "prompt_tokens_details": null}),
            tokens(7, 1),
        ),
        (
            json!({"prompt_tokens": 9, "completion_tokens": 1, "prompt_cache_hit_tokens": 4,
                   "prompt_cache_miss_tokens": 5}),
            Tokens {
                cached_input: 4,
                ..tokens(5, 1)
            },
        ),
        (
            json!({"prompt_tokens": 9, "completion_tokens": 1, "cached_tokens": 4}),
            Tokens {
                cached_input: 4,
                ..tokens(5, 1)
            },
        ),
        (
            json!({"prompt_tokens": 9, "completion_tokens": 1,
                   "prompt_tokens_details": {"cached_tokens": 2, "cache_write_tokens": 3}}),
            Tokens {
                cached_input: 2,
                cache_write: 3,
                ..tokens(4, 1)
            },
        ),
        // xAI: reasoning beside the completion, and inside the total. Figures of its API.
        (
            json!({"prompt_tokens": 10120, "completion_tokens": 1499, "total_tokens": 14428,
                   "prompt_tokens_details": {"cached_tokens": 128},
                   "completion_tokens_details": {"reasoning_tokens": 2809}}),
            Tokens {
                cached_input: 128,
                reasoning: 2809,
                ..tokens(9992, 1499)
            },
        ),
        (
            json!({"prompt_tokens": u64::MAX, "completion_tokens": u64::MAX}),
            tokens(u64::MAX, u64::MAX),
        ),
    ] {
        assert_eq!(read(&usage), UsageOutcome::Reported(expected), "{usage}");
    }
}

#[test]
fn missing_is_not_zero() {
    for usage in [
        json!(null),
        json!({}),
        json!({"prompt_tokens": null, "total_tokens": null}),
        json!({"cost": 3}),
    ] {
        assert_eq!(read(&usage), UsageOutcome::Missing, "{usage}");
        assert_eq!(read(&usage).tokens(), None);
    }
}

#[test]
fn faults_keep_what_is_sure() {
    use UsageFault as F;
    for (usage, fault, sure, is_input_known, is_output_known) in [
        (json!([1, 2, 3]), F::NotAnObject, tokens(0, 0), false, false),
        (json!("7"), F::NotAnObject, tokens(0, 0), false, false),
        (
            json!({"prompt_tokens": 5, "completion_tokens": -1}),
            F::Negative,
            tokens(5, 0),
            true,
            false,
        ),
        (
            json!({"prompt_tokens": 1.5, "completion_tokens": 4}),
            F::Fractional,
            tokens(0, 4),
            false,
            true,
        ),
        (
            json!({"prompt_tokens": "5", "completion_tokens": 4}),
            F::NotANumber,
            tokens(0, 4),
            false,
            true,
        ),
        (
            json!({"prompt_tokens": [5], "completion_tokens": {"n": 4}}),
            F::NotANumber,
            tokens(0, 0),
            false,
            false,
        ),
        (
            json!({"prompt_tokens": 1e30, "completion_tokens": 4}),
            F::TooLarge,
            tokens(0, 4),
            false,
            true,
        ),
        (
            json!({"prompt_tokens": 5, "completion_tokens": 4,
                   "prompt_tokens_details": {"cached_tokens": 6},
                   "completion_tokens_details": {"reasoning_tokens": 4}}),
            F::DetailsExceedWhole,
            Tokens {
                reasoning: 4,
                ..tokens(5, 0)
            },
            true,
            true,
        ),
        (
            json!({"prompt_tokens": 5, "completion_tokens": 4,
                   "prompt_tokens_details": {"cached_tokens": -6, "audio_tokens": 2}}),
            F::Negative,
            Tokens {
                audio_input: 2,
                ..tokens(3, 4)
            },
            true,
            true,
        ),
        (
            json!({"prompt_tokens": 5, "completion_tokens": 4, "prompt_tokens_details": [1]}),
            F::NotAnObject,
            tokens(5, 4),
            true,
            true,
        ),
        (
            json!({"completion_tokens": 4}),
            F::InputMissing,
            tokens(0, 4),
            false,
            true,
        ),
        (
            json!({"prompt_tokens": 5, "total_tokens": 4}),
            F::DetailsExceedWhole,
            tokens(5, 0),
            true,
            false,
        ),
    ] {
        let expected = UsageOutcome::Malformed {
            sure,
            is_input_known,
            is_output_known,
            fault,
        };
        assert_eq!(read(&usage), expected, "{usage}");
    }
    for broken in [&b"{"[..], b"", b"{\"prompt_tokens\":1,\"prompt_tokens\":2}"] {
        assert_eq!(
            UsageOutcome::read(broken),
            UsageOutcome::unreadable(F::Syntax)
        );
    }
}

proptest! {
    #[test]
    fn the_sum_of_the_kinds_is_the_reported_total(
        input in 0..1_000_000_u64, output in 0..1_000_000_u64,
        cached in 0..400_000_u64, audio_in in 0..400_000_u64,
        reasoning in 0..400_000_u64, audio_out in 0..400_000_u64,
    ) {
        let usage = json!({
            "prompt_tokens": input, "completion_tokens": output, "total_tokens": input + output,
            "prompt_tokens_details": {"cached_tokens": cached, "audio_tokens": audio_in},
            "completion_tokens_details": {"reasoning_tokens": reasoning, "audio_tokens": audio_out},
        });
        let outcome = read(&usage);
        let tokens = outcome.tokens().expect("there are counts");
        let sum = tokens.input + tokens.output + tokens.cached_input + tokens.cache_write
            + tokens.reasoning + tokens.audio_input + tokens.audio_output;
        prop_assert_eq!(sum, input + output);
        let fits = cached + audio_in <= input && reasoning + audio_out <= output;
        prop_assert_eq!(fits, matches!(outcome, UsageOutcome::Reported(_)));
        if fits {
            prop_assert_eq!((tokens.cached_input, tokens.reasoning), (cached, reasoning));
        }
    }

    #[test]
    fn any_json_is_read_without_a_panic(value in crate::wire::arbitrary_json::value()) {
        let outcome = read(&json!({"prompt_tokens": value, "prompt_tokens_details": value}));
        if let UsageOutcome::Reported(tokens) = outcome {
            prop_assert!(value.is_number());
            prop_assert_eq!(Some(tokens.input as f64), value.as_f64());
        }
    }
}

/// Members of a usage, often ours, with values that are usually counts.
fn members(names: &'static [&'static str]) -> impl Strategy<Value = Vec<(String, Value)>> {
    let name = prop_oneof![
        8 => proptest::sample::select(names).prop_map(str::to_owned),
        1 => crate::wire::arbitrary_json::key(),
    ];
    let count = prop_oneof![
        8 => any::<u32>().prop_map(Value::from),
        2 => any::<u64>().prop_map(Value::from),
        2 => Just(Value::Null),
        1 => (-9..9_i64).prop_map(Value::from),
        1 => (-9.0..9.0).prop_map(Value::from),
        1 => crate::wire::arbitrary_json::value(),
    ];
    proptest::collection::vec((name, count), 0..7)
}

proptest! {
    #[test]
    fn the_quick_way_reads_what_the_usual_way_reads(
        mut all in members(&[
            "prompt_tokens", "completion_tokens", "input_tokens", "output_tokens",
            "total_tokens", "cached_tokens", "prompt_cache_hit_tokens", "x",
        ]),
        input in members(&["cached_tokens", "cache_write_tokens", "audio_tokens", "x"]),
        output in members(&["reasoning_tokens", "audio_tokens", "x"]),
        names in any::<[bool; 4]>(),
        style in crate::wire::arbitrary_json::style(),
        cut in any::<prop::sample::Index>(),
    ) {
        // Written here, so that a member may stand there twice.
        use crate::wire::arbitrary_json::object;
        let details = [
            ("prompt_tokens_details", &input), ("input_tokens_details", &input),
            ("completion_tokens_details", &output), ("output_tokens_details", &output),
        ];
        for ((name, members), _) in details.iter().zip(names).filter(|(_, is_in)| *is_in) {
            all.push(((*name).to_owned(), Value::Object(members.iter().cloned().collect())));
        }
        let text = object(&all, style);
        let json = text.as_bytes();
        for json in [json, &json[..cut.index(json.len())]] {
            if let Some(quick) = quick::read(json) {
                prop_assert_eq!(quick.outcome(), UsageOutcome::read_any(json), "{}", text);
            }
        }
    }
}

#[test]
fn the_quick_way_takes_what_providers_write_and_nothing_odd() {
    let plain = [
        r#"{"prompt_tokens":1,"completion_tokens":0,"total_tokens":1}"#,
        r#" { "input_tokens" : 3 , "input_tokens_details" : { "cached_tokens" : null } } "#,
        r#"{"prompt_tokens":11,"prompt_tokens_details":{"cached_tokens":1,"audio_tokens":0},
            "completion_tokens_details":null,"other":7}"#,
        "{}",
    ];
    for json in plain {
        let quick = quick::read(json.as_bytes()).map(|wire| wire.outcome());
        assert_eq!(
            quick,
            Some(UsageOutcome::read_any(json.as_bytes())),
            "{json}"
        );
    }
    let odd = [
        r#"{"prompt_tokens":1,"prompt_tokens":2}"#,
        r#"{"prompt_tokens":1.0}"#,
        r#"{"prompt_tokens":01}"#,
        r#"{"prompt_tokens":00}"#,
        r#"{"prompt_tokens":1e3}"#,
        r#"{"prompt_tokens":-1}"#,
        r#"{"prompt_tokens":1234567890123456789}"#,
        r#"{"prompt_tokens":"1"}"#,
        r#"{"prompt\u005ftokens":1}"#,
        r#"{"prompt_tokens":1,}"#,
        r#"{"prompt_tokens":1} x"#,
        r#"{"prompt_tokens":}"#,
        r#"{"prompt_tokens":nul}"#,
        r#"{"prompt_tokens":{}}"#,
        r#"{"prompt_tokens_details":7}"#,
        r#"{,"prompt_tokens":1}"#,
        r#"{"prompt_tokens":1"#,
        "null",
        "",
    ];
    for json in odd {
        assert!(quick::read(json.as_bytes()).is_none(), "{json}");
    }
}
