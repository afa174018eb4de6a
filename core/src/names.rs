//! Label values to ids on the thread that records, for callers that have only names.
//!
//! The catalogue knows every name but takes a lock; this is one thread's memory of
//! what the catalogue said, and takes none.

use crate::catalog::{Catalog, ClientId, Route};
use hashbrown::{DefaultHashBuilder, HashTable};
use std::hash::{BuildHasher, Hasher};

/// Names that are remembered of each kind; above it all are forgotten and asked for
/// again, which costs time and loses nothing. Callers should bound what they name.
pub const NAMES_MAX: usize = 1 << 17;

/// One thread's memory of the ids of names.
///
/// ```
/// use coo_llm_core::{Meter, names::Names};
///
/// let meter = Meter::new(1000);
/// let mut names = Names::default();
/// let route = names.route(meter.catalog(), "openai", "gpt-4o", "openai-1f3a9c02");
/// assert_eq!(route, names.route(meter.catalog(), "openai", "gpt-4o", "openai-1f3a9c02"));
/// ```
#[derive(Debug, Default)]
pub struct Names {
    routes: HashTable<RouteName>,
    clients: HashTable<(Box<str>, ClientId)>,
    hasher: DefaultHashBuilder,
}

#[derive(Debug)]
struct RouteName {
    /// Provider, model and key, one after the other.
    text: Box<str>,
    /// Where the model and the key begin.
    starts: [u32; 2],
    route: Route,
}

impl RouteName {
    fn is(&self, provider: &str, model: &str, key: &str) -> bool {
        let [at_model, at_key] = self.starts.map(|start| start as usize);
        // Lengths first, so that ("a","bc") is not ("ab","c").
        provider.len() == at_model
            && provider.len() + model.len() == at_key
            && at_key + key.len() == self.text.len()
            && self.text.as_bytes()[..at_model] == *provider.as_bytes()
            && self.text.as_bytes()[at_model..at_key] == *model.as_bytes()
            && self.text.as_bytes()[at_key..] == *key.as_bytes()
    }
}

impl Names {
    /// The route of these labels; see [`Catalog::outside_route`].
    ///
    /// # Cost
    /// One look-up where the labels were seen before; else the catalogue's lock.
    #[inline]
    pub fn route(&mut self, catalog: &Catalog, provider: &str, model: &str, key: &str) -> Route {
        let hash = hash(&self.hasher, &[provider, model, key]);
        match self.routes.find(hash, |name| name.is(provider, model, key)) {
            Some(name) => name.route,
            None => self.learn_route(catalog, hash, [provider, model, key]),
        }
    }

    /// The client of this id; see [`Catalog::outside_client`].
    ///
    /// # Cost
    /// As [`Names::route`].
    #[inline]
    pub fn client(&mut self, catalog: &Catalog, id: &str) -> ClientId {
        let hash = hash(&self.hasher, &[id]);
        match self.clients.find(hash, |(name, _)| **name == *id) {
            Some((_, client)) => *client,
            None => self.learn_client(catalog, hash, id),
        }
    }

    #[cold]
    fn learn_route(&mut self, catalog: &Catalog, hash: u64, labels: [&str; 3]) -> Route {
        let [provider, model, key] = labels;
        let route = catalog.outside_route(provider, model, key);
        if self.routes.len() >= NAMES_MAX {
            self.routes.clear();
        }
        let ends = [provider.len(), provider.len() + model.len()];
        if let [Ok(at_model), Ok(at_key)] = ends.map(u32::try_from) {
            let text = [provider, model, key].concat().into();
            let name = RouteName {
                text,
                starts: [at_model, at_key],
                route,
            };
            let hasher = &self.hasher;
            self.routes.insert_unique(hash, name, |name| {
                let [at_model, at_key] = name.starts.map(|start| start as usize);
                let text = &name.text;
                self::hash(
                    hasher,
                    &[&text[..at_model], &text[at_model..at_key], &text[at_key..]],
                )
            });
        }
        route
    }

    #[cold]
    fn learn_client(&mut self, catalog: &Catalog, hash: u64, id: &str) -> ClientId {
        let client = catalog.outside_client(id);
        if self.clients.len() >= NAMES_MAX {
            self.clients.clear();
        }
        let hasher = &self.hasher;
        let entry = (Box::from(id), client);
        self.clients
            .insert_unique(hash, entry, |(name, _)| self::hash(hasher, &[name]));
        client
    }
}

/// Only finds the place; names are compared whole.
#[inline]
fn hash(hasher: &DefaultHashBuilder, labels: &[&str]) -> u64 {
    let mut hasher = hasher.build_hasher();
    for label in labels {
        hasher.write(label.as_bytes());
    }
    hasher.finish()
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn names_that_join_to_the_same_text_are_different() {
        let catalog = Catalog::new(100);
        let mut names = Names::default();
        let labels = [
            ("open", "ai-x", "k"),
            ("openai", "-x", "k"),
            ("open", "ai-", "xk"),
        ];
        let first: Vec<_> = labels
            .iter()
            .map(|(p, m, k)| names.route(&catalog, p, m, k))
            .collect();
        for (at, (p, m, k)) in labels.iter().enumerate() {
            assert_eq!(names.route(&catalog, p, m, k), first[at]);
            assert_eq!(catalog.route(p, m, k), first[at]);
            assert_eq!(first.iter().filter(|route| **route == first[at]).count(), 1);
        }
        assert_eq!(names.client(&catalog, "c"), catalog.client("c"));
        assert_ne!(names.client(&catalog, "d"), names.client(&catalog, "c"));
    }

    #[test]
    fn what_was_forgotten_is_learnt_again() {
        let catalog = Catalog::new(1_000_000);
        let mut names = Names::default();
        let first = names.client(&catalog, "client-0");
        for n in 0..=NAMES_MAX {
            names.client(&catalog, &format!("client-{n}"));
        }
        assert!(names.clients.len() <= NAMES_MAX);
        assert_eq!(names.client(&catalog, "client-0"), first);
    }
}
