//! The slow, obvious meter: adds up what was sent, in maps with whole labels.
//!
//! It knows INTERFACE.md and nothing of the gateway's code. Money is exact:
//! prices are decimal text, a request's cost is summed in femto-USD (10^-15) and
//! rounded once, half up, to nano-USD.

use crate::exposition::{Exposition, Labels, labels};
use crate::gateway::Pricing;
use crate::upstream::TokenCounts;
use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;

/// The public id of a provider key: `<provider>-<first 8 hex of SHA-256>`.
#[must_use]
pub fn key_id(provider: &str, key: &str) -> String {
    let digest = Sha256::digest(key.as_bytes());
    let hex: String = digest.iter().take(4).map(|b| format!("{b:02x}")).collect();
    format!("{provider}-{hex}")
}

/// Femto-USD a token of a price in USD per million tokens.
fn femto_per_token(usd_per_million: &str) -> u128 {
    let (whole, fraction) = usd_per_million
        .split_once('.')
        .unwrap_or((usd_per_million, ""));
    assert!(
        fraction.len() <= 9,
        "finer than a femto-USD a token: {usd_per_million}"
    );
    let digits = format!("{whole}{fraction:0<9}");
    digits.parse().expect("a price is a decimal")
}

/// The cost of a request in nano-USD.
#[must_use]
pub fn cost_nano_usd(pricing: &Pricing, tokens: &TokenCounts) -> u64 {
    let input = femto_per_token(pricing.input);
    let output = femto_per_token(pricing.output);
    let cached = pricing.cached_input.map_or(input, femto_per_token);
    let femto = u128::from(tokens.input + tokens.cache_write + tokens.audio_input) * input
        + u128::from(tokens.cached_input) * cached
        + u128::from(tokens.output + tokens.reasoning + tokens.audio_output) * output;
    u64::try_from((femto + 500_000) / 1_000_000).expect("tests spend less than 18 billion USD")
}

/// Where a request went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// Provider id.
    pub provider: String,
    /// Model label.
    pub model: String,
    /// Public key id.
    pub key: String,
}

/// One request that a client sent and saw the end of.
#[derive(Clone, Debug)]
pub struct Event {
    /// `None` where it was refused before a provider was chosen.
    pub target: Option<Target>,
    /// The client; `None` where no key was right, which counts as `none`.
    pub client: Option<String>,
    /// What the upstream reported.
    pub tokens: Option<TokenCounts>,
    /// The price list of the target's model.
    pub pricing: Option<Pricing>,
    /// Why it failed.
    pub error: Option<&'static str>,
    /// Whether the provider said 429.
    pub provider_limited: bool,
}

/// One try at a provider, as the upstream's ledger or the test's script has it.
#[derive(Clone, Debug)]
pub struct Attempt {
    /// Where it went.
    pub target: Target,
    /// How it ended.
    pub outcome: &'static str,
}

/// A series: its sample name and labels.
pub type Series = (String, Labels);

/// The meter.
#[derive(Clone, Debug, Default)]
pub struct Oracle {
    sums: BTreeMap<Series, u64>,
    requests: u64,
}

/// The families that [`Oracle`] knows whole; money last, in nano-USD.
const COUNTS: [&str; 14] = [
    "coo_llm_requests_total",
    "coo_llm_tokens_total",
    "coo_llm_errors_total",
    "coo_llm_rate_limits_total",
    "coo_llm_client_requests_total",
    "coo_llm_client_errors_total",
    "coo_llm_client_tokens_total",
    "coo_llm_client_rate_limits_total",
    "coo_llm_latency_seconds_count",
    "coo_llm_unpriced_requests_total",
    "coo_llm_usage_source_total",
    "coo_llm_upstream_attempts_total",
    "coo_llm_retries_total",
    "coo_llm_fallbacks_total",
];
const MONEY: [&str; 2] = ["coo_llm_cost_total", "coo_llm_client_cost_total"];

impl Oracle {
    fn add(&mut self, name: &str, pairs: &[(&str, &str)], amount: u64) {
        *self
            .sums
            .entry((name.to_owned(), labels(pairs)))
            .or_default() += amount;
    }

    /// Counts one request that took one attempt, or none where it has no target.
    pub fn record(&mut self, event: &Event) {
        self.record_from(event, event.tokens.map(|_| "provider"));
    }

    /// The same, with the source that its tokens have: `None` where there was nothing to know,
    /// `missing` where nobody knows them.
    pub fn record_from(&mut self, event: &Event, source: Option<&str>) {
        assert_eq!(
            event.provider_limited,
            event.target.is_some() && event.error == Some("rate_limit")
        );
        let attempt = event.target.clone().map(|target| Attempt {
            target,
            outcome: event.error.unwrap_or("success"),
        });
        self.record_all(event, attempt.as_slice(), source);
    }

    /// Counts one request that took these attempts.
    pub fn record_attempts(&mut self, event: &Event, attempts: &[Attempt]) {
        self.record_all(event, attempts, event.tokens.map(|_| "provider"));
    }

    fn record_all(&mut self, event: &Event, attempts: &[Attempt], source: Option<&str>) {
        for Attempt { target, outcome } in attempts {
            let key = ("key", target.key.as_str());
            let labels = [
                ("provider", target.provider.as_str()),
                ("model", target.model.as_str()),
                key,
                ("outcome", outcome),
            ];
            self.add("coo_llm_upstream_attempts_total", &labels, 1);
            if *outcome == "rate_limit" {
                let labels = [key, ("limit", "requests"), ("origin", "provider")];
                self.add("coo_llm_rate_limits_total", &labels, 1);
            }
        }
        self.requests += 1;
        let none = Target {
            provider: "none".to_owned(),
            model: String::new(),
            key: "none".to_owned(),
        };
        let target = event.target.as_ref().unwrap_or(&none);
        let provider = ("provider", target.provider.as_str());
        let model = ("model", target.model.as_str());
        let key = ("key", target.key.as_str());
        let route: &[(&str, &str)] = if event.target.is_some() {
            &[provider, model, key]
        } else {
            // Which model label a refused request has is the gateway's to choose.
            &[provider, key]
        };
        self.add("coo_llm_requests_total", route, 1);
        if let Some(error) = event.error {
            self.add("coo_llm_errors_total", &[("type", error), provider], 1);
        }
        if event.target.is_some() {
            self.add("coo_llm_latency_seconds_count", &[provider, model], 1);
        }
        let client = ("client_id", event.client.as_deref().unwrap_or("none"));
        self.add("coo_llm_client_requests_total", &[client], 1);
        if event.error.is_some() {
            self.add("coo_llm_client_errors_total", &[client], 1);
        }
        if let Some(source) = source {
            self.add(
                "coo_llm_usage_source_total",
                &[provider, ("source", source)],
                1,
            );
        }
        if source == Some("missing") {
            // What it cost, nobody knows.
            self.add("coo_llm_unpriced_requests_total", &[provider, model], 1);
        }
        let Some(tokens) = &event.tokens else { return };
        for (kind, count) in tokens.by_type() {
            let kind = ("type", kind);
            self.add("coo_llm_tokens_total", &[provider, model, key, kind], count);
            self.add("coo_llm_client_tokens_total", &[client, kind], count);
        }
        if let Some(pricing) = &event.pricing {
            let cost = cost_nano_usd(pricing, tokens);
            self.add("coo_llm_cost_total", route, cost);
            self.add("coo_llm_client_cost_total", &[client], cost);
        } else {
            self.add("coo_llm_unpriced_requests_total", &[provider, model], 1);
        }
    }

    /// Counts retries at a provider.
    pub fn retried(&mut self, provider: &str, reason: &str, times: u64) {
        let labels = [("provider", provider), ("reason", reason)];
        self.add("coo_llm_retries_total", &labels, times);
    }

    /// Counts fallbacks.
    pub fn fell_back(&mut self, from: &str, to: &str, times: u64) {
        self.add(
            "coo_llm_fallbacks_total",
            &[("from", from), ("to", to)],
            times,
        );
    }

    /// Requests counted.
    #[must_use]
    pub fn requests(&self) -> u64 {
        self.requests
    }

    /// The sum of one family.
    #[must_use]
    pub fn sum(&self, name: &str) -> u64 {
        let of_name = self.sums.iter().filter(|((n, _), _)| n == name);
        of_name.map(|(_, amount)| amount).sum()
    }

    /// Every series that differs, as text; empty where page and oracle agree to the unit.
    #[must_use]
    pub fn differences(&self, page: &Exposition) -> Vec<String> {
        let mut seen: BTreeMap<Series, u64> = BTreeMap::new();
        for sample in &page.samples {
            let name = sample.name.as_str();
            let digits = if MONEY.contains(&name) {
                9
            } else if COUNTS.contains(&name) {
                0
            } else {
                continue;
            };
            let amount = sample.value.scaled(digits);
            let amount = amount.expect("counters are whole, money is whole nano-USD");
            let mut labels = sample.labels.clone();
            if labels.get("provider").is_some_and(|p| p == "none") {
                labels.remove("model");
            }
            if name == "coo_llm_latency_seconds_count" && !labels.contains_key("model") {
                continue;
            }
            *seen.entry((sample.name.clone(), labels)).or_default() += amount;
        }
        let mut all: Vec<&Series> = self.sums.keys().chain(seen.keys()).collect();
        all.sort();
        all.dedup();
        let amount = |sums: &BTreeMap<Series, u64>, series| sums.get(series).copied().unwrap_or(0);
        all.into_iter()
            .map(|series| (series, amount(&self.sums, series), amount(&seen, series)))
            .filter(|(_, expected, got)| expected != got)
            .map(|((name, labels), expected, got)| {
                format!("{name}{labels:?}: oracle {expected}, gateway {got}")
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn money_is_rounded_once_and_half_up() {
        let pricing = Pricing {
            input: "0.0375",
            output: "2.5",
            cached_input: None,
        };
        let tokens = |input, output| TokenCounts {
            input,
            output,
            ..TokenCounts::default()
        };
        // 37.5 nano-USD a token of input, 2,500 of output.
        assert_eq!(cost_nano_usd(&pricing, &tokens(1, 0)), 38);
        assert_eq!(cost_nano_usd(&pricing, &tokens(2, 0)), 75);
        assert_eq!(cost_nano_usd(&pricing, &tokens(3, 2)), 5_113);
    }

    #[test]
    fn a_page_that_is_off_by_one_is_seen() {
        let mut oracle = Oracle::default();
        oracle.record(&Event {
            target: None,
            client: Some("c".to_owned()),
            tokens: None,
            pricing: None,
            error: Some("auth"),
            provider_limited: false,
        });
        let page = |count| {
            let text = format!(
                "# HELP coo_llm_requests_total R.\n# TYPE coo_llm_requests_total counter\n\
                 coo_llm_requests_total{{provider=\"none\",model=\"none\",key=\"none\"}} {count}\n\
                 # HELP coo_llm_errors_total E.\n# TYPE coo_llm_errors_total counter\n\
                 coo_llm_errors_total{{type=\"auth\",provider=\"none\"}} 1\n\
                 coo_llm_errors_total{{type=\"timeout\",provider=\"none\"}} 0\n\
                 # HELP coo_llm_client_requests_total C.\n# TYPE coo_llm_client_requests_total counter\n\
                 coo_llm_client_requests_total{{client_id=\"c\"}} 1\n\
                 # HELP coo_llm_client_errors_total C.\n# TYPE coo_llm_client_errors_total counter\n\
                 coo_llm_client_errors_total{{client_id=\"c\"}} 1\n"
            );
            Exposition::parse(&text).expect("a well formed page")
        };
        assert_eq!(oracle.differences(&page(1)), Vec::<String>::new());
        assert_eq!(oracle.differences(&page(2)).len(), 1);
        assert_eq!(oracle.differences(&Exposition::default()).len(), 4);
    }

    #[test]
    fn a_key_id_is_public() {
        let id = key_id("openai", "abc");
        assert_eq!(id, "openai-ba7816bf");
    }
}
