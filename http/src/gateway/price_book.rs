//! What the models of a plan cost, under one table of prices. It is made on the control
//! side and swapped whole, so that a request looks nothing up.

use super::plan::{ModelPlan, ModelPrice, Plan};
use coo_llm_config::{Found, PriceTable};
use coo_llm_core::price::PriceList;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// The prices of a plan's models; see the module. It fits the [`Plan`] that it was made
/// for and no other.
#[derive(Debug, Default)]
pub struct PriceBook {
    providers: Vec<OfProvider>,
    /// Another one for each book, for those who remember what they read in it.
    pub(crate) number: u64,
}

/// A book as one worker counts who uses it, so that a request keeps the one it began with.
#[derive(Debug, Default)]
pub(crate) struct BookInUse(pub(crate) Arc<PriceBook>);

#[derive(Debug)]
struct OfProvider {
    /// Of the models that the plan names, by [`ModelPrice::Listed`].
    listed: Box<[Option<Arc<PriceList>>]>,
    /// Of all others: what the configuration says, or what the table does.
    others: Others,
}

#[derive(Debug)]
enum Others {
    All(Arc<PriceList>),
    ByName(HashMap<Box<str>, Arc<PriceList>>),
}

impl PriceBook {
    /// The book of a plan. `pricing` in the configuration goes before the table.
    #[must_use]
    pub fn new(plan: &Plan, table: Option<&PriceTable>) -> Self {
        let providers = plan.providers.iter().map(|provider| {
            let name = &provider.price_provider;
            let in_table = |model: &str| match table?.find(name, model) {
                Found::Priced(list) => Some(list),
                Found::Unpriced(_) | Found::Unknown => None,
            };
            let listed = provider.listed_prices.iter().map(|listed| {
                let explicit = listed.explicit.as_ref().map(Arc::clone);
                explicit.or_else(|| in_table(&listed.model))
            });
            OfProvider {
                listed: listed.collect(),
                others: match (&provider.prices, table) {
                    (Some(list), _) => Others::All(Arc::clone(list)),
                    (None, Some(table)) if provider.takes_any => {
                        Others::ByName(priced(table.of_provider(name)))
                    }
                    (None, _) => Others::ByName(HashMap::new()),
                },
            }
        });
        /// 0 is the book without prices.
        static NEXT: AtomicU64 = AtomicU64::new(1);
        Self {
            providers: providers.collect(),
            // Relaxed: only that no two are the same.
            number: NEXT.fetch_add(1, Ordering::Relaxed),
        }
    }

    /// Models that the plan names and that have no price here: provider and model.
    #[must_use]
    pub fn unpriced<'p>(&self, plan: &'p Plan) -> Vec<(&'p str, &'p str)> {
        let mut unpriced = Vec::new();
        for (provider, of) in plan.providers.iter().zip(&self.providers) {
            for (listed, list) in provider.listed_prices.iter().zip(&of.listed) {
                if list.is_none() {
                    unpriced.push((&*provider.id, &*listed.model));
                }
            }
        }
        unpriced
    }

    /// The price of a model; `None` where it is not known.
    pub(crate) fn of<'b>(&'b self, provider: usize, model: &'b ModelPlan) -> Option<&'b PriceList> {
        match &model.price {
            ModelPrice::Own(list) => list.as_deref(),
            ModelPrice::Listed(at) => self.providers.get(provider)?.listed.get(*at)?.as_deref(),
        }
    }

    /// The price of a model at a provider, both by name; `None` where it is not known. The
    /// plan is that of the book.
    pub(crate) fn named(&self, plan: &Plan, provider: &str, model: &str) -> Option<Arc<PriceList>> {
        let at = plan
            .providers
            .iter()
            .position(|plan| *plan.id == *provider)?;
        let provider = &plan.providers[at];
        match provider.models.get(model).map(|model| &model.price) {
            Some(ModelPrice::Own(list)) => list.as_ref().map(Arc::clone),
            Some(ModelPrice::Listed(place)) => {
                let list = self.providers.get(at)?.listed.get(*place)?.as_ref();
                list.map(Arc::clone)
            }
            None if provider.takes_any => self.of_other(at, model),
            None => None,
        }
    }

    /// The price of a model that the plan does not name.
    pub(crate) fn of_other(&self, provider: usize, model: &str) -> Option<Arc<PriceList>> {
        match &self.providers.get(provider)?.others {
            Others::All(list) => Some(Arc::clone(list)),
            Others::ByName(lists) => lists.get(model).map(Arc::clone),
        }
    }
}

fn priced(models: HashMap<Box<str>, Found>) -> HashMap<Box<str>, Arc<PriceList>> {
    let priced = models.into_iter().filter_map(|(model, found)| match found {
        Found::Priced(list) => Some((model, list)),
        Found::Unpriced(_) | Found::Unknown => None,
    });
    priced.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use coo_llm_core::Meter;
    use coo_llm_core::price::Bill;
    use coo_llm_core::record::Tokens;

    const CONFIG: &str = "
llm_providers:
  - { id: own, type: custom, base_url: \"http://127.0.0.1:1/v1\", price_provider: openai, model: gpt,
      models: [{ id: gpt, pricing: { input_per_million: 7, output_per_million: 7 } }, { id: mini }, { id: none }] }
  - { id: any, type: openai, api_keys: [k], model: mini }
  - { id: all, type: custom, base_url: \"http://127.0.0.1:1/v1\", pricing: { input_per_million: 5, output_per_million: 5 } }
";
    const TABLE: &[u8] = br#"{
        "gpt": {"litellm_provider": "openai", "mode": "chat", "input_cost_per_token": 1e-6, "output_cost_per_token": 0},
        "mini": {"litellm_provider": "openai", "mode": "chat", "input_cost_per_token": 2e-6, "output_cost_per_token": 0},
        "all/x": {"litellm_provider": "all", "mode": "chat", "input_cost_per_token": 3e-6, "output_cost_per_token": 0},
        "image": {"litellm_provider": "openai", "mode": "image_generation"}}"#;

    fn per_token(list: Option<&PriceList>) -> Option<u64> {
        let tokens = Tokens {
            input: 1,
            ..Tokens::default()
        };
        Some(list?.cost(&Bill::from(tokens))?.0)
    }

    #[test]
    fn what_the_configuration_says_goes_before_the_table() {
        let config = coo_llm_config::parse(CONFIG, &|_| None).expect("a configuration");
        let plan = Plan::new(&config, &Meter::new(100)).expect("a plan");
        let table = PriceTable::parse(TABLE).expect("a table");
        let book = PriceBook::new(&plan, Some(&table));
        let of = |provider: usize, model: &str| {
            per_token(book.of(provider, &plan.providers[provider].models[model]))
        };
        assert_eq!(of(0, "gpt"), Some(7_000));
        assert_eq!(of(0, "mini"), Some(2_000));
        assert_eq!(of(0, "none"), None);
        assert_eq!(of(1, "mini"), Some(2_000));
        let other = |provider, model| per_token(book.of_other(provider, model).as_deref());
        assert_eq!(other(1, "gpt"), Some(1_000));
        assert_eq!(other(1, "image"), None);
        assert_eq!(other(1, "made-up"), None);
        assert_eq!(other(2, "x"), Some(5_000));
        assert_eq!(other(2, "made-up"), Some(5_000));
        assert_eq!(book.unpriced(&plan), [("own", "none")]);
        let named = |provider, model| per_token(book.named(&plan, provider, model).as_deref());
        assert_eq!(named("own", "gpt"), Some(7_000));
        assert_eq!(named("own", "x"), None, "it serves what it lists only");
        assert_eq!(named("any", "gpt"), Some(1_000));
        assert_eq!(named("all", "x"), Some(5_000));
        assert_eq!(named("none", "gpt"), None);

        let without = PriceBook::new(&plan, None);
        assert_eq!(
            without.unpriced(&plan),
            [("own", "mini"), ("own", "none"), ("any", "mini")]
        );
        assert!(without.of_other(1, "gpt").is_none());
    }
}
