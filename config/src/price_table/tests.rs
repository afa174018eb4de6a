use super::*;
use coo_llm_core::price::{Bill, ServiceTier};
use coo_llm_core::record::Tokens;

fn table(text: &str) -> PriceTable {
    PriceTable::parse(text.as_bytes()).unwrap_or_else(|error| unreachable!("{text}: {error}"))
}

fn refused(text: &str) -> String {
    match PriceTable::parse(text.as_bytes()) {
        Ok(_) => unreachable!("{text} is taken"),
        Err(error) => error.to_string(),
    }
}

/// One model `m` of `p` with these fields.
fn model(fields: &str) -> PriceTable {
    table(&format!(
        r#"{{"m": {{"litellm_provider": "p", "mode": "chat", {fields}}},
            "other": {{"input_cost_per_token": 0, "output_cost_per_token": 0}}}}"#
    ))
}

fn nano(table: &PriceTable, tokens: Tokens, tier: ServiceTier) -> Option<u64> {
    let Found::Priced(list) = table.find("p", "m") else {
        unreachable!("m has prices")
    };
    let bill = Bill {
        tier,
        ..Bill::from(tokens)
    };
    list.cost(&bill).map(|cost| cost.0)
}

const NONE: Tokens = Tokens {
    input: 0,
    output: 0,
    cached_input: 0,
    cache_write: 0,
    reasoning: 0,
    audio_input: 0,
    audio_output: 0,
};

#[test]
fn a_price_is_the_text_that_stands_there() {
    // The nearest f64 of 1e-7 times 3 is 3.0000000000000004e-7.
    let table = model(r#""input_cost_per_token": 3e-7, "output_cost_per_token": "1.5E-6""#);
    let tokens = Tokens {
        input: 1_000_000,
        output: 1,
        ..NONE
    };
    let standard = ServiceTier::Standard;
    assert_eq!(nano(&table, tokens, standard), Some(300_000_000 + 1_500));
    assert_eq!(table.rounded(), 0);
    let noisy =
        model(r#""input_cost_per_token": 2.9999900000000002e-06, "output_cost_per_token": 0"#);
    assert_eq!(nano(&noisy, tokens, standard), Some(2_999_990_000));
    assert_eq!(noisy.rounded(), 1);
}

#[test]
fn zero_is_a_price_and_null_is_none() {
    let table = model(
        r#""input_cost_per_token": 0, "output_cost_per_token": 0.0, "cache_read_input_token_cost": null"#,
    );
    let tokens = Tokens {
        cached_input: 7,
        ..NONE
    };
    assert_eq!(nano(&table, tokens, ServiceTier::Standard), Some(0));
    let table = model(r#""input_cost_per_token": null, "output_cost_per_token": 1e-6"#);
    let why = Unpriced::Missing("input_cost_per_token");
    assert_eq!(table.find("p", "m"), Found::Unpriced(why));
    let table = model(r#""input_cost_per_token": 1e-6"#);
    let why = Unpriced::Missing("output_cost_per_token");
    assert_eq!(table.find("p", "m"), Found::Unpriced(why));
}

#[test]
fn the_provider_of_an_entry_is_looked_at() {
    let entry = |provider: &str, nano: u64| {
        format!(
            r#"{{"litellm_provider": "{provider}", "mode": "chat", "input_cost_per_token": {nano}e-9, "output_cost_per_token": 0}}"#
        )
    };
    let table = table(&format!(
        r#"{{"m": {}, "groq/m": {}, "azure/eu/m": {}, "v": {}, "t": {}, "openai/": {}}}"#,
        entry("openai", 1),
        entry("groq", 2),
        entry("azure", 3),
        entry("vertex_ai-anthropic_models", 4),
        entry("text-completion-openai", 5),
        entry("openai", 6),
    ));
    let price = |provider: &str, model: &str| match table.find(provider, model) {
        Found::Priced(list) => list
            .cost(&Bill::from(Tokens { input: 1, ..NONE }))
            .map(|cost| cost.0),
        Found::Unknown => None,
        Found::Unpriced(why) => unreachable!("{why}"),
    };
    assert_eq!(price("openai", "m"), Some(1));
    assert_eq!(price("groq", "m"), Some(2), "its own entry comes first");
    assert_eq!(
        price("other", "m"),
        None,
        "another provider's price is none"
    );
    assert_eq!(price("openai", "groq/m"), None);
    assert_eq!(price("azure", "eu/m"), Some(3));
    assert_eq!(price("vertex_ai", "v"), Some(4));
    assert_eq!(price("vertex", "v"), None);
    assert_eq!(price("openai", "t"), Some(5));
    // The same by provider, which is how workers get it.
    for provider in ["openai", "groq", "azure", "vertex_ai", "other"] {
        for (model, found) in table.of_provider(provider) {
            assert_eq!(found, table.find(provider, &model), "{provider} {model}");
        }
    }
    let names = |provider| {
        let mut names: Vec<_> = table.of_provider(provider).into_keys().collect();
        names.sort_unstable();
        names
    };
    assert_eq!(names("openai"), ["", "m", "openai/", "t"].map(Box::from));
    assert_eq!(names("groq"), ["groq/m", "m"].map(Box::from));
    assert!(names("other").is_empty());
}

#[test]
fn what_is_not_billed_by_tokens_has_no_price() {
    for (fields, why) in [
        (
            r#""mode": "image_generation", "input_cost_per_token": 1e-6, "output_cost_per_token": 1e-6"#,
            "mode `image_generation` is not billed by tokens",
        ),
        (
            r#""mode": "chat", "input_cost_per_token": 0, "output_cost_per_token": 0, "output_cost_per_second": 0.01"#,
            "asks more than tokens, in `output_cost_per_second`",
        ),
        (
            r#""mode": "chat", "input_cost_per_token": 0, "output_cost_per_token": 0, "input_cost_per_request": 0.005"#,
            "asks more than tokens, in `input_cost_per_request`",
        ),
        (
            r#""mode": "chat", "input_cost_per_token": 1e-6, "output_cost_per_token": 1e-6, "off_peak_pricing": {"hours_utc": "16:30-00:30"}"#,
            "asks more than tokens, in `off_peak_pricing`",
        ),
        (r#""mode": "chat""#, "has no `input_cost_per_token`"),
    ] {
        let table = table(&format!(
            r#"{{"m": {{"litellm_provider": "p", {fields}}}, "n": {{"input_cost_per_token": 0, "output_cost_per_token": 0, "output_cost_per_second": 0}}}}"#
        ));
        let Found::Unpriced(found) = table.find("p", "m") else {
            unreachable!("{fields}")
        };
        assert_eq!(found.to_string(), why);
        assert_eq!(table.counts(), (1, 1));
        assert_eq!(table.find("p", "x"), Found::Unknown);
    }
    // Only embeddings need no price of output.
    let embedding = table(r#"{"p/m": {"mode": "embedding", "input_cost_per_token": 2e-8}}"#);
    let tokens = Tokens { input: 50, ..NONE };
    assert_eq!(nano(&embedding, tokens, ServiceTier::Standard), Some(1_000));
}

#[test]
fn bounds_and_tiers_are_read() {
    let table = model(
        r#""input_cost_per_token": 1e-6, "input_cost_per_token_above_200k_tokens": 2e-6,
        "output_cost_per_token": 3e-6, "cache_read_input_token_cost": 1e-7,
        "output_cost_per_reasoning_token": 9e-6,
        "input_cost_per_token_flex": 5e-7, "output_cost_per_token_flex": 15e-7,
        "input_cost_per_token_batches": 4e-7, "output_cost_per_token_batches": 6e-7,
        "input_cost_per_token_above_200k_tokens_batches": 8e-7,
        "input_cost_per_token_priority": 2e-6"#,
    );
    let tokens = |input, cached_input, output, reasoning| Tokens {
        input,
        cached_input,
        output,
        reasoning,
        ..NONE
    };
    let cost = |tokens, tier| nano(&table, tokens, tier);
    use ServiceTier::{Batch, Flex, Priority, Standard};
    assert_eq!(
        cost(tokens(200_000, 0, 1, 1), Standard),
        Some(200_000_000 + 12_000)
    );
    assert_eq!(
        cost(tokens(200_000, 1, 1, 1), Standard),
        Some(400_000_000 + 100 + 12_000)
    );
    // What a tier does not name costs what it costs elsewhere, but for reasoning, which is output.
    assert_eq!(
        cost(tokens(10, 10, 10, 10), Flex),
        Some(5_000 + 1_000 + 15_000 + 15_000)
    );
    assert_eq!(cost(tokens(200_001, 0, 0, 0), Flex), Some(400_002_000));
    assert_eq!(
        cost(tokens(10, 10, 10, 10), Batch),
        Some(4_000 + 4_000 + 6_000 + 6_000)
    );
    assert_eq!(cost(tokens(200_001, 0, 0, 0), Batch), Some(200_001 * 800));
    // A price of input alone is no price of a tier.
    assert_eq!(cost(tokens(1, 0, 0, 0), Priority), None);
}

#[test]
fn ranges_are_read() {
    let table = model(
        r#""tiered_pricing": [
            {"range": [32000.0, 128000.0], "input_cost_per_token": 2e-6, "output_cost_per_token": 4e-6},
            {"range": [0, 32000.0], "input_cost_per_token": 1e-6, "output_cost_per_token": 2e-6, "cache_read_input_token_cost": 0}]"#,
    );
    let cost = |input, cached_input| {
        let tokens = Tokens {
            input,
            cached_input,
            output: 1,
            ..NONE
        };
        nano(&table, tokens, ServiceTier::Standard)
    };
    assert_eq!(cost(31_000, 1_000), Some(31_000_000 + 2_000));
    assert_eq!(cost(31_000, 1_001), Some(32_001 * 2_000 + 4_000));
    assert_eq!(cost(1_000_000, 0), Some(2_000_000_000 + 4_000));
}

#[test]
fn one_provider_counts_the_bound_in() {
    let text = r#"{"xai/m": {"litellm_provider": "xai", "mode": "chat", "input_cost_per_token": 1e-6,
        "output_cost_per_token": 0, "input_cost_per_token_above_128k_tokens": 2e-6}}"#;
    let Found::Priced(list) = table(text).find("xai", "m") else {
        unreachable!("m has prices")
    };
    let cost = |input| list.cost(&Bill::from(Tokens { input, ..NONE }));
    assert_eq!(cost(127_999).map(|cost| cost.0), Some(127_999_000));
    assert_eq!(cost(128_000).map(|cost| cost.0), Some(256_000_000));
}

#[test]
fn a_bad_file_is_refused_with_entry_and_field() {
    let chat = |field: &str| {
        format!(
            r#"{{"gpt": {{"mode": "chat", "input_cost_per_token": 1e-6, "output_cost_per_token": 1e-6, {field}}}}}"#
        )
    };
    for (text, want) in [
        (
            chat(r#""input_cost_per_token_flex": -1e-6"#),
            "entry `gpt`, field `input_cost_per_token_flex`: `-1e-6` is below zero",
        ),
        (
            chat(r#""cache_read_input_token_cost": true"#),
            "entry `gpt`, field `cache_read_input_token_cost`: is not a decimal number",
        ),
        (
            chat(r#""cache_read_input_token_cost": "1,5e-6""#),
            "entry `gpt`, field `cache_read_input_token_cost`: is not a decimal number",
        ),
        (
            chat(r#""output_cost_per_audio_token": 1e9"#),
            "entry `gpt`, field `output_cost_per_audio_token`: `1e9` is above 18446 USD a token",
        ),
        (
            chat(r#""input_cost_per_second": []"#),
            "entry `gpt`, field `input_cost_per_second`: is not a decimal number",
        ),
        (
            chat(r#""litellm_provider": 7"#),
            "entry `gpt`, field `litellm_provider`: is not a text",
        ),
        (
            chat(r#""tiered_pricing": {}"#),
            "entry `gpt`, field `tiered_pricing`: is not a list of objects",
        ),
        (
            chat(r#""tiered_pricing": []"#),
            "entry `gpt`, field `tiered_pricing`: has no range from 0 on",
        ),
        (
            chat(r#""tiered_pricing": [{"range": [0]}]"#),
            "entry `gpt`, field `tiered_pricing[0].range`: is not two counts of tokens",
        ),
        (
            chat(r#""tiered_pricing": [{"range": [0, 9], "input_cost_per_token": -1}]"#),
            "entry `gpt`, field `tiered_pricing[0].input_cost_per_token`: `-1` is below zero",
        ),
        (
            chat(r#""input_cost_per_token": 2e-6"#),
            "entry `gpt`, field `input_cost_per_token`: stands there twice",
        ),
        (
            r#"{"a": 1, "b": {"mode": 2}}"#.into(),
            "entry `a`: is not an object; entry `b`, field `mode`: is not a text",
        ),
        (
            r#"{"a": {}, "a": {}}"#.into(),
            "entry `a`: stands there twice",
        ),
        (
            r#"{"sample_spec": {"mode": "one of: chat"}}"#.into(),
            "has no entry with a price",
        ),
        ("{}".into(), "has no entry with a price"),
        (
            "[]".into(),
            "is no table of prices: invalid type: sequence, expected an object of models at line 1 column 0",
        ),
        (
            r#"{"a": {"mode": "chat""#.into(),
            "is no table of prices: EOF while parsing an object at line 1 column 21",
        ),
    ] {
        assert_eq!(refused(&text), want, "{text}");
    }
    let many: Vec<_> = (0..25).map(|n| format!(r#""m{n}": 0"#)).collect();
    let message = refused(&format!("{{{}}}", many.join(",")));
    assert!(
        message.ends_with("entry `m19`: is not an object; and 5 more"),
        "{message}"
    );
}

#[test]
fn a_table_is_named_by_its_content() {
    let text =
        r#"{"version": "2026-01", "m": {"input_cost_per_token": 0, "output_cost_per_token": 0}}"#;
    let named = table(text);
    // sha256sum's digits.
    assert_eq!(named.hash().len(), 12);
    assert_eq!(named.version(), Some("2026-01"));
    assert_ne!(named.hash(), table(&text.replace("01", "02")).hash());
}
