//! What a worker remembers of the routes that records name: their series, and their prices.

use crate::gateway::plan::Plan;
use crate::gateway::price_book::PriceBook;
use coo_llm_core::catalog::Route;
use coo_llm_core::price::PriceList;
use hashbrown::{DefaultHashBuilder, HashTable};
use std::hash::{BuildHasher, Hasher};
use std::sync::Arc;

/// Routes that are remembered; above it all are forgotten and asked for again, which costs
/// time and loses nothing.
const ROUTES_MAX: usize = 1 << 16;

/// The routes of one worker, under one plan and one book of prices.
#[derive(Debug, Default)]
pub(super) struct Routes {
    known: HashTable<Known>,
    hasher: DefaultHashBuilder,
    /// The numbers of the plan and the book.
    under: (u64, u64),
}

/// A route by its names.
#[derive(Debug)]
pub(super) struct Known {
    /// Provider, model and key, one after the other.
    text: Box<str>,
    /// The lengths of provider and model.
    lengths: [usize; 2],
    pub(super) series: Route,
    pub(super) price: Option<Arc<PriceList>>,
}

impl Known {
    fn names(&self) -> [&str; 3] {
        let (provider, rest) = self.text.split_at(self.lengths[0]);
        let (model, key) = rest.split_at(self.lengths[1]);
        [provider, model, key]
    }

    /// Lengths first, so that ("a","bc") is not ("ab","c").
    fn is(&self, [provider, model, key]: [&str; 3]) -> bool {
        let text = self.text.as_bytes();
        let (at_model, at_key) = (provider.len(), provider.len() + model.len());
        self.lengths == [provider.len(), model.len()]
            && at_key + key.len() == text.len()
            && text[..at_model] == *provider.as_bytes()
            && text[at_model..at_key] == *model.as_bytes()
            && text[at_key..] == *key.as_bytes()
    }
}

impl Routes {
    /// The route of a provider, a model and a key.
    ///
    /// # Cost
    /// One look-up where they were seen before under this plan and book; else the
    /// catalogue's lock.
    pub(super) fn of(&mut self, plan: &Plan, prices: &PriceBook, names: [&str; 3]) -> &Known {
        let under = (plan.number, prices.number);
        if self.under != under {
            self.known.clear();
            self.under = under;
        }
        let hash = hash(&self.hasher, names);
        let place = self.known.find_bucket_index(hash, |known| known.is(names));
        let place = match place {
            Some(place) => place,
            None => self.learn(plan, prices, hash, names),
        };
        let known = self.known.get_bucket(place);
        known.expect("it was there, or was put there")
    }

    #[cold]
    fn learn(&mut self, plan: &Plan, prices: &PriceBook, hash: u64, names: [&str; 3]) -> usize {
        if self.known.len() >= ROUTES_MAX {
            self.known.clear();
        }
        let [provider, model, key] = names;
        let known = Known {
            text: names.concat().into(),
            lengths: [provider.len(), model.len()],
            series: plan.meter.catalog().outside_route(provider, model, key),
            price: prices.named(plan, provider, model),
        };
        let hasher = &self.hasher;
        let entry = self
            .known
            .insert_unique(hash, known, |known| self::hash(hasher, known.names()));
        entry.bucket_index()
    }
}

/// Only finds the place; names are compared whole.
fn hash(hasher: &DefaultHashBuilder, names: [&str; 3]) -> u64 {
    let mut hasher = hasher.build_hasher();
    for name in names {
        hasher.write(name.as_bytes());
    }
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use coo_llm_core::Meter;

    const CONFIG: &str = "
llm_providers:
  - { id: open, type: custom, base_url: \"http://127.0.0.1:1/v1\", pricing: { input_per_million: 5, output_per_million: 5 } }
";

    #[test]
    fn a_route_is_its_names_and_has_the_price_of_the_book_that_is_asked() {
        let config = coo_llm_config::parse(CONFIG, &|_| None).expect("a configuration");
        let meter = Meter::new(1000);
        let plan = Plan::new(&config, &meter).expect("a plan");
        let (book, empty) = (PriceBook::new(&plan, None), PriceBook::default());
        let mut routes = Routes::default();
        let all = [
            ["open", "ai-x", "k"],
            ["openai", "-x", "k"],
            ["open", "ai-", "xk"],
        ];
        for names in all.into_iter().chain(all) {
            let [provider, model, key] = names;
            let known = routes.of(&plan, &book, names);
            assert_eq!(known.series, meter.catalog().route(provider, model, key));
            assert_eq!(known.price.is_some(), provider == "open", "{names:?}");
        }
        assert_eq!(routes.known.len(), all.len());
        assert!(routes.of(&plan, &empty, all[0]).price.is_none());
        assert_eq!(routes.known.len(), 1, "another book, another price");
        assert!(routes.of(&plan, &book, all[0]).price.is_some());
    }

    #[test]
    fn what_was_forgotten_is_learnt_again() {
        let config = coo_llm_config::parse(CONFIG, &|_| None).expect("a configuration");
        let meter = Meter::new(1000);
        let plan = Plan::new(&config, &meter).expect("a plan");
        let book = PriceBook::new(&plan, None);
        let mut routes = Routes::default();
        let first = routes.of(&plan, &book, ["open", "0", "k"]).series;
        for n in 0..=ROUTES_MAX {
            routes.of(&plan, &book, ["open", &n.to_string(), "k"]);
        }
        assert!(routes.known.len() <= ROUTES_MAX);
        assert_eq!(routes.of(&plan, &book, ["open", "0", "k"]).series, first);
    }
}
