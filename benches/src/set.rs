//! The sets of series that the benches record into, by the names of their labels.

/// How many providers, models of each, keys of each, and clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Set {
    /// Its name in results.
    pub name: &'static str,
    /// Providers.
    pub providers: usize,
    /// Models a provider.
    pub models: usize,
    /// Keys a provider.
    pub keys: usize,
    /// Clients.
    pub clients: usize,
}

/// A small installation: 60 routes, 402 series of the standard work.
pub const S: Set = Set {
    name: "S",
    providers: 3,
    models: 4,
    keys: 5,
    clients: 50,
};

/// A large one: 10,000 routes, 70,200 series of the standard work.
pub const L: Set = Set {
    name: "L",
    providers: 20,
    models: 10,
    keys: 50,
    clients: 10_000,
};

/// The label values of a route, by number: keys run fastest, then models, then providers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RouteNames {
    /// Such as `provider-3`.
    pub provider: String,
    /// Such as `model-7`.
    pub model: String,
    /// Such as `provider-3-0000002a`: unique over all providers.
    pub key: String,
}

impl Set {
    /// (provider, model, key) combinations.
    #[must_use]
    pub const fn routes(&self) -> usize {
        self.providers * self.models * self.keys
    }

    /// The (provider, model) of a route, by number.
    #[must_use]
    pub const fn model_of(&self, route: usize) -> usize {
        route / self.keys
    }

    /// The labels of a route.
    #[must_use]
    pub fn route_names(&self, route: usize) -> RouteNames {
        let (model, key) = (route / self.keys, route % self.keys);
        let (provider, model) = (model / self.models, model % self.models);
        RouteNames {
            provider: format!("provider-{provider}"),
            model: format!("model-{model}"),
            key: format!("provider-{provider}-{key:08x}"),
        }
    }

    /// The label of a client.
    #[must_use]
    pub fn client_name(&self, client: usize) -> String {
        format!("client-{client}")
    }

    /// Counter series of the standard work: four a route, three a client.
    #[must_use]
    pub const fn counter_series(&self) -> usize {
        4 * self.routes() + 3 * self.clients
    }

    /// Histogram series of the standard work: one a (provider, model).
    #[must_use]
    pub const fn histogram_series(&self) -> usize {
        self.providers * self.models
    }
}
