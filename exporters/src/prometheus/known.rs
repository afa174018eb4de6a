//! What is known of a catalogue: its label sets, rendered; it grows as the catalogue does.

use super::labels::Labels;
use coo_llm_core::Catalog;
use coo_llm_core::catalog::{ClientId, EventId, Family, KeyId, ModelId, NONE, ProviderId, Route};

/// Rendered label sets by kind of series.
#[derive(Debug)]
pub(super) struct Known {
    sets: [u32; 3],
    pub(super) providers: Labels<ProviderId>,
    pub(super) models: Labels<(ModelId, ProviderId)>,
    pub(super) keys: Labels<KeyId>,
    pub(super) routes: Labels<Route>,
    pub(super) clients: Labels<ClientId>,
    /// A list a family, in the order of [`Family::ALL`].
    pub(super) events: Vec<Labels<EventId>>,
    /// The provider that stands for none.
    pub(super) no_provider: Option<ProviderId>,
}

impl Known {
    pub(super) fn new() -> Self {
        Self {
            sets: [0; 3],
            providers: Labels::new(),
            models: Labels::new(),
            keys: Labels::new(),
            routes: Labels::new(),
            clients: Labels::new(),
            events: Family::ALL.iter().map(|_| Labels::new()).collect(),
            no_provider: None,
        }
    }

    /// Takes in what the catalogue has more than the last time.
    pub(super) fn catch_up(&mut self, catalog: &Catalog) {
        let sets = catalog.sets();
        let [routes, clients, events] = sets;
        if routes != self.sets[0] {
            self.catch_up_routes(catalog);
        }
        if clients != self.sets[1] {
            for (id, name) in catalog.clients().skip(self.clients.len()) {
                self.clients.push(id, &[("client_id", name)]);
            }
            self.clients
                .sort_by(|a, b| catalog.client_name(a).cmp(catalog.client_name(b)));
        }
        if events != self.sets[2] {
            self.catch_up_events(catalog);
        }
        // What came after `sets` was read is taken twice at most: each list skips what it has.
        self.sets = sets;
    }

    /// Prepares all sets for protobuf.
    pub(super) fn encode(&mut self) {
        self.providers.encode();
        self.models.encode();
        self.keys.encode();
        self.routes.encode();
        self.clients.encode();
        self.events.iter_mut().for_each(Labels::encode);
    }

    fn catch_up_routes(&mut self, catalog: &Catalog) {
        // Routes first: the names of a route are in the catalogue before the route is.
        for route in catalog.routes().skip(self.routes.len()) {
            let labels = [
                ("provider", catalog.provider_name(route.provider)),
                ("model", catalog.model_name(route.model)),
                ("key", catalog.key_name(route.key)),
            ];
            self.routes.push(route, &labels);
        }
        for (id, name) in catalog.providers().skip(self.providers.len()) {
            if name == NONE {
                self.no_provider = Some(id);
            }
            self.providers.push(id, &[("provider", name)]);
        }
        for (id, provider, name) in catalog.models().skip(self.models.len()) {
            let labels = [
                ("provider", catalog.provider_name(provider)),
                ("model", name),
            ];
            self.models.push((id, provider), &labels);
        }
        for (id, _, name) in catalog.keys().skip(self.keys.len()) {
            self.keys.push(id, &[("key", name)]);
        }
        self.providers
            .sort_by(|a, b| catalog.provider_name(a).cmp(catalog.provider_name(b)));
        self.models.sort_by(|(a, a_of), (b, b_of)| {
            let provider = |id| catalog.provider_name(id);
            let model = |id| catalog.model_name(id);
            (provider(a_of), model(a)).cmp(&(provider(b_of), model(b)))
        });
        self.keys
            .sort_by(|a, b| catalog.key_name(a).cmp(catalog.key_name(b)));
        let names = |route: Route| {
            (
                catalog.provider_name(route.provider),
                catalog.model_name(route.model),
                catalog.key_name(route.key),
            )
        };
        self.routes.sort_by(|a, b| names(a).cmp(&names(b)));
    }

    fn catch_up_events(&mut self, catalog: &Catalog) {
        let have: usize = self.events.iter().map(Labels::len).sum();
        for (id, family, values) in catalog.events().skip(have) {
            let names = family.labels().iter().copied();
            let labels: Vec<_> = names.zip(values.iter().map(|value| &**value)).collect();
            self.events[family as usize].push(id, &labels);
        }
        let values: Vec<_> = catalog.events().map(|(_, _, values)| values).collect();
        for labels in &mut self.events {
            labels.sort_by(|a, b| values[a.index()].cmp(values[b.index()]));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn families_are_numbered_in_their_order() {
        for (at, family) in Family::ALL.iter().enumerate() {
            assert_eq!(*family as usize, at);
        }
    }

    #[test]
    fn growth_is_taken_in_order_and_once() {
        let catalog = Catalog::new(100);
        let mut known = Known::new();
        for names in [["m", "b"], ["z", "a"], ["n", "b"]] {
            for name in names {
                catalog.client(name);
                catalog.route(name, "model", "key");
                catalog.event(Family::AdminRateLimits, &[name]);
            }
            known.catch_up(&catalog);
            known.catch_up(&catalog);
        }
        let clients: Vec<_> = known
            .clients
            .sorted()
            .map(|(id, _)| catalog.client_name(id))
            .collect();
        assert_eq!(clients, ["a", "b", "m", "n", "z"]);
        let providers: Vec<_> = known
            .routes
            .sorted()
            .map(|(route, _)| catalog.provider_name(route.provider))
            .collect();
        assert_eq!(providers, ["a", "b", "m", "n", "z"]);
        assert_eq!(known.events[Family::AdminRateLimits as usize].len(), 5);
    }
}
