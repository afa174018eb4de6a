//! What many requests cost of which only the sums are known, where that can be told.

use super::{Bill, PriceList};
use crate::record::Tokens;
use crate::units::NanoUsd;
use std::fmt;

/// Why the sums of some requests do not tell what they cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Untold {
    /// The model has prices by length, and some of the requests may have been long.
    Length,
    /// The model has prices of other service tiers.
    Tier,
    /// The model asks more for what is cached for an hour, and something was cached.
    CacheWrite,
}

impl fmt::Display for Untold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Length => "length",
            Self::Tier => "tier",
            Self::CacheWrite => "cache_write",
        })
    }
}

impl PriceList {
    /// What `requests` requests that used `tokens` together cost, rounded once: within half a
    /// nano-USD a request of the sum of their costs.
    ///
    /// With `are_standard` they are taken as of the standard tier, and cache writes as not
    /// kept for an hour.
    ///
    /// # Errors
    /// Where it depends on what the sums do not say.
    pub fn cost_of_sum(
        &self,
        requests: u64,
        tokens: &Tokens,
        are_standard: bool,
    ) -> Result<NanoUsd, Untold> {
        let bill = Bill::from(*tokens);
        if !are_standard && !self.tiers.is_empty() {
            return Err(Untold::Tier);
        }
        // By falling bound: the last is the lowest.
        let bound = self.longer.last().map(|bracket| bracket.above);
        if requests > 1 && bound.is_some_and(|above| bill.whole_input() > above) {
            return Err(Untold::Length);
        }
        let prices = super::list::find(&self.longer, &bill).unwrap_or(&self.base);
        let written = prices.cache_write.unwrap_or(prices.input);
        let has_two = prices.cache_write_1h.is_some_and(|hour| hour != written);
        if !are_standard && has_two && tokens.cache_write > 0 {
            return Err(Untold::CacheWrite);
        }
        Ok(prices.parts(&bill).total())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::price::{Prices, ServiceTier, TokenPrice};

    #[test]
    fn sums_tell_a_cost_where_nothing_else_decides() {
        let flat = |nano: u64| Prices {
            input: TokenPrice(nano * 1_000_000),
            output: TokenPrice(nano * 2_000_000),
            ..Prices::default()
        };
        let tokens = |input, cache_write| Tokens {
            input,
            cache_write,
            ..Tokens::default()
        };
        let plain = PriceList::from(flat(3));
        let cost = |list: &PriceList, n, input, written, standard| {
            let cost = list.cost_of_sum(n, &tokens(input, written), standard);
            cost.map(|cost| cost.0)
        };
        assert_eq!(cost(&plain, 9, 1000, 5, false), Ok(3015));

        let long = PriceList::from(flat(3)).with_longer([(200, flat(5)), (100, flat(4))]);
        assert_eq!(cost(&long, 9, 100, 0, false), Ok(300), "none can be long");
        assert_eq!(cost(&long, 9, 101, 0, true), Err(Untold::Length));
        assert_eq!(cost(&long, 1, 101, 0, false), Ok(404));
        assert_eq!(cost(&long, 1, 201, 0, false), Ok(1005));

        let tiers = PriceList::from(flat(3)).with_tier(ServiceTier::Flex, flat(1), []);
        assert_eq!(cost(&tiers, 1, 10, 0, false), Err(Untold::Tier));
        assert_eq!(cost(&tiers, 1, 10, 0, true), Ok(30));

        let hours = PriceList::from(Prices {
            cache_write_1h: Some(TokenPrice(7_000_000)),
            ..flat(3)
        });
        assert_eq!(cost(&hours, 1, 10, 0, false), Ok(30));
        assert_eq!(cost(&hours, 1, 10, 1, false), Err(Untold::CacheWrite));
        assert_eq!(cost(&hours, 1, 10, 1, true), Ok(33));
    }
}
