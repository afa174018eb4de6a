//! The plan: the configuration as the data plane uses it, resolved and unchanging.

mod health;
mod provider;
mod resolve;

pub(crate) use health::Reach;
pub use health::{KeyHealth, ProviderHealth};
pub(crate) use provider::{
    KeyPlan, Kind, ModelPlan, ModelPrice, ProviderPlan, SentKey, SimPlan, Target as HttpTarget,
};
pub(crate) use resolve::Choice;

use coo_llm_config::{
    AllowedProviders, Budget, BudgetAction, BudgetPeriod, Client, Config, Ingest, IngestRight,
    Policy,
};
use coo_llm_core::catalog::{ClientId, EventId, Family, NONE, Route};
use coo_llm_core::limiter::{Period, Terms};
use coo_llm_core::{Meter, UnixMillis};
use std::collections::HashMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Why a configuration that is valid as text cannot be used here.
#[non_exhaustive]
#[derive(Debug)]
pub enum PlanError {
    /// A `ca_file` cannot be read or holds no certificate.
    CaFile {
        /// The provider.
        provider: String,
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A `base_url` that is no URL with a host.
    BaseUrl {
        /// The provider.
        provider: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A provider's key cannot be a header's value.
    Key {
        /// The provider.
        provider: String,
    },
}

impl fmt::Display for PlanError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::CaFile {
                provider,
                path,
                reason,
            } => {
                write!(
                    f,
                    "llm_providers `{provider}`: ca_file {}: {reason}",
                    path.display()
                )
            }
            Self::BaseUrl { provider, reason } => {
                write!(f, "llm_providers `{provider}`: base_url: {reason}")
            }
            Self::Key { provider } => write!(
                f,
                "llm_providers `{provider}`: api_keys: a key has characters that no header can carry"
            ),
        }
    }
}

impl std::error::Error for PlanError {}

/// A client of the configuration.
#[derive(Debug)]
pub(crate) struct ClientPlan {
    pub(crate) id: Arc<str>,
    /// The first hex digits of the key's digest, for the log.
    pub(crate) key_hint: Arc<str>,
    pub(crate) series: ClientId,
    /// A flag a provider, in the plan's order.
    pub(crate) allowed: Box<[bool]>,
    /// Whose records it may send.
    pub(crate) ingest: IngestRight,
    pub(crate) limits: coo_llm_config::Limits,
    pub(crate) budget: Option<Terms>,
}

/// Whose a key is, by the place in the plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Holder {
    pub(crate) client: usize,
    /// The first moment at which it is so no more; [`Holder::FOREVER`] for a key without an end.
    pub(crate) until: UnixMillis,
}

impl Holder {
    pub(crate) const FOREVER: UnixMillis = UnixMillis(u64::MAX);

    /// Whether the key still works; `now` is asked for where it has an end.
    pub(crate) fn holds(self, now: impl FnOnce() -> UnixMillis) -> bool {
        self.until == Self::FOREVER || now() < self.until
    }
}

/// A provider and its model, by alias.
type Aliases = HashMap<Box<str>, (usize, Box<str>)>;

/// The series of what concerns no provider and no client.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NoOne {
    pub(crate) route: Route,
    pub(crate) client: ClientId,
    pub(crate) key_accepted: EventId,
    pub(crate) key_refused: EventId,
}

/// The configuration as workers use it. Its series are interned when it is made.
#[derive(Debug)]
pub struct Plan {
    /// How many plans came before it in this process.
    pub(crate) number: u64,
    pub(crate) meter: Meter,
    /// Shared by plans that differ in their clients alone.
    pub(crate) providers: Arc<[ProviderPlan]>,
    pub(crate) clients: Vec<ClientPlan>,
    by_key: HashMap<[u8; 32], Holder>,
    pub(crate) aliases: Aliases,
    pub(crate) no_one: NoOne,
    pub(crate) policy: Policy,
    /// Where requests go whose provider cannot serve them, in this order.
    pub(crate) fallback: Box<[usize]>,
    /// When the plan's clock was 0: the same moment for all plans of a process.
    pub(crate) epoch: Instant,
    pub(crate) body_bytes_max: usize,
    pub(crate) header_timeout: Duration,
    pub(crate) idle_timeout: Duration,
    pub(crate) drain_timeout: Duration,
    pub(crate) connections_max: u32,
    pub(crate) ingest: Ingest,
}

impl Plan {
    /// Makes the plan of a configuration, and its series in `meter`. It may read files.
    ///
    /// # Errors
    /// [`PlanError`] for what only shows when it is used: files, URLs, header values. No
    /// series were made then.
    pub fn new(config: &Config, meter: &Meter) -> Result<Self, PlanError> {
        let parts = provider_parts(config)?;
        Ok(Self::of_parts(config, parts, meter))
    }

    /// Makes the plan that follows this one: with the same clock, and with what this one
    /// knows of providers and keys that are in both. Series of what is in neither stay.
    ///
    /// # Errors
    /// As [`Plan::new`].
    pub fn succeeded_by(&self, config: &Config) -> Result<Self, PlanError> {
        let parts = provider_parts(config)?;
        let mut plan = Self::of_parts(config, parts, &self.meter);
        plan.number = self.number + 1;
        plan.epoch = self.epoch;
        // Nobody else has it yet.
        for provider in Arc::get_mut(&mut plan.providers).into_iter().flatten() {
            if let Some(known) = self.same_place(provider) {
                provider.takes_over(&self.providers[known]);
            }
        }
        Ok(plan)
    }

    /// The plan that follows this one where nothing but the clients is another. Addresses and
    /// prices that were made for this plan fit it.
    ///
    /// # Cost
    /// One pass over the clients; no file is read.
    #[must_use]
    pub fn with_clients(&self, clients: &[Client]) -> Self {
        let (clients, by_key) = client_plans(clients, &self.providers, &self.meter);
        Self {
            number: self.number + 1,
            meter: self.meter.clone(),
            providers: Arc::clone(&self.providers),
            clients,
            by_key,
            aliases: self.aliases.clone(),
            policy: self.policy.clone(),
            fallback: self.fallback.clone(),
            ..*self
        }
    }

    /// Whether [`Plan::new`] would make a plan of a configuration, without making it.
    ///
    /// # Errors
    /// As [`Plan::new`].
    pub fn check(config: &Config) -> Result<(), PlanError> {
        provider_parts(config).map(drop)
    }

    fn of_parts(config: &Config, parts: Vec<provider::Parts>, meter: &Meter) -> Self {
        let catalog = meter.catalog();
        let auth = |result| catalog.event(Family::AuthAttempts, &["client_key", result]);
        let no_one = NoOne {
            route: catalog.route(NONE, NONE, NONE),
            client: catalog.client(NONE),
            key_accepted: auth("success"),
            key_refused: auth("invalid"),
        };
        let mut providers = config
            .providers
            .iter()
            .zip(parts)
            .map(|(provider, parts)| ProviderPlan::new(provider, parts, catalog))
            .collect::<Vec<_>>();
        let fallback = fallback(config);
        for provider in &mut providers {
            let to = fallback.iter().map(|at| &*config.providers[*at].id);
            provider.falls_back(to, catalog);
        }
        let place = |id: &str| providers.iter().position(|provider| *provider.id == *id);
        let (clients, by_key) = client_plans(&config.clients, &providers, meter);
        let mut aliases = HashMap::new();
        for alias in &config.aliases {
            // Its provider exists: the configuration was checked.
            if let Some(at) = place(&alias.provider) {
                aliases.insert(
                    alias.name.as_str().into(),
                    (at, alias.model.as_str().into()),
                );
            }
        }
        let limits = &config.server.limits;
        Self {
            number: 0,
            meter: meter.clone(),
            providers: providers.into(),
            clients,
            by_key,
            aliases,
            no_one,
            policy: config.policy.clone(),
            fallback,
            epoch: Instant::now(),
            body_bytes_max: usize::try_from(limits.max_body_bytes).unwrap_or(usize::MAX),
            header_timeout: limits.header_timeout,
            idle_timeout: limits.idle_timeout,
            drain_timeout: limits.drain_timeout,
            connections_max: limits.max_connections,
            ingest: config.ingest,
        }
    }

    /// The place of the provider of the same id, if it is at the same place: what is known
    /// of connections, failures and keys holds for both then.
    pub(crate) fn same_place(&self, provider: &ProviderPlan) -> Option<usize> {
        let is_same = |known: &ProviderPlan| known.id == provider.id && known.is_at(provider);
        self.providers.iter().position(is_same)
    }

    /// The plan's clock, in milliseconds.
    pub(crate) fn millis(&self, at: Instant) -> u64 {
        let passed = at.saturating_duration_since(self.epoch).as_millis();
        u64::try_from(passed).unwrap_or(u64::MAX)
    }

    /// Whose the key is that has this SHA-256; whether it [`holds`](Holder::holds) is not
    /// looked at.
    ///
    /// A digest and not the key is looked up, so the time it takes says nothing of keys.
    pub(crate) fn client(&self, digest: &[u8; 32]) -> Option<Holder> {
        self.by_key.get(digest).copied()
    }

    /// The names and ports that must be resolved, a place in the plan each.
    #[must_use]
    pub fn hosts(&self) -> Vec<(usize, String, u16)> {
        self.providers
            .iter()
            .enumerate()
            .filter_map(|(at, provider)| match &provider.kind {
                Kind::Http(target) => Some((at, target.host.clone(), target.port)),
                Kind::Simulator(_) => None,
            })
            .collect()
    }
}

/// The clients, and whose each key is. A client's own key goes before its old ones.
fn client_plans(
    clients: &[Client],
    providers: &[ProviderPlan],
    meter: &Meter,
) -> (Vec<ClientPlan>, HashMap<[u8; 32], Holder>) {
    let catalog = meter.catalog();
    let any: Box<[bool]> = vec![true; providers.len()].into();
    let plans = clients.iter().map(|client| ClientPlan {
        id: client.id.as_str().into(),
        key_hint: client.key.short_hex().into(),
        series: catalog.client(&client.id),
        allowed: match &client.allowed_providers {
            AllowedProviders::Any => any.clone(),
            only @ AllowedProviders::Only(_) => providers
                .iter()
                .map(|provider| only.allows(&provider.id))
                .collect(),
        },
        ingest: client.ingest,
        limits: client.limits,
        budget: client.budget.map(terms),
    });
    let plans = plans.collect();
    let mut by_key = HashMap::with_capacity(clients.len());
    for (at, client) in clients.iter().enumerate() {
        for old in &client.old_keys {
            let holder = Holder {
                client: at,
                until: old.until,
            };
            by_key.insert(old.key.0, holder);
        }
    }
    for (at, client) in clients.iter().enumerate() {
        let holder = Holder {
            client: at,
            until: Holder::FOREVER,
        };
        by_key.insert(client.key.0, holder);
    }
    (plans, by_key)
}

/// What can fail of all providers, before anything is made of any.
fn provider_parts(config: &Config) -> Result<Vec<provider::Parts>, PlanError> {
    config.providers.iter().map(provider::Parts::new).collect()
}

/// The places of the providers to fall back to, each once.
fn fallback(config: &Config) -> Box<[usize]> {
    let fallback = &config.policy.fallback;
    let mut places = Vec::new();
    for id in fallback.providers.iter().filter(|_| fallback.enabled) {
        let at = config.providers.iter().position(|known| known.id == *id);
        // It exists: the configuration was checked.
        places.extend(at.filter(|at| !places.contains(at)));
    }
    places.into()
}

fn terms(budget: Budget) -> Terms {
    Terms {
        usd: budget.usd,
        per: match budget.per {
            BudgetPeriod::Day => Period::Day,
            BudgetPeriod::Month => Period::Month,
        },
        blocks: budget.action == BudgetAction::Block,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use coo_llm_config::{OldKey, Secret};

    const CONFIG: &str = "
llm_providers:
  - { id: one, type: custom, base_url: \"http://one.test/v1\", api_keys: [k1] }
api_keys:
  - { id: a, key: a-key }
  - { id: b, key: b-key, allowed_providers: [one] }
";

    fn digest(key: &str) -> [u8; 32] {
        Secret::new(key).digest().0
    }

    #[test]
    fn an_old_key_holds_up_to_its_end_and_a_present_one_for_ever() {
        let mut config = coo_llm_config::parse(CONFIG, &|_| None).expect("sound");
        let old = |key: &str, until| OldKey {
            key: Secret::new(key).digest(),
            until: UnixMillis(until),
        };
        config.clients[1].old_keys = vec![old("b-old", 1000), old("b-key", 5)];
        let meter = Meter::new(100);
        let plan = Plan::new(&config, &meter).expect("a plan");
        let holder = plan.client(&digest("b-old")).expect("it still works");
        assert_eq!(holder.client, 1);
        for (now, holds) in [(0, true), (999, true), (1000, false), (u64::MAX, false)] {
            assert_eq!(holder.holds(|| UnixMillis(now)), holds, "at {now}");
        }
        // A key that came back is not an old one, and no clock is read for it.
        let holder = plan.client(&digest("b-key")).expect("it works");
        assert!(holder.holds(|| unreachable!("it has no end")));
        assert_eq!(plan.client(&digest("c-key")), None);
    }

    #[test]
    fn a_plan_with_other_clients_shares_the_providers() {
        let config = coo_llm_config::parse(CONFIG, &|_| None).expect("sound");
        let meter = Meter::new(100);
        let plan = Plan::new(&config, &meter).expect("a plan");
        let next = plan.with_clients(&config.clients[1..]);
        assert!(Arc::ptr_eq(&plan.providers, &next.providers));
        assert_eq!((next.number, next.epoch), (plan.number + 1, plan.epoch));
        assert_eq!(next.client(&digest("a-key")), None);
        let holder = next.client(&digest("b-key")).expect("it works");
        assert_eq!(&*next.clients[holder.client].id, "b");
        assert_eq!(*next.clients[holder.client].allowed, [true]);
    }
}
