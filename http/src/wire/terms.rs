//! What an answer says of how it is billed, beside its counts.

use coo_llm_core::price::{Bill, ServiceTier};
use coo_llm_core::record::Tokens;

/// What an answer said of how it is billed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Terms {
    /// Of the tokens that were written to the provider's cache, those that it keeps for an hour.
    pub cache_write_1h: u64,
    /// The tier that was given.
    pub tier: ToldTier,
}

/// A service tier as an answer has it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ToldTier {
    /// Nothing was said, which is the standard tier at every provider that has more.
    #[default]
    Untold,
    /// One whose prices can be known.
    Told(ServiceTier),
    /// A word that is none of those: capacity that was bought ahead, or something new.
    Unknown,
}

impl ToldTier {
    /// Reads the JSON text of OpenAI's and Anthropic's `service_tier` and of Gemini's
    /// `serviceTier`. Groq calls the standard tier `on_demand`. `auto` is what was asked
    /// for: the first events of a response have it, before a tier is given.
    pub(super) fn read(json: &[u8]) -> Self {
        match json {
            b"null" => Self::Untold,
            [b'"', word @ .., b'"'] => {
                std::str::from_utf8(word).map_or(Self::Unknown, Self::of_word)
            }
            _ => Self::Unknown,
        }
    }

    /// The same of its word.
    pub(super) fn of_word(word: &str) -> Self {
        match word {
            "auto" | "unspecified" | "" => Self::Untold,
            "on_demand" => Self::Told(ServiceTier::Standard),
            word => ServiceTier::parse(word).map_or(Self::Unknown, Self::Told),
        }
    }

    /// Reads the JSON text of Vertex's `trafficType`.
    pub(super) fn read_traffic(json: &[u8]) -> Self {
        match json {
            b"null" | b"\"TRAFFIC_TYPE_UNSPECIFIED\"" => Self::Untold,
            b"\"ON_DEMAND\"" => Self::Told(ServiceTier::Standard),
            b"\"ON_DEMAND_FLEX\"" => Self::Told(ServiceTier::Flex),
            b"\"ON_DEMAND_PRIORITY\"" => Self::Told(ServiceTier::Priority),
            _ => Self::Unknown,
        }
    }

    /// This, or what was said before where this is silence.
    pub(super) fn or(self, before: Self) -> Self {
        match self {
            Self::Untold => before,
            told => told,
        }
    }
}

impl Terms {
    /// What is billed for so many tokens; `None` where the tier has no price that could be known.
    #[must_use]
    pub fn bill(self, tokens: Tokens) -> Option<Bill> {
        let tier = match self.tier {
            ToldTier::Untold => ServiceTier::Standard,
            ToldTier::Told(tier) => tier,
            ToldTier::Unknown => return None,
        };
        Some(Bill {
            tokens,
            cache_write_1h: self.cache_write_1h,
            tier,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_every_dialect_are_read() {
        use ServiceTier::{Batch, Flex, Priority, Standard};
        for (json, tier) in [
            ("null", ToldTier::Untold),
            (r#""auto""#, ToldTier::Untold),
            (r#""default""#, ToldTier::Told(Standard)),
            (r#""standard""#, ToldTier::Told(Standard)),
            (r#""on_demand""#, ToldTier::Told(Standard)),
            (r#""flex""#, ToldTier::Told(Flex)),
            (r#""priority""#, ToldTier::Told(Priority)),
            (r#""batch""#, ToldTier::Told(Batch)),
            (r#""scale""#, ToldTier::Unknown),
            ("\"", ToldTier::Unknown),
            ("1", ToldTier::Unknown),
            ("{}", ToldTier::Unknown),
        ] {
            assert_eq!(ToldTier::read(json.as_bytes()), tier, "{json}");
        }
        for (json, tier) in [
            (r#""ON_DEMAND""#, ToldTier::Told(Standard)),
            (r#""ON_DEMAND_FLEX""#, ToldTier::Told(Flex)),
            (r#""ON_DEMAND_PRIORITY""#, ToldTier::Told(Priority)),
            (r#""PROVISIONED_THROUGHPUT""#, ToldTier::Unknown),
        ] {
            assert_eq!(ToldTier::read_traffic(json.as_bytes()), tier, "{json}");
        }
    }

    #[test]
    fn silence_is_the_standard_tier_and_an_unknown_word_is_none() {
        let tokens = Tokens::default();
        let tier = |tier| {
            Terms {
                tier,
                ..Terms::default()
            }
            .bill(tokens)
            .map(|bill| bill.tier)
        };
        assert_eq!(tier(ToldTier::Untold), Some(ServiceTier::Standard));
        assert_eq!(
            tier(ToldTier::Told(ServiceTier::Flex)),
            Some(ServiceTier::Flex)
        );
        assert_eq!(tier(ToldTier::Unknown), None);
    }
}
