//! `prometheus` 0.14.

use super::{bounds, seconds, text};
use crate::backend::{Backend, Writer};
use crate::pick::Pick;
use crate::set::{RouteNames, Set};
use crate::tally::Tally;
use prometheus::core::Collector;
use prometheus::{
    Encoder, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, Opts, Registry,
    TextEncoder,
};

/// The families of the standard work.
struct Families {
    requests: IntCounterVec,
    tokens_in: IntCounterVec,
    tokens_out: IntCounterVec,
    cost: IntCounterVec,
    latency: HistogramVec,
    client_requests: IntCounterVec,
    client_tokens: IntCounterVec,
    client_cost: IntCounterVec,
}

#[derive(Clone)]
struct RouteHandles {
    requests: IntCounter,
    tokens_in: IntCounter,
    tokens_out: IntCounter,
    cost: IntCounter,
    latency: Histogram,
}

#[derive(Clone)]
struct ClientHandles {
    requests: IntCounter,
    tokens: IntCounter,
    cost: IntCounter,
}

impl RouteHandles {
    #[inline]
    fn add(&self, pick: &Pick) {
        self.requests.inc();
        self.tokens_in.inc_by(u64::from(pick.input));
        self.tokens_out.inc_by(u64::from(pick.output));
        self.cost.inc_by(u64::from(pick.cost));
        self.latency.observe(seconds(u64::from(pick.latency)));
    }
}

impl ClientHandles {
    #[inline]
    fn add(&self, pick: &Pick) {
        self.requests.inc();
        self.tokens.inc_by(u64::from(pick.input + pick.output));
        self.cost.inc_by(u64::from(pick.cost));
    }
}

impl Families {
    fn new(registry: &Registry) -> Self {
        fn add<C: Collector + Clone + 'static>(registry: &Registry, family: C) -> C {
            let added = registry.register(Box::new(family.clone()));
            added.expect("names differ");
            family
        }
        let counter = |name: &str, labels: &[&str]| {
            let family = IntCounterVec::new(Opts::new(name, "help"), labels);
            add(registry, family.expect("a valid family"))
        };
        let route = ["provider", "model", "key"];
        let opts = HistogramOpts::new("latency", "help").buckets(bounds());
        let latency = HistogramVec::new(opts, &["provider", "model"]);
        Self {
            requests: counter("requests", &route),
            tokens_in: counter("tokens_in", &route),
            tokens_out: counter("tokens_out", &route),
            cost: counter("cost", &route),
            latency: add(registry, latency.expect("a valid family")),
            client_requests: counter("client_requests", &["client"]),
            client_tokens: counter("client_tokens", &["client"]),
            client_cost: counter("client_cost", &["client"]),
        }
    }

    fn route(&self, names: &RouteNames) -> RouteHandles {
        let RouteNames {
            provider,
            model,
            key,
        } = names;
        let labels: [&str; 3] = [provider, model, key];
        RouteHandles {
            requests: self.requests.with_label_values(&labels),
            tokens_in: self.tokens_in.with_label_values(&labels),
            tokens_out: self.tokens_out.with_label_values(&labels),
            cost: self.cost.with_label_values(&labels),
            latency: self.latency.with_label_values(&labels[..2]),
        }
    }

    fn client(&self, name: &str) -> ClientHandles {
        ClientHandles {
            requests: self.client_requests.with_label_values(&[name]),
            tokens: self.client_tokens.with_label_values(&[name]),
            cost: self.client_cost.with_label_values(&[name]),
        }
    }
}

/// The meter; `BY_LABEL` looks labels up at each record instead of keeping handles.
pub struct Prometheus<const BY_LABEL: bool> {
    set: Set,
    registry: Registry,
    families: Families,
    routes: Vec<RouteHandles>,
    clients: Vec<ClientHandles>,
    route_names: Vec<RouteNames>,
    client_names: Vec<String>,
}

impl<const BY_LABEL: bool> Prometheus<BY_LABEL> {
    /// A meter for a set.
    ///
    /// # Panics
    /// Never: names and labels are valid.
    #[must_use]
    pub fn new(set: &Set) -> Self {
        let registry = Registry::new();
        let families = Families::new(&registry);
        let route_names: Vec<_> = (0..set.routes()).map(|at| set.route_names(at)).collect();
        let client_names: Vec<_> = (0..set.clients).map(|at| set.client_name(at)).collect();
        let routes = route_names
            .iter()
            .map(|names| families.route(names))
            .collect();
        let clients = client_names
            .iter()
            .map(|name| families.client(name))
            .collect();
        Self {
            set: *set,
            registry,
            families,
            routes,
            clients,
            route_names,
            client_names,
        }
    }
}

impl<const BY_LABEL: bool> Writer for &Prometheus<BY_LABEL> {
    #[inline]
    fn record(&mut self, pick: &Pick) {
        let (route, client) = (pick.route as usize, pick.client as usize);
        if BY_LABEL {
            self.families.route(&self.route_names[route]).add(pick);
            self.families.client(&self.client_names[client]).add(pick);
        } else {
            self.routes[route].add(pick);
            self.clients[client].add(pick);
        }
    }

    fn record_new_client(&mut self, pick: &Pick, name: &str) {
        self.routes[pick.route as usize].add(pick);
        self.families.client(name).add(pick);
    }
}

impl<const BY_LABEL: bool> Backend for Prometheus<BY_LABEL> {
    type Writer<'a> = &'a Self;

    fn writer(&self) -> &Self {
        self
    }

    fn tally(&self) -> Tally {
        let mut page = Vec::new();
        self.scrape(&mut page);
        text::tally(&self.set, &String::from_utf8_lossy(&page))
    }

    fn scrape(&self, page: &mut Vec<u8>) {
        page.clear();
        let encoded = TextEncoder::new().encode(&self.registry.gather(), page);
        encoded.expect("a Vec takes every byte");
    }
}
