//! What the workers know of providers and keys, for the control plane to show.

use super::Plan;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

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

impl Plan {
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
