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
