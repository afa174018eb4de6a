//! What the workers know of providers and keys, for the control plane to show.

use super::Plan;
use super::provider::Kind;
use rustls::pki_types::ServerName;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// How a provider is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProviderHealth {
    /// The provider.
    pub provider: Arc<str>,
    /// Whether it gets requests: no worker leaves it alone because it fails, and one of
    /// its keys at least is up.
    pub is_up: bool,
    /// Its keys.
    pub keys: Vec<KeyHealth>,
}

/// How a provider's key is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyHealth {
    /// Its public id.
    pub key: String,
    /// Whether it is used: it is not, for a while, after its provider refused it.
    pub is_up: bool,
    /// What its provider said last is left of its limits, by kind; nothing where it never
    /// said so.
    pub remaining: Vec<(&'static str, u64)>,
}

/// How a provider is connected to.
#[derive(Clone, Debug)]
pub(crate) struct Reach {
    /// What is trusted, and the name that its certificate must have; `None` without TLS.
    pub(crate) tls: Option<(Arc<rustls::ClientConfig>, ServerName<'static>)>,
    /// How long a worker waits for a connection.
    pub(crate) connect_time_max: Duration,
}

impl Plan {
    /// How each provider is connected to; `None` of one in this process.
    pub(crate) fn reaches(&self) -> Vec<Option<Reach>> {
        let reach = |provider: &super::ProviderPlan| match &provider.kind {
            Kind::Http(target) => Some(Reach {
                tls: target
                    .tls
                    .as_ref()
                    .map(|tls| (tls.config.clone(), tls.name.clone())),
                connect_time_max: provider.timeouts.connect,
            }),
            Kind::Simulator(_) => None,
        };
        self.providers.iter().map(reach).collect()
    }

    /// As if a provider had refused its key.
    #[cfg(test)]
    pub(crate) fn set_aside(&self, provider: usize, key: usize) {
        let now_ms = self.millis(Instant::now());
        let key = &self.providers[provider].keys[key];
        key.aside.refused(401, now_ms, &self.policy.key_cooldown);
    }

    /// How each provider and key is now.
    #[must_use]
    pub fn health(&self) -> Vec<ProviderHealth> {
        let now_ms = self.millis(Instant::now());
        self.providers
            .iter()
            .map(|provider| {
                let keys: Vec<_> = provider
                    .keys
                    .iter()
                    .map(|key| KeyHealth {
                        key: key.label.clone(),
                        is_up: key.aside.until(now_ms).is_none(),
                        remaining: key.quota.known(),
                    })
                    .collect();
                let is_alone = provider.down_until_ms.load(Ordering::Relaxed) > now_ms;
                ProviderHealth {
                    provider: Arc::clone(&provider.id),
                    is_up: !is_alone && keys.iter().any(|key| key.is_up),
                    keys,
                }
            })
            .collect()
    }
}
