//! The catalogue: label values interned to dense ids.
//!
//! A series gets its id once, when configuration loads or a client or model
//! first appears; from then on the request path indexes arrays. Interning takes
//! a lock that only other internings want; readers and writers of counters never
//! touch it. Ids are compared by the labels themselves, never by a hash alone.

use crate::chunks::Append;
use crate::sync::{AtomicU64, Mutex, Ordering};
use hashbrown::{DefaultHashBuilder, HashTable};
use std::hash::{BuildHasher, Hash};

/// The label value that stands for what is over a bound.
pub const OTHER: &str = "other";
/// The label value that stands for no provider, no key or no client.
pub const NONE: &str = "none";

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub(crate) u32);

        impl $name {
            /// The dense number: 0 for the first.
            #[must_use]
            pub const fn index(self) -> usize {
                self.0 as usize
            }
        }
    };
}

id!(
    /// A provider.
    ProviderId
);
id!(
    /// A model of a provider.
    ModelId
);
id!(
    /// A key of a provider.
    KeyId
);
id!(
    /// A model of a provider, asked with one of its keys.
    RouteId
);
id!(
    /// A client.
    ClientId
);
id!(
    /// A series of an event family.
    EventId
);

/// A resolved (provider, model, key): everything a record needs to find its counters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Route {
    /// The (provider, model, key).
    pub id: RouteId,
    /// The (provider, model).
    pub model: ModelId,
    /// The provider.
    pub provider: ProviderId,
    /// The key.
    pub key: KeyId,
}

/// The families of rare events that are counted outside of records.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Family {
    /// `coo_llm_admin_requests_total{endpoint,method,status}`.
    AdminRequests,
    /// `coo_llm_admin_rate_limits_total{endpoint}`.
    AdminRateLimits,
    /// `coo_llm_auth_attempts_total{method,result}`.
    AuthAttempts,
    /// `coo_llm_retries_total{provider,reason}`.
    Retries,
    /// `coo_llm_fallbacks_total{from,to}`.
    Fallbacks,
}

impl Family {
    /// Every family.
    pub const ALL: &'static [Self] = &[
        Self::AdminRequests,
        Self::AdminRateLimits,
        Self::AuthAttempts,
        Self::Retries,
        Self::Fallbacks,
    ];

    /// The label names, in the order of the values.
    #[must_use]
    pub const fn labels(self) -> &'static [&'static str] {
        match self {
            Self::AdminRequests => &["endpoint", "method", "status"],
            Self::AdminRateLimits => &["endpoint"],
            Self::AuthAttempts => &["method", "result"],
            Self::Retries => &["provider", "reason"],
            Self::Fallbacks => &["from", "to"],
        }
    }
}

/// What can overflow: the `family` label of `coo_llm_series_overflow_total`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Overflow {
    /// A (provider, model, key) that was folded into the model `other`.
    Route,
    /// A client that was folded into `other`.
    Client,
    /// An event series that was folded into `other`.
    Event,
}

impl Overflow {
    /// Every kind with its label value.
    pub const ALL: [(Self, &'static str); 3] = [
        (Self::Route, "route"),
        (Self::Client, "client"),
        (Self::Event, "event"),
    ];
}

#[derive(Debug)]
struct Model {
    provider: ProviderId,
    name: Box<str>,
}

#[derive(Debug)]
struct Event {
    family: Family,
    values: Box<[Box<str>]>,
}

/// Places of the items by their labels. The labels themselves stand in the lists.
#[derive(Debug, Default)]
struct Places {
    providers: HashTable<u32>,
    models: HashTable<u32>,
    keys: HashTable<u32>,
    routes: HashTable<u32>,
    clients: HashTable<u32>,
    events: HashTable<u32>,
}

/// Label values and their ids. See the module's description.
#[derive(Debug)]
pub struct Catalog {
    providers: Append<Box<str>>,
    models: Append<Model>,
    keys: Append<Model>,
    routes: Append<Route>,
    clients: Append<Box<str>>,
    events: Append<Event>,
    places: Mutex<Places>,
    hasher: DefaultHashBuilder,
    sets_max: u32,
    overflows: [AtomicU64; Overflow::ALL.len()],
}

impl Catalog {
    /// A catalogue in which each of routes, clients and event series has at most
    /// `sets_max` label sets; what comes later is folded into [`OTHER`].
    ///
    /// The folded series themselves come on top: one a (provider, key), one client,
    /// and one a family.
    #[must_use]
    pub fn new(sets_max: u32) -> Self {
        Self {
            providers: Append::new(),
            models: Append::new(),
            keys: Append::new(),
            routes: Append::new(),
            clients: Append::new(),
            events: Append::new(),
            places: Mutex::new(Places::default()),
            hasher: DefaultHashBuilder::default(),
            sets_max,
            overflows: std::array::from_fn(|_| AtomicU64::new(0)),
        }
    }

    fn places(&self) -> impl std::ops::DerefMut<Target = Places> + '_ {
        // A panic while it was held leaves lists and places whole: each step below
        // appends first and names the place after.
        self.places
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// The id of (provider, model, key), made where it is new.
    ///
    /// `key` is a public id that is unique over all providers, never a secret.
    /// Over the bound the model becomes [`OTHER`] and the overflow is counted.
    pub fn route(&self, provider: &str, model: &str, key: &str) -> Route {
        let mut places = self.places();
        let provider_at = self.intern_name(&mut places.providers, &self.providers, provider);
        let key_at = self.intern_pair(&mut places.keys, &self.keys, provider_at, key);
        if let Some(model_at) = self.find_pair(&places.models, &self.models, provider_at, model)
            && let Some(route) = self.find_route(&places.routes, model_at, key_at)
        {
            return route;
        }
        let model = if self.routes.len() < self.sets_max || model == OTHER || model == NONE {
            model
        } else {
            self.overflowed(Overflow::Route);
            OTHER
        };
        let model_at = self.intern_pair(&mut places.models, &self.models, provider_at, model);
        if let Some(route) = self.find_route(&places.routes, model_at, key_at) {
            return route;
        }
        let at = self.routes.len();
        let route = Route {
            id: RouteId(at),
            model: ModelId(model_at),
            provider: ProviderId(provider_at),
            key: KeyId(key_at),
        };
        self.routes
            .push(route)
            .expect("a bound of the catalogue is below that of its lists");
        places
            .routes
            .insert_unique(self.hash(&(model_at, key_at)), at, |&at| {
                let route = self.routes.get(at).expect("its place was named");
                self.hash(&(route.model.0, route.key.0))
            });
        route
    }

    /// As [`Catalog::route`] for labels that no configuration names, which others send.
    ///
    /// They may fill half of the catalogue: above it, all three labels of a route that is
    /// new become [`OTHER`], so that the gateway's own models keep their places and no
    /// list here grows without end.
    pub fn outside_route(&self, provider: &str, model: &str, key: &str) -> Route {
        let is_open = self.routes.len() < self.sets_max.div_ceil(2);
        if is_open || self.knows_route(provider, model, key) {
            return self.route(provider, model, key);
        }
        self.overflowed(Overflow::Route);
        self.route(OTHER, OTHER, OTHER)
    }

    /// As [`Catalog::client`] for an id that no configuration names; above half of the
    /// catalogue that of [`OTHER`].
    pub fn outside_client(&self, id: &str) -> ClientId {
        let is_open = self.clients.len() < self.sets_max.div_ceil(2);
        let known = self.find_name(&self.places().clients, &self.clients, id);
        match known {
            Some(at) => ClientId(at),
            None if is_open => self.client(id),
            None => {
                self.overflowed(Overflow::Client);
                self.client(OTHER)
            }
        }
    }

    fn knows_route(&self, provider: &str, model: &str, key: &str) -> bool {
        let places = self.places();
        let found = || {
            let provider = self.find_name(&places.providers, &self.providers, provider)?;
            let model = self.find_pair(&places.models, &self.models, provider, model)?;
            let key = self.find_pair(&places.keys, &self.keys, provider, key)?;
            self.find_route(&places.routes, model, key)
        };
        found().is_some()
    }

    /// The id of a provider, made where it is new.
    pub fn provider(&self, name: &str) -> ProviderId {
        let mut places = self.places();
        ProviderId(self.intern_name(&mut places.providers, &self.providers, name))
    }

    /// The id of a client, made where it is new; over the bound that of [`OTHER`].
    pub fn client(&self, id: &str) -> ClientId {
        let mut places = self.places();
        if let Some(at) = self.find_name(&places.clients, &self.clients, id) {
            return ClientId(at);
        }
        let id = if self.clients.len() < self.sets_max || id == OTHER || id == NONE {
            id
        } else {
            self.overflowed(Overflow::Client);
            OTHER
        };
        ClientId(self.intern_name(&mut places.clients, &self.clients, id))
    }

    /// The id of an event series, made where it is new; over the bound that whose
    /// values are all [`OTHER`].
    ///
    /// # Panics
    /// Where the number of values is not that of the family's labels.
    pub fn event(&self, family: Family, values: &[&str]) -> EventId {
        assert_eq!(
            values.len(),
            family.labels().len(),
            "a value a label of {family:?}"
        );
        let others = [OTHER; 3];
        let mut places = self.places();
        if let Some(at) = self.find_event(&places.events, family, values) {
            return EventId(at);
        }
        let values = if self.events.len() < self.sets_max {
            values
        } else {
            self.overflowed(Overflow::Event);
            let folded = &others[..values.len()];
            if let Some(at) = self.find_event(&places.events, family, folded) {
                return EventId(at);
            }
            folded
        };
        let event = Event {
            family,
            values: values.iter().map(|&v| v.into()).collect(),
        };
        let at = self
            .events
            .push(event)
            .expect("a bound of the catalogue is below its lists'");
        places
            .events
            .insert_unique(self.hash_event(family, values), at, |&at| {
                let event = self.events.get(at).expect("its place was named");
                self.hash_event(event.family, &event.values)
            });
        EventId(at)
    }

    /// How often a label set was folded into [`OTHER`].
    #[must_use]
    pub fn overflow_count(&self, kind: Overflow) -> u64 {
        self.overflows[kind as usize].load(Ordering::Relaxed)
    }

    /// The providers, in the order of their ids.
    pub fn providers(&self) -> impl Iterator<Item = (ProviderId, &str)> {
        (0..self.providers.len())
            .filter_map(|at| Some((ProviderId(at), &**self.providers.get(at)?)))
    }

    /// The (provider, model) pairs, in the order of their ids.
    pub fn models(&self) -> impl Iterator<Item = (ModelId, ProviderId, &str)> {
        (0..self.models.len()).filter_map(|at| {
            let model = self.models.get(at)?;
            Some((ModelId(at), model.provider, &*model.name))
        })
    }

    /// The keys, in the order of their ids.
    pub fn keys(&self) -> impl Iterator<Item = (KeyId, ProviderId, &str)> {
        (0..self.keys.len()).filter_map(|at| {
            let key = self.keys.get(at)?;
            Some((KeyId(at), key.provider, &*key.name))
        })
    }

    /// The routes, in the order of their ids.
    pub fn routes(&self) -> impl Iterator<Item = Route> {
        (0..self.routes.len()).filter_map(|at| self.routes.get(at).copied())
    }

    /// The clients, in the order of their ids.
    pub fn clients(&self) -> impl Iterator<Item = (ClientId, &str)> {
        (0..self.clients.len()).filter_map(|at| Some((ClientId(at), &**self.clients.get(at)?)))
    }

    /// The event series, in the order of their ids, with their label values.
    pub fn events(&self) -> impl Iterator<Item = (EventId, Family, &[Box<str>])> {
        (0..self.events.len()).filter_map(|at| {
            let event = self.events.get(at)?;
            Some((EventId(at), event.family, &*event.values))
        })
    }

    /// The provider, model and key of a (provider, model, key), by name.
    #[must_use]
    pub fn route_names(&self, id: RouteId) -> [&str; 3] {
        self.routes.get(id.0).map_or([OTHER; 3], |route| {
            [
                self.provider_name(route.provider),
                self.model_name(route.model),
                self.key_name(route.key),
            ]
        })
    }

    /// The provider's name.
    #[must_use]
    pub fn provider_name(&self, id: ProviderId) -> &str {
        self.providers.get(id.0).map_or(OTHER, |name| name)
    }

    /// The model's name.
    #[must_use]
    pub fn model_name(&self, id: ModelId) -> &str {
        self.models.get(id.0).map_or(OTHER, |model| &model.name)
    }

    /// The key's public id.
    #[must_use]
    pub fn key_name(&self, id: KeyId) -> &str {
        self.keys.get(id.0).map_or(OTHER, |key| &key.name)
    }

    /// The client's id.
    #[must_use]
    pub fn client_name(&self, id: ClientId) -> &str {
        self.clients.get(id.0).map_or(OTHER, |name| name)
    }

    /// Label sets by kind: routes, clients, event series.
    #[must_use]
    pub fn sets(&self) -> [u32; 3] {
        [self.routes.len(), self.clients.len(), self.events.len()]
    }

    fn overflowed(&self, kind: Overflow) {
        self.overflows[kind as usize].fetch_add(1, Ordering::Relaxed);
    }

    fn hash<T: Hash>(&self, labels: &T) -> u64 {
        self.hasher.hash_one(labels)
    }

    fn hash_event<S: AsRef<str>>(&self, family: Family, values: &[S]) -> u64 {
        use std::hash::Hasher;
        let mut hasher = self.hasher.build_hasher();
        family.hash(&mut hasher);
        for value in values {
            // `str`'s hash ends in a separator, so ("a","bc") and ("ab","c") differ.
            value.as_ref().hash(&mut hasher);
        }
        hasher.finish()
    }

    fn find_name(
        &self,
        places: &HashTable<u32>,
        list: &Append<Box<str>>,
        name: &str,
    ) -> Option<u32> {
        places
            .find(self.hash(&name), |&at| {
                list.get(at).is_some_and(|have| **have == *name)
            })
            .copied()
    }

    fn intern_name(&self, places: &mut HashTable<u32>, list: &Append<Box<str>>, name: &str) -> u32 {
        if let Some(at) = self.find_name(places, list, name) {
            return at;
        }
        let at = list
            .push(name.into())
            .expect("a bound of the catalogue is below its lists'");
        places.insert_unique(self.hash(&name), at, |&at| {
            self.hash(&&**list.get(at).expect("its place was named"))
        });
        at
    }

    fn find_pair(
        &self,
        places: &HashTable<u32>,
        list: &Append<Model>,
        provider: u32,
        name: &str,
    ) -> Option<u32> {
        places
            .find(self.hash(&(provider, name)), |&at| {
                list.get(at)
                    .is_some_and(|have| have.provider.0 == provider && *have.name == *name)
            })
            .copied()
    }

    fn intern_pair(
        &self,
        places: &mut HashTable<u32>,
        list: &Append<Model>,
        provider: u32,
        name: &str,
    ) -> u32 {
        if let Some(at) = self.find_pair(places, list, provider, name) {
            return at;
        }
        let item = Model {
            provider: ProviderId(provider),
            name: name.into(),
        };
        let at = list
            .push(item)
            .expect("a bound of the catalogue is below its lists'");
        places.insert_unique(self.hash(&(provider, name)), at, |&at| {
            let have = list.get(at).expect("its place was named");
            self.hash(&(have.provider.0, &*have.name))
        });
        at
    }

    fn find_route(&self, places: &HashTable<u32>, model: u32, key: u32) -> Option<Route> {
        let at = places.find(self.hash(&(model, key)), |&at| {
            self.routes
                .get(at)
                .is_some_and(|have| have.model.0 == model && have.key.0 == key)
        })?;
        self.routes.get(*at).copied()
    }

    fn find_event<S: AsRef<str>>(
        &self,
        places: &HashTable<u32>,
        family: Family,
        values: &[S],
    ) -> Option<u32> {
        places
            .find(self.hash_event(family, values), |&at| {
                self.events.get(at).is_some_and(|have| {
                    have.family == family
                        && have
                            .values
                            .iter()
                            .zip(values)
                            .all(|(a, b)| **a == *b.as_ref())
                })
            })
            .copied()
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn labels_that_join_to_the_same_text_are_different_series() {
        let catalog = Catalog::new(100);
        let one = catalog.route("open", "ai-x", "k");
        let two = catalog.route("openai", "-x", "k");
        assert_ne!(one.id, two.id);
        assert_eq!(catalog.route("open", "ai-x", "k"), one);
        let a = catalog.event(Family::AuthAttempts, &["a", "bc"]);
        assert_ne!(a, catalog.event(Family::AuthAttempts, &["ab", "c"]));
        assert_eq!(a, catalog.event(Family::AuthAttempts, &["a", "bc"]));
    }

    #[test]
    fn over_the_bound_models_and_clients_become_other() {
        let catalog = Catalog::new(3);
        for n in 0..10 {
            catalog.route("p", &format!("m{n}"), "k");
            catalog.client(&format!("c{n}"));
        }
        let models: Vec<_> = catalog
            .models()
            .map(|(_, _, name)| name.to_owned())
            .collect();
        assert_eq!(models, ["m0", "m1", "m2", "other"]);
        assert_eq!(catalog.sets()[..2], [4, 4]);
        assert_eq!(catalog.overflow_count(Overflow::Route), 7);
        assert_eq!(catalog.overflow_count(Overflow::Client), 7);
        let folded = catalog.route("p", "m9", "k");
        assert_eq!(catalog.model_name(folded.model), OTHER);
        assert_eq!(
            catalog.model_name(catalog.route("p", "m1", "k").model),
            "m1"
        );
    }

    #[test]
    fn names_from_outside_fill_half_and_leave_no_trace_above_it() {
        let catalog = Catalog::new(6);
        let own = catalog.route("own", "m", "k");
        for n in 0..10 {
            catalog.outside_route(&format!("p{n}"), "m", &format!("k{n}"));
            catalog.outside_client(&format!("c{n}"));
        }
        let providers: Vec<_> = catalog.providers().map(|(_, name)| name).collect();
        assert_eq!(providers, ["own", "p0", "p1", OTHER]);
        let keys: Vec<_> = catalog.keys().map(|(_, _, name)| name).collect();
        assert_eq!(keys, ["k", "k0", "k1", OTHER]);
        let clients: Vec<_> = catalog.clients().map(|(_, name)| name).collect();
        assert_eq!(clients, ["c0", "c1", "c2", OTHER]);
        assert_eq!(catalog.overflow_count(Overflow::Route), 8);
        assert_eq!(catalog.overflow_count(Overflow::Client), 7);
        // What has a place keeps it, and the gateway's own still get theirs.
        assert_eq!(catalog.outside_route("own", "m", "k"), own);
        let mine = catalog.route("own", "m2", "k");
        assert_eq!(catalog.model_name(mine.model), "m2");
        assert_eq!(catalog.client_name(catalog.client("mine")), "mine");
    }

    #[test]
    fn many_label_sets_keep_their_ids() {
        let catalog = Catalog::new(1_000_000);
        let ids: Vec<_> = (0..20_000)
            .map(|n| {
                catalog.route(
                    &format!("p{}", n % 7),
                    &format!("m{n}"),
                    &format!("k{}", n % 5),
                )
            })
            .collect();
        for (n, id) in ids.iter().enumerate() {
            let again = catalog.route(
                &format!("p{}", n % 7),
                &format!("m{n}"),
                &format!("k{}", n % 5),
            );
            assert_eq!(again, *id);
            assert_eq!(catalog.model_name(id.model), format!("m{n}"));
        }
    }
}
