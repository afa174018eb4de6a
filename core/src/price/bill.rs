//! What a request is billed for, and what each part of it costs.

use crate::record::Tokens;
use crate::units::NanoUsd;

/// Femto-USD in a nano-USD.
const FEMTO_PER_NANO: u128 = 1_000_000;

/// How a provider treats a request, which some sell at different prices.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum ServiceTier {
    /// As every request that asks for nothing else.
    #[default]
    Standard,
    /// Slower and cheaper.
    Flex,
    /// Faster and dearer.
    Priority,
    /// Answered within hours.
    Batch,
}

impl ServiceTier {
    /// Every tier, in the order of their numbers.
    pub const ALL: [Self; 4] = [Self::Standard, Self::Flex, Self::Priority, Self::Batch];

    /// Reads the word that an answer has for it (`service_tier`): OpenAI's `default`,
    /// `flex`, `priority`; Anthropic's `standard`, `priority`, `batch`.
    ///
    /// `None` for a word that is none of these: what it costs is then not known.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        match word {
            "default" | "standard" => Some(Self::Standard),
            "flex" => Some(Self::Flex),
            "priority" => Some(Self::Priority),
            "batch" => Some(Self::Batch),
            _ => None,
        }
    }
}

/// What a request is billed for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bill {
    /// The tokens.
    pub tokens: Tokens,
    /// Those of `tokens.cache_write` that the provider keeps for an hour.
    pub cache_write_1h: u64,
    /// The tier that the provider says it gave.
    pub tier: ServiceTier,
}

impl From<Tokens> for Bill {
    fn from(tokens: Tokens) -> Self {
        Self {
            tokens,
            ..Self::default()
        }
    }
}

impl Bill {
    /// Input tokens of every kind, which is what "above 200k tokens" is about; saturates.
    #[must_use]
    pub const fn whole_input(&self) -> u64 {
        let Tokens {
            input,
            cached_input,
            cache_write,
            audio_input,
            ..
        } = self.tokens;
        input
            .saturating_add(cached_input)
            .saturating_add(cache_write)
            .saturating_add(audio_input)
    }
}

/// What each kind of token of a request costs, in femto-USD (10^-15 USD), not rounded:
/// input, cached input, cache write, cache write for an hour, output, reasoning, audio
/// input, audio output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parts(pub [u128; 8]);

impl Parts {
    /// The sum in femto-USD; saturates.
    #[must_use]
    pub fn femto_usd(&self) -> u128 {
        // Each is below 2^128; eight of them could pass it only above 2^125.
        self.0
            .iter()
            .fold(0u128, |sum, part| sum.saturating_add(*part))
    }

    /// The cost of the request: the sum, rounded once, half up, to nano-USD; saturates
    /// at [`u64::MAX`].
    #[must_use]
    pub fn total(&self) -> NanoUsd {
        let nano = self.femto_usd().saturating_add(FEMTO_PER_NANO / 2) / FEMTO_PER_NANO;
        NanoUsd(u64::try_from(nano).unwrap_or(u64::MAX))
    }
}
