//! A provider as the data plane uses it.

use super::PlanError;
use crate::gateway::dialect::Dialect;
use crate::gateway::routing::{Aside, Quota, Trouble};
use crate::wire::simulator::SimProfile;
use coo_llm_config::{Provider, ProviderType, Secret, Timeouts};
use coo_llm_core::Catalog;
use coo_llm_core::catalog::{EventId, Family, OTHER, ProviderId, Route};
use coo_llm_core::price::PriceList;
use http::{HeaderValue, Uri};
use rustls::pki_types::ServerName;
use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

/// How a provider is reached.
#[derive(Debug)]
pub(crate) enum Kind {
    Http(Box<Target>),
    Simulator(SimPlan),
}

/// Where a provider is.
#[derive(Debug)]
pub(crate) struct Target {
    pub(crate) host: String,
    pub(crate) port: u16,
    /// The value of `Host`.
    pub(crate) authority: HeaderValue,
    /// Of the dialect's services in their order, without a query.
    ways: Box<[Way]>,
    pub(crate) tls: Option<Tls>,
}

/// The path of a service at a provider.
#[derive(Debug)]
enum Way {
    Fixed(Uri),
    /// The model's name comes between the two.
    OfModel {
        before: String,
        verb: &'static str,
    },
}

#[derive(Clone)]
pub(crate) struct Tls {
    pub(crate) config: Arc<rustls::ClientConfig>,
    pub(crate) name: ServerName<'static>,
    /// The digest of the further roots; of nothing where there are none.
    further_roots: [u8; 32],
}

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tls")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

/// How the simulator behaves.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct SimPlan {
    pub(crate) profile: SimProfile,
    pub(crate) seed: u64,
}

/// A key of a provider: what is sent, and what may be shown.
#[derive(Debug)]
pub(crate) struct KeyPlan {
    /// `None` where the provider asks for no key.
    pub(crate) sent: Option<SentKey>,
    /// The `key` label.
    pub(crate) label: String,
    /// Whether it is set aside; all workers share it, and the plans that have this key.
    pub(crate) aside: Arc<Aside>,
    /// What its provider says is left of its limits; shared too.
    pub(crate) quota: Arc<Quota>,
}

/// A key as a header has it; both are marked sensitive.
#[derive(Debug)]
pub(crate) struct SentKey {
    /// `Bearer ...`.
    pub(crate) bearer: HeaderValue,
    pub(crate) bare: HeaderValue,
}

/// A model of a provider.
#[derive(Debug)]
pub(crate) struct ModelPlan {
    pub(crate) name: Arc<str>,
    pub(crate) price: ModelPrice,
    /// A series a key.
    pub(crate) routes: Box<[Route]>,
}

/// Where the price of a model is.
#[derive(Debug)]
pub(crate) enum ModelPrice {
    /// At this place of its provider in the [`PriceBook`](super::super::price_book::PriceBook).
    Listed(usize),
    /// Here; `None` where it is not known. Of models that the plan does not name.
    Own(Option<Arc<PriceList>>),
}

/// What the configuration says of the price of a model that the plan names.
#[derive(Debug)]
pub(crate) struct ListedPrice {
    pub(crate) model: Arc<str>,
    pub(crate) explicit: Option<Arc<PriceList>>,
}

/// A provider.
#[derive(Debug)]
pub(crate) struct ProviderPlan {
    pub(crate) id: Arc<str>,
    pub(crate) series: ProviderId,
    pub(crate) kind: Kind,
    pub(crate) dialect: &'static Dialect,
    pub(crate) keys: Box<[KeyPlan]>,
    pub(crate) default_model: Option<Box<str>>,
    /// The models that are known by name: those listed and the default.
    pub(crate) models: HashMap<Box<str>, Arc<ModelPlan>>,
    /// Whether it takes models that are not among `models`.
    pub(crate) takes_any: bool,
    /// What the price table calls it.
    pub(crate) price_provider: Box<str>,
    /// What the configuration says of the price of each of `models`, by [`ModelPrice::Listed`].
    pub(crate) listed_prices: Box<[ListedPrice]>,
    /// What it says of the price of all others.
    pub(crate) prices: Option<Arc<PriceList>>,
    /// The series of models that no answer has confirmed yet.
    pub(crate) unconfirmed: Box<[Route]>,
    pub(crate) timeouts: Timeouts,
    /// Of each key.
    pub(crate) limits: coo_llm_config::Limits,
    /// Until when a worker leaves it alone, by the plan's clock; 0 where none does. The
    /// last word of any worker, for the control plane alone.
    pub(crate) down_until_ms: Arc<AtomicU64>,
    /// The series of a retry here, by the trouble's number.
    pub(crate) retries: [EventId; Trouble::ALL.len()],
    /// The series of a fallback from here, in the order of the plan's fallbacks.
    pub(crate) fallbacks: Box<[EventId]>,
}

/// What of a provider can fail to be made.
#[derive(Debug)]
pub(super) struct Parts {
    kind: Kind,
    keys: Box<[KeyPlan]>,
}

impl Parts {
    pub(super) fn new(provider: &Provider) -> Result<Self, PlanError> {
        let kind = match provider.kind {
            ProviderType::Simulator => Kind::Simulator(sim_plan(provider)),
            _ => Kind::Http(Box::new(Target::new(provider)?)),
        };
        let mut keys: Vec<_> = provider
            .api_keys
            .iter()
            .map(|key| KeyPlan::new(&provider.id, key))
            .collect::<Option<_>>()
            .ok_or_else(|| PlanError::Key {
                provider: provider.id.clone(),
            })?;
        if keys.is_empty() {
            keys.push(KeyPlan::keyless(&provider.id));
        }
        Ok(Self {
            kind,
            keys: keys.into(),
        })
    }
}

impl ProviderPlan {
    pub(super) fn new(provider: &Provider, parts: Parts, catalog: &Catalog) -> Self {
        let Parts { kind, keys } = parts;
        let prices = provider.pricing.clone().map(Arc::new);
        let mut listed_prices = Vec::new();
        let mut plan = |name: &str, own: Option<Arc<PriceList>>| {
            let routes = routes(catalog, &provider.id, name, &keys);
            let name: Arc<str> = name.into();
            let price = ModelPrice::Listed(listed_prices.len());
            listed_prices.push(ListedPrice {
                model: Arc::clone(&name),
                explicit: own.or_else(|| prices.clone()),
            });
            Arc::new(ModelPlan {
                name,
                price,
                routes,
            })
        };
        let mut models = HashMap::new();
        for model in &provider.models {
            let own = model.pricing.clone().map(Arc::new);
            models.insert(model.id.as_str().into(), plan(&model.id, own));
        }
        if let Some(name) = provider.model.as_deref() {
            models
                .entry(name.into())
                .or_insert_with(|| plan(name, None));
        }
        let takes_any = provider.models.is_empty();
        let unconfirmed = if takes_any {
            routes(catalog, &provider.id, OTHER, &keys)
        } else {
            Box::default()
        };
        Self {
            id: provider.id.as_str().into(),
            series: catalog.provider(&provider.id),
            kind,
            dialect: Dialect::of(provider.kind),
            keys,
            default_model: provider.model.as_deref().map(Into::into),
            models,
            takes_any,
            price_provider: provider.price_provider().into(),
            listed_prices: listed_prices.into(),
            prices,
            unconfirmed,
            timeouts: provider.timeouts,
            limits: provider.limits,
            down_until_ms: Arc::default(),
            retries: Trouble::ALL
                .map(|why| catalog.event(Family::Retries, &[&provider.id, why.as_str()])),
            fallbacks: Box::default(),
        }
    }

    /// Whether it is reached as the other one is.
    pub(super) fn is_at(&self, other: &Self) -> bool {
        match (&self.kind, &other.kind) {
            (Kind::Http(here), Kind::Http(there)) => here.is_same(there),
            (Kind::Simulator(this), Kind::Simulator(that)) => this == that,
            _ => false,
        }
    }

    /// Takes over what is known of it and its keys.
    pub(super) fn takes_over(&mut self, known: &Self) {
        self.down_until_ms = Arc::clone(&known.down_until_ms);
        for key in &mut self.keys {
            if let Some(known) = known.keys.iter().find(|known| known.is_same(key)) {
                key.aside = Arc::clone(&known.aside);
                key.quota = Arc::clone(&known.quota);
            }
        }
    }

    /// Makes the series of fallbacks from here to these providers.
    pub(super) fn falls_back<'a>(&mut self, to: impl Iterator<Item = &'a str>, catalog: &Catalog) {
        let event = |to| catalog.event(Family::Fallbacks, &[&self.id, to]);
        self.fallbacks = to.map(event).collect();
    }

    /// The model that serves a request for `name` which another provider could not serve:
    /// the same where it lists it or takes any, else its default.
    pub(crate) fn instead_of<'a>(&'a self, name: &'a str) -> Option<&'a str> {
        if self.takes_any || self.models.contains_key(name) {
            return Some(name);
        }
        self.default_model.as_deref()
    }

    /// The plan of a model that a provider without a list was asked for.
    ///
    /// Until an answer confirms the name it counts as `other`: a client that makes up
    /// names makes no series.
    pub(crate) fn unconfirmed(&self, name: &str, price: Option<Arc<PriceList>>) -> ModelPlan {
        ModelPlan {
            name: name.into(),
            price: ModelPrice::Own(price),
            routes: self.unconfirmed.clone(),
        }
    }

    /// The same after a provider has answered for that name.
    pub(crate) fn confirmed(
        &self,
        name: &str,
        price: Option<Arc<PriceList>>,
        catalog: &Catalog,
    ) -> ModelPlan {
        let routes = routes(catalog, &self.id, name, &self.keys);
        ModelPlan {
            name: name.into(),
            price: ModelPrice::Own(price),
            routes,
        }
    }
}

fn routes(catalog: &Catalog, provider: &str, model: &str, keys: &[KeyPlan]) -> Box<[Route]> {
    keys.iter()
        .map(|key| catalog.route(provider, model, &key.label))
        .collect()
}

impl KeyPlan {
    /// Whether it is the same key.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        let bare = |key: &Self| key.sent.as_ref().map(|sent| sent.bare.clone());
        self.label == other.label && bare(self) == bare(other)
    }

    /// For a provider that asks for no key: labelled as the empty key would be, since
    /// `none` means that no provider was chosen.
    fn keyless(provider: &str) -> Self {
        let label = format!("{provider}-{}", Secret::new("").digest().short_hex());
        Self {
            sent: None,
            label,
            aside: Arc::default(),
            quota: Arc::default(),
        }
    }

    fn new(provider: &str, key: &Secret) -> Option<Self> {
        let mut sent = SentKey {
            bearer: HeaderValue::try_from(format!("Bearer {}", key.expose())).ok()?,
            bare: HeaderValue::try_from(key.expose()).ok()?,
        };
        sent.bearer.set_sensitive(true);
        sent.bare.set_sensitive(true);
        let label = format!("{provider}-{}", key.digest().short_hex());
        Some(Self {
            sent: Some(sent),
            label,
            aside: Arc::default(),
            quota: Arc::default(),
        })
    }
}

impl Target {
    /// Whether a connection to one is as good as one to the other.
    fn is_same(&self, other: &Self) -> bool {
        let names = |target: &Self| target.tls.as_ref().map(|tls| tls.further_roots);
        (&self.host, self.port, names(self)) == (&other.host, other.port, names(other))
    }

    /// The path here of the service at that place of the dialect, with the request's
    /// query.
    pub(crate) fn uri(&self, place: usize, model: &str, query: Option<&str>) -> Uri {
        let (path, query) = match &self.ways[place] {
            Way::Fixed(uri) => match query {
                None => return uri.clone(),
                Some(query) => (Cow::Borrowed(uri.path()), query.to_owned()),
            },
            Way::OfModel { before, verb } => {
                let path = format!("{before}/{}{verb}", Segment(model));
                (Cow::Owned(path), without_key(query.unwrap_or_default()))
            }
        };
        let uri = if query.is_empty() {
            path.parse()
        } else {
            format!("{path}?{query}").parse()
        };
        uri.expect("a path and a query of valid URIs are one")
    }

    fn new(provider: &Provider) -> Result<Self, PlanError> {
        let bad = |reason: &str| PlanError::BaseUrl {
            provider: provider.id.clone(),
            reason: reason.to_owned(),
        };
        let url = provider
            .base_url
            .as_deref()
            .ok_or_else(|| bad("is missing"))?;
        let uri: Uri = url.parse().map_err(|_| bad("is not a URL"))?;
        let authority = uri.authority().ok_or_else(|| bad("has no host"))?;
        if authority.as_str().contains('@') {
            return Err(bad("has a user in it; use api_keys"));
        }
        // An IPv6 address stands in brackets in a URL and without them elsewhere.
        let host = authority.host().trim_matches(['[', ']']).to_owned();
        let is_https = uri.scheme_str() == Some("https");
        let tls = if is_https {
            let trust = crate::tls::client_config(provider.ca_file.as_deref()).map_err(
                |(path, reason)| PlanError::CaFile {
                    provider: provider.id.clone(),
                    path,
                    reason,
                },
            )?;
            let name = ServerName::try_from(host.clone()).map_err(|_| bad("has no host name"))?;
            Some(Tls {
                config: trust.config,
                name,
                further_roots: trust.further_roots,
            })
        } else {
            None
        };
        Ok(Self {
            port: authority
                .port_u16()
                .unwrap_or(if is_https { 443 } else { 80 }),
            authority: HeaderValue::try_from(authority.as_str()).map_err(|_| bad("has no host"))?,
            ways: Dialect::of(provider.kind)
                .services()
                .iter()
                .map(|service| {
                    let path = (service.path)(uri.path().trim_end_matches('/'));
                    match service.verb {
                        None => Way::Fixed(path.parse().expect("two paths of valid URIs are one")),
                        Some(verb) => Way::OfModel { before: path, verb },
                    }
                })
                .collect(),
            host,
            tls,
        })
    }
}

/// A query without `key`: that is where Google's clients may put the client's key, which
/// is none of the provider's business.
fn without_key(query: &str) -> String {
    query
        .split('&')
        .filter(|pair| *pair != "key" && !pair.starts_with("key="))
        .collect::<Vec<_>>()
        .join("&")
}

/// A model's name as one segment of a path. Its `/` are encoded, so that no name leads to
/// another path.
struct Segment<'a>(&'a str);

impl std::fmt::Display for Segment<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for byte in self.0.bytes() {
            match byte {
                b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                    write!(f, "{}", char::from(byte))?;
                }
                _ => write!(f, "%{byte:02X}")?,
            }
        }
        Ok(())
    }
}

fn sim_plan(provider: &Provider) -> SimPlan {
    let simulator = &provider.simulator;
    let profile = SimProfile {
        latency_median: simulator.latency_median,
        latency_sigma: simulator.latency_sigma,
        token_gap_median: simulator.chunk_interval,
        completion_tokens_median: simulator.completion_tokens as f64,
        // Far enough out that the distribution is hardly cut.
        completion_tokens_max: u32::try_from(simulator.completion_tokens.saturating_mul(8))
            .unwrap_or(u32::MAX)
            .max(1),
        error_rate: simulator.error_rate,
        ..SimProfile::default()
    };
    SimPlan {
        profile,
        seed: simulator.seed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use coo_llm_core::record::Endpoint;

    const CONFIG: &str = r#"
llm_providers:
  - { id: openai, type: openai, api_keys: [k1] }
  - { id: claude, type: anthropic, api_keys: [k2] }
  - { id: versioned, type: anthropic, api_keys: [k2], base_url: "http://127.0.0.1:1/x/v1" }
  - { id: gemini, type: gemini, api_keys: [k3] }
  - { id: native, type: gemini, api_keys: [k3], base_url: "http://127.0.0.1:1/v1beta" }
api_keys: [{ id: c, key: key-of-c }]
"#;

    #[test]
    fn each_service_has_its_path() {
        let config = coo_llm_config::parse(CONFIG, &|_| None).expect("a sound configuration");
        let uri = |id: &str, endpoint, query| {
            let provider = config.providers.iter().find(|provider| provider.id == id);
            let target = Target::new(provider.expect("it is there")).expect("a sound URL");
            let dialect = Dialect::of(provider.expect("it is there").kind);
            let place = dialect.place(endpoint).expect("it is served");
            target.uri(place, "a/../b:1", query).to_string()
        };
        for (id, endpoint, query, expected) in [
            ("openai", Endpoint::Responses, None, "/v1/responses"),
            (
                "openai",
                Endpoint::ChatCompletions,
                Some("a=b&key=k"),
                "/v1/chat/completions?a=b&key=k",
            ),
            (
                "claude",
                Endpoint::Messages,
                Some("beta=true"),
                "/v1/messages?beta=true",
            ),
            ("claude", Endpoint::ChatCompletions, None, "/v1/messages"),
            (
                "claude",
                Endpoint::CountTokens,
                None,
                "/v1/messages/count_tokens",
            ),
            ("versioned", Endpoint::Messages, None, "/x/v1/messages"),
            (
                "gemini",
                Endpoint::ChatCompletions,
                None,
                "/v1beta/openai/chat/completions",
            ),
            (
                "gemini",
                Endpoint::StreamGenerateContent,
                Some("alt=sse&key=client"),
                "/v1beta/models/a%2F..%2Fb%3A1:streamGenerateContent?alt=sse",
            ),
            (
                "native",
                Endpoint::GenerateContent,
                Some("key=client"),
                "/v1beta/models/a%2F..%2Fb%3A1:generateContent",
            ),
        ] {
            assert_eq!(uri(id, endpoint, query), expected, "{id}");
        }
    }
}
