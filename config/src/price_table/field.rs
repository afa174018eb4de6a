//! The name of a price in an entry: what it prices, from what length on, in which tier.

use coo_llm_core::price::ServiceTier;

/// What a price is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Priced {
    Input,
    Output,
    CachedInput,
    CacheWrite,
    CacheWrite1h,
    Reasoning,
    AudioInput,
    AudioOutput,
}

/// The names without bound and tier; one that begins as another does stands before it.
const NAMES: [(&str, Priced); 8] = [
    ("input_cost_per_token", Priced::Input),
    ("output_cost_per_token", Priced::Output),
    ("cache_read_input_token_cost", Priced::CachedInput),
    (
        "cache_creation_input_token_cost_above_1hr",
        Priced::CacheWrite1h,
    ),
    ("cache_creation_input_token_cost", Priced::CacheWrite),
    ("output_cost_per_reasoning_token", Priced::Reasoning),
    ("input_cost_per_audio_token", Priced::AudioInput),
    ("output_cost_per_audio_token", Priced::AudioOutput),
];

/// A price's name, taken apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct PriceField {
    pub(super) priced: Priced,
    /// It holds for requests with more input than so many tokens.
    pub(super) above: Option<u64>,
    pub(super) tier: ServiceTier,
}

impl PriceField {
    /// `None` for the name of anything else, such as a price a second.
    pub(super) fn parse(name: &str) -> Option<Self> {
        let (mut rest, priced) = NAMES
            .iter()
            .find_map(|(begin, priced)| Some((name.strip_prefix(begin)?, *priced)))?;
        let (mut above, mut tier) = (None, ServiceTier::Standard);
        // Both orders are met: `_above_200k_tokens_priority`, `_priority_above_200k_tokens`.
        while !rest.is_empty() {
            if let Some((bound, behind)) = read_bound(rest) {
                if above.replace(bound).is_some() {
                    return None;
                }
                rest = behind;
            } else if let (Some((word, behind)), ServiceTier::Standard) = (read_tier(rest), tier) {
                (tier, rest) = (word, behind);
            } else {
                return None;
            }
        }
        Some(Self {
            priced,
            above,
            tier,
        })
    }
}

fn read_bound(text: &str) -> Option<(u64, &str)> {
    let (number, behind) = text.strip_prefix("_above_")?.split_once("_tokens")?;
    let (digits, unit) = match number.strip_suffix('k') {
        Some(thousands) => (thousands, 1_000),
        None => (number, 1),
    };
    Some((digits.parse::<u64>().ok()?.checked_mul(unit)?, behind))
}

fn read_tier(text: &str) -> Option<(ServiceTier, &str)> {
    let words = [
        ("_flex", ServiceTier::Flex),
        ("_priority", ServiceTier::Priority),
        ("_batches", ServiceTier::Batch),
    ];
    words
        .iter()
        .find_map(|(word, tier)| Some((*tier, text.strip_prefix(word)?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_taken_apart() {
        let field =
            |name| PriceField::parse(name).map(|field| (field.priced, field.above, field.tier));
        use ServiceTier::{Batch, Flex, Priority, Standard};
        for (name, want) in [
            (
                "input_cost_per_token",
                Some((Priced::Input, None, Standard)),
            ),
            (
                "output_cost_per_token_batches",
                Some((Priced::Output, None, Batch)),
            ),
            (
                "cache_creation_input_token_cost_above_1hr_above_200k_tokens",
                Some((Priced::CacheWrite1h, Some(200_000), Standard)),
            ),
            (
                "cache_creation_input_token_cost_above_272k_tokens_flex",
                Some((Priced::CacheWrite, Some(272_000), Flex)),
            ),
            (
                "input_cost_per_token_priority_above_512_tokens",
                Some((Priced::Input, Some(512), Priority)),
            ),
            ("input_cost_per_token_cache_hit", None),
            ("input_cost_per_token_ultrafast", None),
            ("input_cost_per_token_flex_priority", None),
            ("input_cost_per_token_above_1k_tokens_above_2k_tokens", None),
            ("input_cost_per_token_above_many_tokens", None),
            ("output_cost_per_second", None),
            ("max_tokens", None),
        ] {
            assert_eq!(field(name), want, "{name}");
        }
    }
}
