//! What requests of the past would cost at other prices.
//!
//! It is the arithmetic alone: rows come from a file or a store, and who calls looks the
//! price of each up.

use coo_llm_core::NanoUsd;
use coo_llm_core::price::{Bill, PriceList};
use std::collections::BTreeMap;

/// A request of the past.
#[derive(Clone, Copy, Debug)]
pub struct UsageRow<'a> {
    /// The provider that did the work.
    pub provider: &'a str,
    /// Its model.
    pub model: &'a str,
    /// What was used; `None` where that is not known.
    pub bill: Option<Bill>,
    /// What it was said to cost; `None` where that was not known.
    pub old: Option<NanoUsd>,
}

/// Costs of some requests, at the old and the new prices.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Costs {
    /// Requests.
    pub requests: u64,
    /// Those whose old cost is not known.
    pub old_unknown: u64,
    /// Those whose new cost is not known.
    pub new_unknown: u64,
    /// The sum of the old costs that are known, in nano-USD.
    pub old: u128,
    /// The sum of the new costs that are known, in nano-USD.
    pub new: u128,
    /// New less old of the requests of which both are known, in nano-USD.
    pub difference: i128,
}

/// Costs by provider and model, and of all.
#[derive(Clone, Debug, Default)]
pub struct Repricing {
    models: BTreeMap<String, BTreeMap<String, Costs>>,
    total: Costs,
}

impl Repricing {
    /// Takes a request in; `list` is the price of its model at its time. The new cost, or
    /// `None` where price or usage are not known.
    ///
    /// Nothing used costs nothing, whatever the price.
    pub fn add(&mut self, row: &UsageRow<'_>, list: Option<&PriceList>) -> Option<NanoUsd> {
        let new = match row.bill {
            Some(bill) if bill.tokens.total() == 0 => Some(NanoUsd::ZERO),
            Some(bill) => list.and_then(|list| list.cost(&bill)),
            None => None,
        };
        self.total.add(row.old, new);
        self.of(row).add(row.old, new);
        new
    }

    /// Of all requests.
    #[must_use]
    pub fn total(&self) -> Costs {
        self.total
    }

    /// Provider, model and costs of each, by name.
    pub fn models(&self) -> impl Iterator<Item = (&str, &str, Costs)> {
        self.models.iter().flat_map(|(provider, models)| {
            let costs = models.iter();
            costs.map(move |(model, costs)| (provider.as_str(), model.as_str(), *costs))
        })
    }

    fn of(&mut self, row: &UsageRow<'_>) -> &mut Costs {
        // Names are copied for the first request of each model only.
        if !self.models.contains_key(row.provider) {
            self.models.insert(row.provider.to_owned(), BTreeMap::new());
        }
        let models = self.models.get_mut(row.provider).expect("it was put there");
        if !models.contains_key(row.model) {
            models.insert(row.model.to_owned(), Costs::default());
        }
        models.get_mut(row.model).expect("it was put there")
    }
}

impl Costs {
    fn add(&mut self, old: Option<NanoUsd>, new: Option<NanoUsd>) {
        self.requests += 1;
        self.old_unknown += u64::from(old.is_none());
        self.new_unknown += u64::from(new.is_none());
        self.old += old.map_or(0, |old| u128::from(old.0));
        self.new += new.map_or(0, |new| u128::from(new.0));
        if let (Some(old), Some(new)) = (old, new) {
            self.difference += i128::from(new.0) - i128::from(old.0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use coo_llm_core::price::{Prices, TokenPrice};
    use coo_llm_core::record::Tokens;

    #[test]
    fn what_is_not_known_is_counted_and_not_zero() {
        let list = PriceList::from(Prices {
            input: TokenPrice(2_000_000),
            ..Prices::default()
        });
        let row = |model, input, old: Option<u64>| UsageRow {
            provider: "p",
            model,
            bill: Some(Bill::from(Tokens {
                input,
                ..Tokens::default()
            })),
            old: old.map(NanoUsd),
        };
        let mut sums = Repricing::default();
        assert_eq!(
            sums.add(&row("a", 10, Some(30)), Some(&list)),
            Some(NanoUsd(20))
        );
        assert_eq!(sums.add(&row("a", 5, None), Some(&list)), Some(NanoUsd(10)));
        assert_eq!(sums.add(&row("b", 5, Some(7)), None), None);
        assert_eq!(sums.add(&row("b", 0, Some(0)), None), Some(NanoUsd(0)));
        let unknown = UsageRow {
            bill: None,
            ..row("b", 0, None)
        };
        assert_eq!(sums.add(&unknown, Some(&list)), None);
        let costs = |requests, old_unknown, new_unknown, old, new, difference| Costs {
            requests,
            old_unknown,
            new_unknown,
            old,
            new,
            difference,
        };
        let models: Vec<_> = sums
            .models()
            .map(|(_, model, costs)| (model, costs))
            .collect();
        assert_eq!(
            models,
            [
                ("a", costs(2, 1, 0, 30, 30, -10)),
                ("b", costs(3, 1, 2, 7, 0, 0))
            ]
        );
        assert_eq!(sums.total(), costs(5, 2, 2, 37, 30, -10));
    }
}
