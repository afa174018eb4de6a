//! One entry of a table: the prices of a model, or why it has none.

use super::field::{PriceField, Priced};
use super::{Members, TWICE};
use coo_llm_core::price::{PriceError, PriceList, Prices, ServiceTier, TokenPrice};
use serde_json::value::RawValue;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;

/// Modes whose requests are billed by their tokens; an entry without a mode is one of these.
const TOKEN_MODES: [&str; 4] = ["chat", "completion", "responses", "embedding"];
/// Prices for something that a count of tokens does not tell, asked of every request.
const BEYOND_TOKENS: [&str; 3] = [
    "input_cost_per_request",
    "input_cost_per_second",
    "output_cost_per_second",
];
/// Prices that change with the hour of the day.
const OFF_PEAK: &str = "off_peak_pricing";
/// Prices by length of the input, as ranges.
const TIERED: &str = "tiered_pricing";
/// This provider asks the price of a bracket from its bound on, all others above it.
const INCLUSIVE: &str = "xai";

/// Why an entry has no price for tokens.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unpriced {
    /// Its `mode` is not billed by tokens.
    Mode(String),
    /// A field without which the rest is no price.
    Missing(&'static str),
    /// It asks something beyond tokens, in this field.
    Beyond(&'static str),
}

impl fmt::Display for Unpriced {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Mode(mode) => write!(f, "mode `{mode}` is not billed by tokens"),
            Self::Missing(field) => write!(f, "has no `{field}`"),
            Self::Beyond(field) => write!(f, "asks more than tokens, in `{field}`"),
        }
    }
}

/// A value that cannot be used.
#[derive(Debug)]
pub(super) struct Wrong {
    pub(super) field: String,
    pub(super) message: String,
}

/// An entry as it was read.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) provider: String,
    pub(super) prices: Result<PriceList, Unpriced>,
    /// Prices that had digits below one femto-USD.
    pub(super) rounded: usize,
}

impl Entry {
    pub(super) fn read(text: &RawValue) -> Result<Self, Wrong> {
        let Members(list) =
            serde_json::from_str(text.get()).map_err(|_| wrong("", "is not an object"))?;
        let members = once_each(list)?;
        let word = |field: &str| match members.get(field) {
            None => Ok(None),
            Some(text) => serde_json::from_str::<Option<String>>(text.get())
                .map_err(|_| wrong(field, "is not a text")),
        };
        let provider = word("litellm_provider")?.unwrap_or_default();
        let mode = word("mode")?;
        let mut entry = Self {
            provider,
            prices: Err(Unpriced::Missing("input_cost_per_token")),
            rounded: 0,
        };
        if let Some(mode) = mode
            .as_ref()
            .filter(|mode| !TOKEN_MODES.contains(&mode.as_str()))
        {
            entry.prices = Err(Unpriced::Mode(mode.clone()));
            return Ok(entry);
        }
        let given = |field: &str| members.get(field).filter(|text| text.get() != "null");
        if given(OFF_PEAK).is_some() {
            entry.prices = Err(Unpriced::Beyond(OFF_PEAK));
            return Ok(entry);
        }
        for field in BEYOND_TOKENS {
            let price = given(field).map(|text| price(field, text)).transpose()?;
            if price.flatten().is_some_and(|(price, _)| price.0 > 0) {
                entry.prices = Err(Unpriced::Beyond(field));
                return Ok(entry);
            }
        }
        let mut known = Known::default();
        for (name, text) in &members {
            known.take(name, text)?;
        }
        let is_embedding = mode.as_deref() == Some("embedding");
        entry.prices = match given(TIERED) {
            None => known.list(is_embedding, entry.provider == INCLUSIVE),
            Some(text) => ranges(text, &mut known, is_embedding)?,
        };
        entry.rounded = known.rounded;
        Ok(entry)
    }
}

/// The prices of an entry, by their names.
#[derive(Default)]
struct Known {
    prices: HashMap<PriceField, TokenPrice>,
    rounded: usize,
}

impl Known {
    /// Takes a member, if it is a price for tokens.
    fn take(&mut self, name: &str, text: &RawValue) -> Result<(), Wrong> {
        if let Some(field) = PriceField::parse(name)
            && let Some((price, is_rounded)) = price(name, text)?
        {
            self.prices.insert(field, price);
            self.rounded += usize::from(is_rounded);
        }
        Ok(())
    }

    fn at(&self, priced: Priced, above: Option<u64>, tier: ServiceTier) -> Option<TokenPrice> {
        let field = PriceField {
            priced,
            above,
            tier,
        };
        self.prices.get(&field).copied()
    }

    fn list(&self, is_embedding: bool, is_inclusive: bool) -> Result<PriceList, Unpriced> {
        let base = self.base(is_embedding)?;
        let longer = |base, tier| {
            let brackets = self.brackets(base, tier).into_iter();
            brackets.map(move |(above, prices)| (above - u64::from(is_inclusive), prices))
        };
        let mut list = PriceList::from(base).with_longer(longer(base, ServiceTier::Standard));
        for tier in [ServiceTier::Flex, ServiceTier::Priority, ServiceTier::Batch] {
            if let Some(base) = self.tier(&base, tier) {
                list = list.with_tier(tier, base, longer(base, tier));
            }
        }
        Ok(list)
    }

    /// The prices of the standard tier.
    fn base(&self, is_embedding: bool) -> Result<Prices, Unpriced> {
        let price = |priced| self.at(priced, None, ServiceTier::Standard);
        // An embedding has no output, so that nothing is missing where its price is.
        let output = price(Priced::Output).or(is_embedding.then_some(TokenPrice(0)));
        Ok(Prices {
            input: price(Priced::Input).ok_or(Unpriced::Missing("input_cost_per_token"))?,
            output: output.ok_or(Unpriced::Missing("output_cost_per_token"))?,
            cached_input: price(Priced::CachedInput),
            cache_write: price(Priced::CacheWrite),
            cache_write_1h: price(Priced::CacheWrite1h),
            reasoning: price(Priced::Reasoning),
            audio_input: price(Priced::AudioInput),
            audio_output: price(Priced::AudioOutput),
        })
    }

    /// The prices of another tier, if it has one for input and one for output. What it does
    /// not name costs what it costs in the standard tier; in a batch, as its parent.
    fn tier(&self, standard: &Prices, tier: ServiceTier) -> Option<Prices> {
        let own = |priced| self.at(priced, None, tier);
        let is_batch = tier == ServiceTier::Batch;
        let or = |priced, other: Option<TokenPrice>| own(priced).or(other.filter(|_| !is_batch));
        let input = own(Priced::Input)?;
        let output = match own(Priced::Output) {
            Some(output) => output,
            // Of an embedding, which has no output.
            None if standard.output == TokenPrice(0) => TokenPrice(0),
            None => return None,
        };
        Some(Prices {
            input,
            output,
            cached_input: or(Priced::CachedInput, standard.cached_input),
            cache_write: or(Priced::CacheWrite, standard.cache_write),
            cache_write_1h: or(Priced::CacheWrite1h, standard.cache_write_1h),
            // The tier's own output price is nearer than the standard one of reasoning.
            reasoning: own(Priced::Reasoning),
            audio_input: or(Priced::AudioInput, standard.audio_input),
            audio_output: or(Priced::AudioOutput, standard.audio_output),
        })
    }

    /// The prices above each bound; what a bound does not name costs what it did below it.
    fn brackets(&self, base: Prices, tier: ServiceTier) -> Vec<(u64, Prices)> {
        let is_batch = tier == ServiceTier::Batch;
        let counts = |of: ServiceTier| of == tier || (of == ServiceTier::Standard && !is_batch);
        let bounds: BTreeSet<u64> = self
            .prices
            .keys()
            .filter(|field| counts(field.tier))
            .filter_map(|field| field.above)
            .filter(|above| *above > 0)
            .collect();
        let mut prices = base;
        let above = |bound, priced| {
            let standard = || self.at(priced, Some(bound), ServiceTier::Standard);
            let own = self.at(priced, Some(bound), tier);
            own.or_else(|| standard().filter(|_| !is_batch))
        };
        bounds
            .into_iter()
            .map(|bound| {
                let above = |priced| above(bound, priced);
                prices = Prices {
                    input: above(Priced::Input).unwrap_or(prices.input),
                    output: above(Priced::Output).unwrap_or(prices.output),
                    cached_input: above(Priced::CachedInput).or(prices.cached_input),
                    cache_write: above(Priced::CacheWrite).or(prices.cache_write),
                    cache_write_1h: above(Priced::CacheWrite1h).or(prices.cache_write_1h),
                    reasoning: above(Priced::Reasoning).or(prices.reasoning),
                    audio_input: above(Priced::AudioInput).or(prices.audio_input),
                    audio_output: above(Priced::AudioOutput).or(prices.audio_output),
                };
                (bound, prices)
            })
            .collect()
    }
}

/// `tiered_pricing`: a list of prices, each for a `range` of input tokens.
fn ranges(
    text: &RawValue,
    flat: &mut Known,
    is_embedding: bool,
) -> Result<Result<PriceList, Unpriced>, Wrong> {
    let ranges: Vec<Members<'_>> =
        serde_json::from_str(text.get()).map_err(|_| wrong(TIERED, "is not a list of objects"))?;
    let output = flat.at(Priced::Output, None, ServiceTier::Standard);
    let mut longer = Vec::new();
    for (at, Members(list)) in ranges.into_iter().enumerate() {
        let field = |name: &str| format!("{TIERED}[{at}].{name}");
        let within = |error: Wrong| Wrong {
            field: field(&error.field),
            ..error
        };
        let members = once_each(list).map_err(within)?;
        let range = members.get("range").map(|text| text.get());
        let range: Option<[f64; 2]> = range.and_then(|text| serde_json::from_str(text).ok());
        // A count of tokens, which a float holds exactly.
        let above = range
            .filter(|[from, _]| *from >= 0.0 && from.fract() == 0.0 && *from < 1e15)
            .ok_or_else(|| wrong(&field("range"), "is not two counts of tokens"))?[0];
        let mut known = Known::default();
        for (name, text) in &members {
            known.take(name, text).map_err(within)?;
        }
        flat.rounded += known.rounded;
        if let Some(output) = output {
            let field = PriceField {
                priced: Priced::Output,
                above: None,
                tier: ServiceTier::Standard,
            };
            known.prices.entry(field).or_insert(output);
        }
        match known.base(is_embedding) {
            Ok(prices) => longer.push((above as u64, prices)),
            Err(why) => return Ok(Err(why)),
        }
    }
    longer.sort_by_key(|(above, _)| *above);
    match longer.first() {
        Some((0, base)) => {
            let base = PriceList::from(*base);
            Ok(Ok(base.with_longer(longer.split_off(1))))
        }
        _ => Err(wrong(TIERED, "has no range from 0 on")),
    }
}

/// The members by name, if none stands there twice.
fn once_each(list: Vec<(String, &RawValue)>) -> Result<BTreeMap<String, &RawValue>, Wrong> {
    let mut members = BTreeMap::new();
    for (name, text) in list {
        if members.contains_key(&name) {
            return Err(wrong(&name, TWICE));
        }
        members.insert(name, text);
    }
    Ok(members)
}

/// A price and whether it was rounded; `None` for `null`.
fn price(field: &str, text: &RawValue) -> Result<Option<(TokenPrice, bool)>, Wrong> {
    let text = text.get();
    let unquoted = text
        .strip_prefix('"')
        .and_then(|text| text.strip_suffix('"'));
    let decimal = unquoted.unwrap_or(text);
    match TokenPrice::parse_usd_per_token(decimal) {
        _ if text == "null" => Ok(None),
        Ok(price) => Ok(Some((price, false))),
        Err(PriceError::TooFine(_)) => TokenPrice::round_usd_per_token(decimal)
            .map(|price| Some((price, true)))
            .map_err(|error| wrong(field, &error.to_string())),
        Err(PriceError::NotADecimal(_)) => Err(wrong(field, "is not a decimal number")),
        Err(error) => Err(wrong(field, &error.to_string())),
    }
}

fn wrong(field: &str, message: &str) -> Wrong {
    Wrong {
        field: field.to_owned(),
        message: message.to_owned(),
    }
}
