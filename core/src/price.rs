//! Prices and the cost of a request, exact.
//!
//! A price is read from its decimal text and kept as an integer number of
//! femto-USD (10^-15 USD) a token, so that no binary fraction is involved.
//! A request's cost is summed in femto-USD and rounded once, half up, to nano-USD.

use crate::record::Tokens;
use crate::units::NanoUsd;
use std::fmt;

/// Femto-USD in a nano-USD.
const FEMTO_PER_NANO: u128 = 1_000_000;

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
        Self::parse(text, 9)
    }

    /// Reads a price in USD per token, for example `1.5e-7`, as LiteLLM's table has it.
    ///
    /// # Errors
    /// [`PriceError`] where the text is no decimal, negative, too fine or too large.
    pub fn parse_usd_per_token(text: &str) -> Result<Self, PriceError> {
        Self::parse(text, 15)
    }

    /// `text` times 10^`scale`, which must be a whole number.
    fn parse(text: &str, scale: i32) -> Result<Self, PriceError> {
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
            return Ok(Self(0));
        }
        if negative {
            return Err(PriceError::Negative(text.to_owned()));
        }
        let fraction_digits = i32::try_from(fraction.len()).map_err(|_| bad())?;
        let mut shift = exponent
            .checked_add(scale)
            .and_then(|s| s.checked_sub(fraction_digits))
            .ok_or_else(bad)?;
        while shift < 0 {
            if !value.is_multiple_of(10) {
                return Err(PriceError::TooFine(text.to_owned()));
            }
            value /= 10;
            shift += 1;
        }
        while shift > 0 {
            value = value
                .checked_mul(10)
                .ok_or_else(|| PriceError::TooLarge(text.to_owned()))?;
            shift -= 1;
        }
        u64::try_from(value)
            .map(Self)
            .map_err(|_| PriceError::TooLarge(text.to_owned()))
    }
}

/// The price list of one model.
///
/// A kind of token without a price of its own costs what its parent costs:
/// cached, cache-write and audio input cost `input`; reasoning and audio output
/// cost `output`.
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
    /// Output tokens spent on reasoning.
    pub reasoning: Option<TokenPrice>,
    /// Audio in the input.
    pub audio_input: Option<TokenPrice>,
    /// Audio in the output.
    pub audio_output: Option<TokenPrice>,
}

impl Prices {
    /// The cost of a request, rounded half up to nano-USD; saturates at [`u64::MAX`].
    #[must_use]
    pub fn cost(&self, tokens: &Tokens) -> NanoUsd {
        let or = |own: Option<TokenPrice>, parent: TokenPrice| own.unwrap_or(parent);
        let femto = [
            (tokens.input, self.input),
            (tokens.cached_input, or(self.cached_input, self.input)),
            (tokens.cache_write, or(self.cache_write, self.input)),
            (tokens.audio_input, or(self.audio_input, self.input)),
            (tokens.output, self.output),
            (tokens.reasoning, or(self.reasoning, self.output)),
            (tokens.audio_output, or(self.audio_output, self.output)),
        ]
        .iter()
        // u64 * u64 fits u128; seven of them could reach past it only above 2^125.
        .fold(0u128, |sum, (count, price)| {
            sum.saturating_add(u128::from(*count) * u128::from(price.0))
        });
        let nano = femto.saturating_add(FEMTO_PER_NANO / 2) / FEMTO_PER_NANO;
        NanoUsd(u64::try_from(nano).unwrap_or(u64::MAX))
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
}
