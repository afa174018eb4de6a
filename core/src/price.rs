//! Prices and the cost of a request, exact.
//!
//! A price is read from its decimal text and kept as an integer number of
//! femto-USD (10^-15 USD) a token, so that no binary fraction is involved.
//! A request's cost is summed in femto-USD and rounded once, half up, to nano-USD.

mod bill;
mod list;
mod many;

pub use bill::{Bill, Parts, ServiceTier};
pub use list::PriceList;
pub use many::Untold;

use crate::record::Tokens;
use crate::units::NanoUsd;
use std::fmt;

/// The price of one token, in femto-USD (10^-15 USD).
///
/// 1 USD per million tokens is 1,000,000,000 femto-USD a token.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TokenPrice(pub u64);

/// Why a decimal price could not be read.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PriceError {
    /// Not a decimal number such as `2.50` or `1.5e-7`.
    NotADecimal(String),
    /// Below zero.
    Negative(String),
    /// Has digits below the smallest unit, one femto-USD a token.
    TooFine(String),
    /// Above the largest price, about 18,446 USD a token.
    TooLarge(String),
}

impl fmt::Display for PriceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotADecimal(text) => write!(f, "`{text}` is not a decimal number"),
            Self::Negative(text) => write!(f, "`{text}` is below zero"),
            Self::TooFine(text) => {
                write!(
                    f,
                    "`{text}` is finer than one femto-USD (1e-15 USD) a token"
                )
            }
            Self::TooLarge(text) => write!(f, "`{text}` is above 18446 USD a token"),
        }
    }
}

impl std::error::Error for PriceError {}

impl TokenPrice {
    /// Reads a price in USD per million tokens, for example `2.50`.
    ///
    /// # Errors
    /// [`PriceError`] where the text is no decimal, negative, too fine or too large.
    pub fn parse_usd_per_million(text: &str) -> Result<Self, PriceError> {
        Self::parse(text, 9).and_then(Self::exact)
    }

    /// Reads a price in USD per token, for example `1.5e-7`, as LiteLLM's table has it.
    ///
    /// # Errors
    /// [`PriceError`] where the text is no decimal, negative, too fine or too large.
    pub fn parse_usd_per_token(text: &str) -> Result<Self, PriceError> {
        Self::parse(text, 15).and_then(Self::exact)
    }

    /// The same, rounded half up to whole femto-USD where the text has finer digits.
    ///
    /// Price tables that a program wrote have the noise of binary fractions in them, such
    /// as `2.9999900000000002e-06`. Rounding changes a price by at most half a femto-USD
    /// a token, which is 0.5 nano-USD over a million tokens.
    ///
    /// # Errors
    /// [`PriceError`] where the text is no decimal, negative or too large.
    pub fn round_usd_per_token(text: &str) -> Result<Self, PriceError> {
        match Self::parse(text, 15)? {
            Scaled::Exact((value, text)) => Self::fits(value, text),
            Scaled::Finer { below, is_half, .. } => Self::fits(below + u128::from(is_half), text),
        }
    }

    fn exact(scaled: Scaled<'_>) -> Result<Self, PriceError> {
        match scaled {
            Scaled::Exact((value, text)) => Self::fits(value, text),
            Scaled::Finer { text, .. } => Err(PriceError::TooFine(text.to_owned())),
        }
    }

    fn fits(value: u128, text: &str) -> Result<Self, PriceError> {
        u64::try_from(value)
            .map(Self)
            .map_err(|_| PriceError::TooLarge(text.to_owned()))
    }

    /// `text` times 10^`scale`.
    fn parse(text: &str, scale: i32) -> Result<Scaled<'_>, PriceError> {
        let bad = || PriceError::NotADecimal(text.to_owned());
        let (negative, unsigned) = match text.as_bytes().first() {
            Some(b'-') => (true, &text[1..]),
            Some(b'+') => (false, &text[1..]),
            _ => (false, text),
        };
        let (mantissa, exponent) = match unsigned.find(['e', 'E']) {
            Some(at) => (
                &unsigned[..at],
                unsigned[at + 1..].parse::<i32>().map_err(|_| bad())?,
            ),
            None => (unsigned, 0),
        };
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        if whole.is_empty() && fraction.is_empty() {
            return Err(bad());
        }
        let mut value: u128 = 0;
        for digit in whole.bytes().chain(fraction.bytes()) {
            if !digit.is_ascii_digit() {
                return Err(bad());
            }
            value = value
                .checked_mul(10)
                .and_then(|v| v.checked_add(u128::from(digit - b'0')))
                .ok_or_else(|| PriceError::TooLarge(text.to_owned()))?;
        }
        if value == 0 {
            return Ok(Scaled::Exact((0, text)));
        }
        if negative {
            return Err(PriceError::Negative(text.to_owned()));
        }
        let fraction_digits = i32::try_from(fraction.len()).map_err(|_| bad())?;
        let mut shift = exponent
            .checked_add(scale)
            .and_then(|s| s.checked_sub(fraction_digits))
            .ok_or_else(bad)?;
        let (mut is_half, mut is_finer) = (false, false);
        while shift < 0 {
            let digit = value % 10;
            is_half = digit >= 5;
            is_finer |= digit > 0;
            value /= 10;
            shift += 1;
            if value == 0 && shift < 0 {
                // Nothing but zeros is left to shift out.
                is_half = false;
                break;
            }
        }
        while shift > 0 {
            value = value
                .checked_mul(10)
                .ok_or_else(|| PriceError::TooLarge(text.to_owned()))?;
            shift -= 1;
        }
        Ok(if is_finer {
            Scaled::Finer {
                below: value,
                is_half,
                text,
            }
        } else {
            Scaled::Exact((value, text))
        })
    }
}

/// A decimal in femto-USD, with its text.
#[derive(Clone, Copy)]
enum Scaled<'t> {
    Exact((u128, &'t str)),
    /// Between `below` and the next whole number; `is_half` at half way and above.
    Finer {
        below: u128,
        is_half: bool,
        text: &'t str,
    },
}

/// The prices of a model, each of its kinds of token.
///
/// A kind of token without a price of its own costs what its parent costs:
/// cached, cache-write and audio input cost `input`; a cache write that is kept for an
/// hour costs `cache_write`; reasoning and audio output cost `output`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Prices {
    /// Input tokens that no other kind covers.
    pub input: TokenPrice,
    /// Output tokens that no other kind covers.
    pub output: TokenPrice,
    /// Input tokens that the provider read from its cache.
    pub cached_input: Option<TokenPrice>,
    /// Input tokens that the provider wrote to its cache.
    pub cache_write: Option<TokenPrice>,
    /// Those of them that it keeps for an hour instead of minutes.
    pub cache_write_1h: Option<TokenPrice>,
    /// Output tokens spent on reasoning.
    pub reasoning: Option<TokenPrice>,
    /// Audio in the input.
    pub audio_input: Option<TokenPrice>,
    /// Audio in the output.
    pub audio_output: Option<TokenPrice>,
}

impl Prices {
    /// What each kind of token of a request costs.
    #[must_use]
    pub fn parts(&self, bill: &Bill) -> Parts {
        let Tokens {
            input,
            output,
            cached_input,
            cache_write,
            reasoning,
            audio_input,
            audio_output,
        } = bill.tokens;
        let written = self.cache_write.unwrap_or(self.input);
        let for_an_hour = bill.cache_write_1h.min(cache_write);
        // u64 * u64 fits u128.
        let cost = |count: u64, price: TokenPrice| u128::from(count) * u128::from(price.0);
        Parts([
            cost(input, self.input),
            cost(cached_input, self.cached_input.unwrap_or(self.input)),
            cost(cache_write - for_an_hour, written),
            cost(for_an_hour, self.cache_write_1h.unwrap_or(written)),
            cost(output, self.output),
            cost(reasoning, self.reasoning.unwrap_or(self.output)),
            cost(audio_input, self.audio_input.unwrap_or(self.input)),
            cost(audio_output, self.audio_output.unwrap_or(self.output)),
        ])
    }

    /// The cost of a request, rounded half up to nano-USD; saturates at [`u64::MAX`].
    #[must_use]
    pub fn cost(&self, tokens: &Tokens) -> NanoUsd {
        self.parts(&Bill::from(*tokens)).total()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimals_are_read_exactly() {
        let per_million = |t| TokenPrice::parse_usd_per_million(t).map(|p| p.0);
        assert_eq!(per_million("2.50"), Ok(2_500_000_000));
        assert_eq!(per_million("0.1"), Ok(100_000_000));
        assert_eq!(per_million("10"), Ok(10_000_000_000));
        assert_eq!(per_million(".5"), Ok(500_000_000));
        assert_eq!(per_million("0"), Ok(0));
        assert_eq!(
            TokenPrice::parse_usd_per_token("1.5e-07").map(|p| p.0),
            Ok(150_000_000)
        );
        assert_eq!(
            TokenPrice::parse_usd_per_token("7.5e-08").map(|p| p.0),
            Ok(75_000_000)
        );
        assert_eq!(TokenPrice::parse_usd_per_token("1e-15").map(|p| p.0), Ok(1));
    }

    #[test]
    fn what_is_no_price_is_refused() {
        for text in [
            "", ".", "x", "1.2.3", "1e", "0x10", "NaN", "inf", "1_000", " 1",
        ] {
            assert_eq!(
                TokenPrice::parse_usd_per_million(text),
                Err(PriceError::NotADecimal(text.to_owned())),
                "{text:?}"
            );
        }
        let parse = TokenPrice::parse_usd_per_token;
        assert!(matches!(parse("-1"), Err(PriceError::Negative(_))));
        assert!(matches!(parse("1e-16"), Err(PriceError::TooFine(_))));
        assert!(matches!(parse("1e9"), Err(PriceError::TooLarge(_))));
        assert!(matches!(
            parse("9".repeat(60).as_str()),
            Err(PriceError::TooLarge(_))
        ));
    }

    #[test]
    fn a_kind_without_a_price_costs_what_its_parent_costs() {
        let usd = |t| TokenPrice::parse_usd_per_million(t).expect("a decimal");
        let prices = Prices {
            input: usd("2.50"),
            output: usd("10"),
            ..Prices::default()
        };
        let tokens = Tokens {
            input: 10,
            cached_input: 5,
            output: 3,
            reasoning: 4,
            ..Tokens::default()
        };
        assert_eq!(prices.cost(&tokens), NanoUsd(15 * 2_500 + 7 * 10_000));
        let cached = Prices {
            cached_input: Some(usd("1.25")),
            ..prices
        };
        assert_eq!(
            cached.cost(&tokens),
            NanoUsd(10 * 2_500 + 5 * 1_250 + 7 * 10_000)
        );
    }

    #[test]
    fn a_cost_is_rounded_once_and_half_up() {
        let prices = Prices {
            input: TokenPrice(500_000),
            ..Prices::default()
        };
        let cost = |input| {
            prices
                .cost(&Tokens {
                    input,
                    ..Tokens::default()
                })
                .0
        };
        assert_eq!((cost(1), cost(2), cost(3)), (1, 1, 2));
        let dear = Prices {
            input: TokenPrice(u64::MAX),
            ..Prices::default()
        };
        assert_eq!(
            dear.cost(&Tokens {
                input: u64::MAX,
                ..Tokens::default()
            })
            .0,
            u64::MAX
        );
    }

    #[test]
    fn noise_below_a_femto_usd_is_rounded_half_up_where_a_table_has_it() {
        let round = |t| TokenPrice::round_usd_per_token(t).map(|p| p.0);
        assert_eq!(round("2.9999900000000002e-06"), Ok(2_999_990_000));
        assert_eq!(round("1.5000999999999998e-07"), Ok(150_010_000));
        assert_eq!(round("1.5e-15"), Ok(2));
        assert_eq!(round("1.49999e-15"), Ok(1));
        assert_eq!(round("9e-16"), Ok(1));
        assert_eq!(round("9e-17"), Ok(0));
        assert_eq!(round("0.00000000000000000000000000000000000009"), Ok(0));
        assert_eq!(round("2.5e-06"), Ok(2_500_000_000));
        assert!(matches!(round("-1e-9"), Err(PriceError::Negative(_))));
        assert!(matches!(round("1e6"), Err(PriceError::TooLarge(_))));
    }
}
