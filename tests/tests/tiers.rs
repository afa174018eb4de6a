//! What an answer says of its price beside its counts, in every dialect, whole and streamed:
//! its service tier, and what the provider keeps in its cache for an hour. Costs are exact,
//! by prices of the configuration and by a file of prices.
//!
//! Needs the built gateway.

use coo_llm_tests::gateway::{Config, Provider};
use coo_llm_tests::rig::{CHAT, CLIENT_KEY, MODEL, PRICING, PROVIDER, PROVIDER_KEY, Rig};
use coo_llm_tests::upstream::{Script, Usage};
use std::fs;
use tempfile::TempDir;

const CLAUDE: &str = "claude";
const GEMINI: &str = "gemini";
const CLAUDE_MODEL: &str = "claude-test";
const GEMINI_MODEL: &str = "gemini-test";
const UNPRICED: &str = "coo_llm_unpriced_requests_total";

/// Nano-USD a token: input, cached, written, written for an hour, output.
type Prices = [u64; 5];
const STANDARD: Prices = [1_000, 500, 1_250, 2_000, 3_000];
const FLEX: Prices = [600, 300, 800, 900, 1_700];
const PRIORITY: Prices = [2_100, 1_100, 2_300, 4_500, 6_700];

/// The tier that an answer names, and the prices that it is billed by.
const TIERS: [(Option<&str>, Option<Prices>); 4] = [
    (None, Some(STANDARD)),
    (Some("flex"), Some(FLEX)),
    (Some("priority"), Some(PRIORITY)),
    // Capacity that was bought ahead: what a request costs is not known.
    (Some("scale"), None),
];

/// A request, by the provider that gets it.
struct Case {
    provider: &'static str,
    path: &'static str,
    body: String,
    is_stream: bool,
}

fn cases() -> Vec<Case> {
    let case = |provider, path, model: &str, member: &str, is_stream| Case {
        provider,
        path,
        body: format!(r#"{{"model":"{model}","stream":{is_stream},"max_tokens":9,{member}}}"#),
        is_stream,
    };
    let messages = r#""messages":[{"role":"user","content":"hi"}]"#;
    let mut cases = Vec::new();
    for is_stream in [false, true] {
        let both = [
            case(PROVIDER, CHAT, MODEL, messages, is_stream),
            case(
                PROVIDER,
                "/v1/completions",
                MODEL,
                r#""prompt":"hi""#,
                is_stream,
            ),
            case(
                PROVIDER,
                "/v1/responses",
                MODEL,
                r#""input":"hi""#,
                is_stream,
            ),
            case(CLAUDE, "/v1/messages", CLAUDE_MODEL, messages, is_stream),
            // Translated.
            case(CLAUDE, CHAT, CLAUDE_MODEL, messages, is_stream),
        ];
        cases.extend(both);
    }
    for (path, is_stream) in [
        ("/v1beta/models/gemini-test:generateContent", false),
        ("/v1beta/models/gemini-test:streamGenerateContent", true),
        (
            "/v1beta/models/gemini-test:streamGenerateContent?alt=sse",
            true,
        ),
    ] {
        cases.push(Case {
            provider: GEMINI,
            path,
            body: r#"{"contents":[{"parts":[{"text":"hi"}]}]}"#.to_owned(),
            is_stream,
        });
    }
    cases
}

/// Only Anthropic says what was written.
fn script(provider: &str, tier: Option<&str>) -> Script {
    let (cache_write, cache_write_1h) = if provider == CLAUDE { (9, 4) } else { (0, 0) };
    Script {
        usage: Usage {
            prompt: 131,
            completion: 77,
            cached: 32,
            cache_write,
            reasoning: 13,
            ..Usage::default()
        },
        cache_write_1h,
        service_tier: tier.map(str::to_owned),
        ..Script::default()
    }
}

fn nano_usd(script: &Script, prices: &Prices) -> u64 {
    let (usage, hour) = (&script.usage, script.cache_write_1h);
    let input = usage.prompt - usage.cached - usage.cache_write;
    let written = usage.cache_write - hour;
    let counts = [input, usage.cached, written, hour, usage.completion];
    counts
        .iter()
        .zip(prices)
        .map(|(count, price)| count * price)
        .sum()
}

fn start(change: impl FnOnce(&mut Config)) -> Rig {
    Rig::start_with(|config| {
        let url = config.providers[0].base_url.clone();
        for (id, kind, model) in [
            (CLAUDE, "anthropic", CLAUDE_MODEL),
            (GEMINI, "gemini", GEMINI_MODEL),
        ] {
            let provider = Provider::new(id, &url, PROVIDER_KEY, model, PRICING);
            config.providers.push(provider.of_type(kind));
        }
        for provider in &mut config.providers {
            provider.models[0].1 = None;
        }
        change(config);
    })
}

fn assert_billed(rig: &Rig) {
    let (mut requests, mut unpriced, mut spent) = (0, 0, 0);
    for case in cases() {
        for (tier, prices) in TIERS {
            let script = script(case.provider, tier);
            rig.upstream.key_by(PROVIDER_KEY, Some(script.clone()));
            let mut client = rig.gateway.client();
            let reply = client.post(case.path, CLIENT_KEY, case.body.as_bytes());
            let what = format!("{} {} {tier:?}: {}", case.path, case.body, reply.text());
            assert_eq!(reply.status, 200, "{what}");
            requests += 1;
            let cost = prices.map(|prices| nano_usd(&script, &prices));
            unpriced += u64::from(cost.is_none());
            spent += cost.unwrap_or(0);
            let page = rig.gateway.metrics_after(requests);
            assert_eq!(page.nano_usd("coo_llm_cost_total", &[]), spent, "{what}");
            assert_eq!(page.count(UNPRICED, &[]), unpriced, "{what}");
            if !case.is_stream {
                let told = cost.map(|nano| {
                    let text = format!("0.{nano:09}");
                    text.trim_end_matches('0').to_owned()
                });
                assert_eq!(reply.header("x-coo-cost-usd"), told.as_deref(), "{what}");
            }
        }
    }
    assert_eq!(unpriced, cases().len() as u64);
}

#[test]
fn prices_of_the_configuration() {
    let prices = |[input, cached, write, hour, output]: Prices| {
        // Micro-USD a thousand tokens is nano-USD a token.
        let usd = |nano: u64| format!("{}.{:03}", nano / 1_000, nano % 1_000);
        format!(
            "input_per_million: {}, cached_input_per_million: {}, cache_write_per_million: {}, \
             cache_write_1h_per_million: {}, output_per_million: {}",
            usd(input),
            usd(cached),
            usd(write),
            usd(hour),
            usd(output)
        )
    };
    let line = format!(
        "pricing: {{ {}, flex: {{ {} }}, priority: {{ {} }} }}",
        prices(STANDARD),
        prices(FLEX),
        prices(PRIORITY)
    );
    let rig = start(|config| {
        for provider in &mut config.providers {
            provider.more.push(line.clone());
        }
    });
    assert_billed(&rig);
}

#[test]
fn prices_of_a_file() {
    let prices = |[input, cached, write, hour, output]: Prices, tier: &str| {
        format!(
            r#""input_cost_per_token{tier}": {input}e-9, "cache_read_input_token_cost{tier}": {cached}e-9,
            "cache_creation_input_token_cost{tier}": {write}e-9,
            "cache_creation_input_token_cost_above_1hr{tier}": {hour}e-9, "output_cost_per_token{tier}": {output}e-9"#
        )
    };
    let entries =
        [PROVIDER, "anthropic", "gemini"]
            .into_iter()
            .zip([MODEL, CLAUDE_MODEL, GEMINI_MODEL]);
    let entries: Vec<_> = entries
        .map(|(provider, model)| {
            format!(
                r#""{provider}/{model}": {{"litellm_provider": "{provider}", "mode": "chat", {}, {}, {}}}"#,
                prices(STANDARD, ""),
                prices(FLEX, "_flex"),
                prices(PRIORITY, "_priority")
            )
        })
        .collect();
    let folder = TempDir::with_prefix("coo-llm-").expect("a temporary folder");
    let file = folder.path().join("prices.json");
    let table = format!("{{{}}}", entries.join(","));
    fs::write(&file, table).expect("the folder is writable");
    let rig = start(|config| config.top.push(format!("prices: \"{}\"", file.display())));
    assert_billed(&rig);
}
