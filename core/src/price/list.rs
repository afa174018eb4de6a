//! The price list of a model: its prices by service tier and by length of the input.

use super::{Bill, Parts, Prices, ServiceTier};
use crate::units::NanoUsd;

/// Prices that hold for requests with more input than `above` tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Bracket {
    pub(super) above: u64,
    prices: Prices,
}

/// All that a provider asks for a model.
///
/// A request is billed by one bracket as a whole: the one with the highest bound that its
/// input, of all kinds together, is above.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PriceList {
    /// Of the standard tier, whatever the length.
    pub(super) base: Prices,
    /// Of the standard tier, by falling bound.
    pub(super) longer: Box<[Bracket]>,
    /// Of the other tiers that have prices, by falling bound; each ends with its base.
    pub(super) tiers: Box<[(ServiceTier, Box<[Bracket]>)]>,
}

impl From<Prices> for PriceList {
    fn from(base: Prices) -> Self {
        Self {
            base,
            longer: Box::default(),
            tiers: Box::default(),
        }
    }
}

impl PriceList {
    /// The same with prices for requests of the standard tier that have more than `above`
    /// input tokens, a pair a bound.
    #[must_use]
    pub fn with_longer(mut self, longer: impl IntoIterator<Item = (u64, Prices)>) -> Self {
        self.longer = brackets(longer);
        self
    }

    /// The same with prices for a tier: those for any length, and a pair a bound.
    #[must_use]
    pub fn with_tier(
        mut self,
        tier: ServiceTier,
        base: Prices,
        longer: impl IntoIterator<Item = (u64, Prices)>,
    ) -> Self {
        let mut set = brackets(longer).into_vec();
        set.push(Bracket {
            above: 0,
            prices: base,
        });
        let mut tiers = self.tiers.into_vec();
        tiers.push((tier, set.into()));
        self.tiers = tiers.into();
        self
    }

    /// The prices that a request is billed by; `None` where its tier has no prices here.
    ///
    /// # Cost
    /// Two comparisons for a request of the standard tier.
    #[must_use]
    pub fn prices(&self, bill: &Bill) -> Option<&Prices> {
        if bill.tier == ServiceTier::Standard {
            return Some(find(&self.longer, bill).unwrap_or(&self.base));
        }
        let (_, set) = self.tiers.iter().find(|(tier, _)| *tier == bill.tier)?;
        find(set, bill).or_else(|| set.last().map(|base| &base.prices))
    }

    /// What each kind of token costs; `None` where the tier has no prices here.
    #[must_use]
    pub fn parts(&self, bill: &Bill) -> Option<Parts> {
        Some(self.prices(bill)?.parts(bill))
    }

    /// The cost of a request, rounded once to nano-USD; `None` where the tier has no
    /// prices here.
    #[must_use]
    pub fn cost(&self, bill: &Bill) -> Option<NanoUsd> {
        Some(self.parts(bill)?.total())
    }
}

fn brackets(longer: impl IntoIterator<Item = (u64, Prices)>) -> Box<[Bracket]> {
    let mut brackets: Vec<_> = longer
        .into_iter()
        .map(|(above, prices)| Bracket { above, prices })
        .collect();
    brackets.sort_by_key(|bracket| std::cmp::Reverse(bracket.above));
    brackets.into()
}

pub(super) fn find<'b>(brackets: &'b [Bracket], bill: &Bill) -> Option<&'b Prices> {
    let first = brackets.first()?;
    // The sum is made only for models that have bounds.
    let input = bill.whole_input();
    if input > first.above {
        return Some(&first.prices);
    }
    let fits = |bracket: &&Bracket| input > bracket.above;
    brackets.iter().find(fits).map(|bracket| &bracket.prices)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::price::TokenPrice;
    use crate::record::Tokens;
    use proptest::prelude::*;

    fn flat(usd_per_million: u64) -> Prices {
        Prices {
            input: TokenPrice(usd_per_million * 1_000_000_000),
            output: TokenPrice(usd_per_million * 2_000_000_000),
            ..Prices::default()
        }
    }

    fn bill(input: u64, cached_input: u64, tier: ServiceTier) -> Bill {
        Bill {
            tokens: Tokens {
                input,
                cached_input,
                ..Tokens::default()
            },
            cache_write_1h: 0,
            tier,
        }
    }

    #[test]
    fn a_request_is_billed_by_the_bracket_of_its_whole_input() {
        let list = PriceList::from(flat(1)).with_longer([(200, flat(4)), (100, flat(2))]);
        let nano = |input, cached| {
            list.cost(&bill(input, cached, ServiceTier::Standard))
                .map(|cost| cost.0)
        };
        assert_eq!(nano(100, 0), Some(100 * 1_000));
        assert_eq!(nano(101, 0), Some(101 * 2_000));
        assert_eq!(nano(1, 100), Some(101 * 2_000), "cached input counts");
        assert_eq!(nano(200, 0), Some(200 * 2_000));
        assert_eq!(nano(201, 0), Some(201 * 4_000));
    }

    #[test]
    fn a_tier_has_prices_of_its_own_or_none() {
        let list = PriceList::from(flat(2))
            .with_longer([(100, flat(4))])
            .with_tier(ServiceTier::Flex, flat(1), [])
            .with_tier(ServiceTier::Priority, flat(6), [(100, flat(8))]);
        let nano = |input, tier| list.cost(&bill(input, 0, tier)).map(|cost| cost.0);
        assert_eq!(nano(101, ServiceTier::Flex), Some(101 * 1_000));
        assert_eq!(nano(0, ServiceTier::Flex), Some(0));
        assert_eq!(nano(100, ServiceTier::Priority), Some(100 * 6_000));
        assert_eq!(nano(101, ServiceTier::Priority), Some(101 * 8_000));
        assert_eq!(nano(1, ServiceTier::Batch), None);
    }

    #[test]
    fn a_write_for_an_hour_has_a_price_of_its_own() {
        let prices = Prices {
            cache_write: Some(TokenPrice(3_000_000)),
            cache_write_1h: Some(TokenPrice(5_000_000)),
            ..flat(1)
        };
        let mut bill = Bill {
            cache_write_1h: 4,
            ..Bill::from(Tokens {
                cache_write: 10,
                ..Tokens::default()
            })
        };
        assert_eq!(prices.parts(&bill).total().0, 6 * 3 + 4 * 5);
        // More of it than there are writes is no reason to bill more than there are.
        bill.cache_write_1h = 11;
        assert_eq!(prices.parts(&bill).total().0, 10 * 5);
        assert_eq!(prices.cost(&bill.tokens).0, 10 * 3);
    }

    fn prices() -> impl Strategy<Value = Prices> {
        let price = || (0..=50_000_000_000_000u64).prop_map(TokenPrice);
        let maybe = || prop::option::of(price());
        let kinds = (maybe(), maybe(), maybe(), maybe(), maybe(), maybe());
        (price(), price(), kinds).prop_map(|(input, output, kinds)| Prices {
            input,
            output,
            cached_input: kinds.0,
            cache_write: kinds.1,
            cache_write_1h: kinds.2,
            reasoning: kinds.3,
            audio_input: kinds.4,
            audio_output: kinds.5,
        })
    }

    fn any_bill() -> impl Strategy<Value = Bill> {
        let count = || 0..2_000_000u64;
        let input = (count(), count(), count(), count(), count());
        let output = (count(), count(), count());
        (input, output).prop_map(|(i, o)| Bill {
            tokens: Tokens {
                input: i.0,
                cached_input: i.1,
                cache_write: i.2,
                audio_input: i.3,
                output: o.0,
                reasoning: o.1,
                audio_output: o.2,
            },
            cache_write_1h: i.4.min(i.2),
            tier: ServiceTier::Standard,
        })
    }

    proptest! {
        /// The parts, each computed alone, are the whole: nothing is billed twice or not at all.
        #[test]
        fn the_sum_of_the_parts_is_the_total(prices in prices(), bill in any_bill()) {
            let t = bill.tokens;
            let hour = bill.cache_write_1h;
            let one = |tokens: Tokens, cache_write_1h| {
                prices.parts(&Bill { tokens, cache_write_1h, tier: bill.tier }).femto_usd()
            };
            let none = Tokens::default();
            let alone = [
                one(Tokens { input: t.input, ..none }, 0),
                one(Tokens { cached_input: t.cached_input, ..none }, 0),
                one(Tokens { cache_write: t.cache_write - hour, ..none }, 0),
                one(Tokens { cache_write: hour, ..none }, hour),
                one(Tokens { output: t.output, ..none }, 0),
                one(Tokens { reasoning: t.reasoning, ..none }, 0),
                one(Tokens { audio_input: t.audio_input, ..none }, 0),
                one(Tokens { audio_output: t.audio_output, ..none }, 0),
            ];
            let parts = prices.parts(&bill);
            prop_assert_eq!(parts.0, alone);
            let sum: u128 = alone.iter().sum();
            prop_assert_eq!(parts.femto_usd(), sum);
            // Rounded once: never more than half a nano-USD away.
            let total = u128::from(parts.total().0) * 1_000_000;
            prop_assert!(total.abs_diff(sum) <= 500_000);
        }
    }

    /// Ten million requests at a price of the market, added as the meter adds them.
    #[test]
    fn ten_million_requests_do_not_drift() {
        const REQUESTS: u64 = 10_000_000;
        let per_million = |text| TokenPrice::parse_usd_per_million(text).expect("a price");
        // A token costs 150 and 600 nano-USD here: no request is rounded.
        let whole = PriceList::from(Prices {
            input: per_million("0.15"),
            output: per_million("0.60"),
            ..Prices::default()
        });
        // And here 37.5 and 0.0375: nearly every request is rounded.
        let broken = PriceList::from(Prices {
            input: per_million("0.0375"),
            output: per_million("0.0000375"),
            ..Prices::default()
        });
        let (mut sum, mut nano, mut exact) = (0u64, 0u64, 0u128);
        let (mut inputs, mut outputs) = (0u64, 0u64);
        let mut bill = Bill::default();
        for n in 0..REQUESTS {
            bill.tokens.input = n % 8_191;
            bill.tokens.output = n % 509;
            inputs += bill.tokens.input;
            outputs += bill.tokens.output;
            sum += whole.cost(&bill).map_or(0, |cost| cost.0);
            let parts = broken.parts(&bill).expect("the standard tier has prices");
            exact += parts.femto_usd();
            nano += parts.total().0;
        }
        assert_eq!(sum, inputs * 150 + outputs * 600);
        assert_eq!(
            exact,
            u128::from(inputs) * 37_500_000 + u128::from(outputs) * 37_500
        );
        // Rounding a request moves it by half a nano-USD at most, so all of them by 5 milli-USD
        // of some 1,500 USD.
        let drift = (u128::from(nano) * 1_000_000).abs_diff(exact);
        assert!(drift <= u128::from(REQUESTS) * 500_000);
    }
}
