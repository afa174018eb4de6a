//! `llm_providers`: where requests go, with what keys, at what price.

use crate::client::Limits;
use crate::reader::{Section, one_of};
use crate::scalar::{
    base_url, duration, fraction, id, integer, model, non_empty, positive_duration, usd_per_million,
};
use crate::secret::Secret;
use coo_llm_core::price::{PriceList, Prices, ServiceTier, TokenPrice};
use std::path::PathBuf;
use std::time::Duration;

/// A provider.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Provider {
    /// Its id: the `provider` label, and what stands before the `:` in a model name.
    pub id: String,
    /// What it speaks.
    pub kind: ProviderType,
    /// Its keys, used in turn. Empty where the upstream asks for none.
    pub api_keys: Vec<Secret>,
    /// Its base URL without a final `/`; `None` only for the simulator.
    pub base_url: Option<String>,
    /// A PEM file of further roots to trust, for an upstream with a private certificate.
    pub ca_file: Option<PathBuf>,
    /// The model of requests that name only the provider.
    pub model: Option<String>,
    /// The models it serves; empty means any.
    pub models: Vec<Model>,
    /// The prices of models without prices of their own.
    pub pricing: Option<PriceList>,
    /// What the file of `prices` calls it, where that is not what [`Provider::price_provider`] takes.
    pub price_provider: Option<String>,
    /// Limits of each key.
    pub limits: Limits,
    /// How long to wait for it.
    pub timeouts: Timeouts,
    /// How the simulator behaves.
    pub simulator: Simulator,
}

/// What a provider speaks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ProviderType {
    /// OpenAI.
    OpenAi,
    /// Anthropic.
    Anthropic,
    /// Google Gemini.
    Gemini,
    /// Anything that speaks OpenAI's protocol.
    #[default]
    Custom,
    /// The simulator in this process.
    Simulator,
}

/// A model of an allow list.
#[derive(Clone, Debug, PartialEq)]
pub struct Model {
    /// Its name at the provider.
    pub id: String,
    /// Its prices, where they differ from the provider's.
    pub pricing: Option<PriceList>,
}

/// How long to wait for a provider.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Timeouts {
    /// For a connection, TLS included.
    pub connect: Duration,
    /// From the request sent to the first byte of the answer.
    pub first_byte: Duration,
    /// Between two reads of the answer.
    pub idle: Duration,
    /// For the whole exchange.
    pub total: Duration,
}

/// How the simulator behaves. Latency is log-normal: `latency_median * exp(latency_sigma * N(0, 1))`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Simulator {
    /// The median time to the first byte.
    pub latency_median: Duration,
    /// The standard deviation of the latency's logarithm, 0 to 5; 0 makes it constant.
    pub latency_sigma: f64,
    /// The share of requests that fail, 0 to 1.
    pub error_rate: f64,
    /// Median of the completion tokens, which are log-normal with sigma 0.6.
    pub completion_tokens: u64,
    /// The pause between two chunks of a stream.
    pub chunk_interval: Duration,
    /// The seed of all of it.
    pub seed: u64,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(10),
            first_byte: Duration::from_secs(60),
            idle: Duration::from_secs(60),
            total: Duration::from_secs(600),
        }
    }
}

impl Default for Simulator {
    fn default() -> Self {
        Self {
            latency_median: Duration::from_millis(20),
            latency_sigma: 0.5,
            error_rate: 0.01,
            completion_tokens: 64,
            chunk_interval: Duration::from_millis(2),
            seed: 0,
        }
    }
}

impl ProviderType {
    /// The base URL where none is configured.
    fn default_base_url(self) -> Option<&'static str> {
        match self {
            Self::OpenAi => Some("https://api.openai.com/v1"),
            Self::Anthropic => Some("https://api.anthropic.com"),
            Self::Gemini => Some("https://generativelanguage.googleapis.com/v1beta/openai"),
            Self::Custom | Self::Simulator => None,
        }
    }
}

impl Provider {
    /// The simulator of the built-in defaults, with prices near those of the market so that cost moves.
    pub(crate) fn builtin() -> Self {
        // In thousandths of a USD per million tokens.
        let usd = |thousandths: u64| TokenPrice(thousandths * 1_000_000);
        let model = |id: &str, prices: Prices| Model {
            id: id.into(),
            pricing: Some(prices.into()),
        };
        let small = Prices {
            input: usd(150),
            output: usd(600),
            ..Prices::default()
        };
        let large = Prices {
            input: usd(2_500),
            output: usd(10_000),
            cached_input: Some(usd(1_250)),
            ..Prices::default()
        };
        let embed = Prices {
            input: usd(20),
            ..Prices::default()
        };
        Self {
            id: "simulator".into(),
            kind: ProviderType::Simulator,
            model: Some("sim-small".into()),
            models: vec![
                model("sim-small", small),
                model("sim-large", large),
                model("sim-embed", embed),
            ],
            ..Self::default()
        }
    }

    pub(crate) fn read(s: &Section<'_>) -> Self {
        let words = [
            ("openai", ProviderType::OpenAi),
            ("anthropic", ProviderType::Anthropic),
            ("gemini", ProviderType::Gemini),
            ("custom", ProviderType::Custom),
            ("simulator", ProviderType::Simulator),
        ];
        let id = s.required("id", "give the provider an id, such as `id: openai`", id);
        let hint = "write openai, anthropic, gemini, custom or simulator";
        let kind = s.required("type", hint, |text| one_of(text, &words));
        let api_keys: Vec<Secret> = read_keys(s);
        let url_given = s.field("base_url").is_some();
        let base_url = s.optional("base_url", base_url);
        match kind {
            Some(ProviderType::Custom) if !url_given => {
                s.missing(
                    "base_url",
                    "a custom provider needs one, such as http://localhost:8000/v1",
                );
            }
            Some(ProviderType::Simulator) if url_given => {
                s.complain("base_url", "the simulator has no URL; remove it");
            }
            Some(ProviderType::OpenAi | ProviderType::Anthropic | ProviderType::Gemini)
                if s.field("api_keys").is_none() =>
            {
                s.missing("api_keys", "write `api_keys: [\"${PROVIDER_KEY}\"]`");
            }
            _ => {}
        }
        let simulator = s.field("simulator");
        if simulator.is_some() && kind.is_some_and(|kind| kind != ProviderType::Simulator) {
            s.complain("simulator", "is only for `type: simulator`; remove it");
        }
        let kind = kind.unwrap_or_default();
        let models = s.items("models");
        let provider = Self {
            id: id.unwrap_or_default(),
            kind,
            api_keys,
            base_url: base_url.or_else(|| kind.default_base_url().map(str::to_owned)),
            ca_file: s.optional("ca_file", non_empty).map(PathBuf::from),
            model: s.optional("model", model),
            models: models
                .iter()
                .map(|field| field.section(Model::read))
                .collect(),
            pricing: s.section("pricing", read_pricing),
            price_provider: s.optional("price_provider", non_empty),
            limits: s.section("limits", Limits::read),
            timeouts: s.section("timeouts", Timeouts::read),
            simulator: simulator
                .map(|field| field.section(Simulator::read))
                .unwrap_or_default(),
        };
        let is_https = |url: &String| url.starts_with("https://");
        if provider.ca_file.is_some() && !provider.base_url.as_ref().is_none_or(is_https) {
            s.complain("ca_file", "is only for an https:// URL; remove it");
        }
        provider.check_models(s);
        provider
    }

    /// Whether the provider takes requests for `model`.
    #[must_use]
    pub fn serves(&self, model: &str) -> bool {
        self.models.is_empty() || self.models.iter().any(|listed| listed.id == model)
    }

    /// What a price table calls this provider: `price_provider`, else the name of its type,
    /// else, of a custom provider and the simulator, its id.
    #[must_use]
    pub fn price_provider(&self) -> &str {
        let own = match self.kind {
            ProviderType::OpenAi => "openai",
            ProviderType::Anthropic => "anthropic",
            ProviderType::Gemini => "gemini",
            ProviderType::Custom | ProviderType::Simulator => &self.id,
        };
        self.price_provider.as_deref().unwrap_or(own)
    }

    fn check_models(&self, s: &Section<'_>) {
        for (index, model) in self.models.iter().enumerate() {
            if !model.id.is_empty()
                && self.models[..index]
                    .iter()
                    .any(|other| other.id == model.id)
            {
                s.complain(
                    &format!("models[{index}].id"),
                    "the model is listed twice; remove one of the two",
                );
            }
        }
        if self
            .model
            .as_deref()
            .is_some_and(|model| !self.serves(model))
        {
            s.complain(
                "model",
                "the default model is not in `models`; add it there",
            );
        }
    }
}

/// `api_keys` of a provider: every one present, none twice.
fn read_keys(s: &Section<'_>) -> Vec<Secret> {
    let mut keys = Vec::new();
    for field in s.items("api_keys") {
        match field.key() {
            Some(key) if keys.contains(&key) => {
                field.complain("the key is listed twice; remove one of the two");
            }
            Some(key) => keys.push(key),
            None => {}
        }
    }
    keys
}

impl Model {
    fn read(s: &Section<'_>) -> Self {
        Self {
            id: s
                .required("id", "name the model", model)
                .unwrap_or_default(),
            pricing: s.section("pricing", read_pricing),
        }
    }
}

/// `pricing`: the prices of the standard tier, and below them those of the other tiers that
/// are sold. A tier without prices has no known price.
pub(crate) fn read_pricing(s: &Section<'_>) -> Option<PriceList> {
    let standard = read_prices(s);
    // All are read before anything is given up, so that each is complained of.
    let tiers = [
        ("flex", ServiceTier::Flex),
        ("priority", ServiceTier::Priority),
        ("batch", ServiceTier::Batch),
    ]
    .map(|(key, tier)| (tier, s.section(key, read_prices)));
    let list = PriceList::from(standard?);
    Some(
        tiers
            .into_iter()
            .fold(list, |list, (tier, prices)| match prices {
                Some(prices) => list.with_tier(tier, prices, []),
                None => list,
            }),
    )
}

/// `input` and `output` must both be there, since a missing price would bill zero.
fn read_prices(s: &Section<'_>) -> Option<Prices> {
    let hint = "write USD per million tokens, such as 2.50 (0 where there is none)";
    let input = s.required("input_per_million", hint, usd_per_million);
    let output = s.required("output_per_million", hint, usd_per_million);
    let optional = |key| s.optional(key, usd_per_million);
    let cached_input = optional("cached_input_per_million");
    let cache_write = optional("cache_write_per_million");
    let cache_write_1h = optional("cache_write_1h_per_million");
    let reasoning = optional("reasoning_per_million");
    let audio_input = optional("audio_input_per_million");
    let audio_output = optional("audio_output_per_million");
    Some(Prices {
        input: input?,
        output: output?,
        cached_input,
        cache_write,
        cache_write_1h,
        reasoning,
        audio_input,
        audio_output,
    })
}

impl Timeouts {
    fn read(s: &Section<'_>) -> Self {
        let default = Self::default();
        Self {
            connect: s.value("connect", default.connect, positive_duration),
            first_byte: s.value("first_byte", default.first_byte, positive_duration),
            idle: s.value("idle", default.idle, positive_duration),
            total: s.value("total", default.total, positive_duration),
        }
    }
}

impl Simulator {
    fn read(s: &Section<'_>) -> Self {
        let default = Self::default();
        let tokens = || integer(0, 1_000_000);
        Self {
            latency_median: s.value("latency_median", default.latency_median, duration),
            latency_sigma: s.value("latency_sigma", default.latency_sigma, fraction(5.0)),
            error_rate: s.value("error_rate", default.error_rate, fraction(1.0)),
            completion_tokens: s.value("completion_tokens", default.completion_tokens, tokens()),
            chunk_interval: s.value("chunk_interval", default.chunk_interval, duration),
            seed: s.value("seed", default.seed, integer(0, u64::MAX)),
        }
    }
}
