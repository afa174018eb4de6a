//! `prometheus-client` 0.25, with handles that were taken out of its families.

use super::{bounds, seconds, text};
use crate::backend::{Backend, Writer};
use crate::pick::Pick;
use crate::set::{RouteNames, Set};
use crate::tally::Tally;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct RouteLabels {
    provider: String,
    model: String,
    key: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct ModelLabels {
    provider: String,
    model: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct ClientLabels {
    client: String,
}

type Histograms = Family<ModelLabels, Histogram, fn() -> Histogram>;

#[derive(Clone)]
struct RouteHandles {
    counters: [Counter; 4],
    latency: Histogram,
}

/// The meter.
pub struct PrometheusClient {
    set: Set,
    registry: Registry,
    route_families: [Family<RouteLabels, Counter>; 4],
    latency: Histograms,
    client_families: [Family<ClientLabels, Counter>; 3],
    routes: Vec<RouteHandles>,
    clients: Vec<[Counter; 3]>,
}

impl PrometheusClient {
    /// A meter for a set.
    #[must_use]
    pub fn new(set: &Set) -> Self {
        let mut registry = Registry::default();
        let route_families = ["requests", "tokens_in", "tokens_out", "cost"].map(|name| {
            let family = Family::<RouteLabels, Counter>::default();
            registry.register(name, "help", family.clone());
            family
        });
        let latency = Histograms::new_with_constructor(|| Histogram::new(bounds()));
        registry.register("latency", "help", latency.clone());
        let client_families = ["client_requests", "client_tokens", "client_cost"].map(|name| {
            let family = Family::<ClientLabels, Counter>::default();
            registry.register(name, "help", family.clone());
            family
        });
        let mut meter = Self {
            set: *set,
            registry,
            route_families,
            latency,
            client_families,
            routes: Vec::new(),
            clients: Vec::new(),
        };
        let routes = (0..set.routes()).map(|at| meter.route(set.route_names(at)));
        meter.routes = routes.collect();
        let clients = (0..set.clients).map(|at| meter.client(set.client_name(at)));
        meter.clients = clients.collect();
        meter
    }

    fn route(&self, names: RouteNames) -> RouteHandles {
        let RouteNames {
            provider,
            model,
            key,
        } = names;
        let of_model = ModelLabels {
            provider: provider.clone(),
            model: model.clone(),
        };
        let labels = RouteLabels {
            provider,
            model,
            key,
        };
        let counters = self.route_families.each_ref();
        RouteHandles {
            counters: counters.map(|family| family.get_or_create_owned(&labels)),
            latency: self.latency.get_or_create_owned(&of_model),
        }
    }

    fn client(&self, client: String) -> [Counter; 3] {
        let labels = ClientLabels { client };
        let counters = self.client_families.each_ref();
        counters.map(|family| family.get_or_create_owned(&labels))
    }
}

#[inline]
fn add_route(handles: &RouteHandles, pick: &Pick) {
    let [requests, input, output, cost] = &handles.counters;
    requests.inc();
    input.inc_by(u64::from(pick.input));
    output.inc_by(u64::from(pick.output));
    cost.inc_by(u64::from(pick.cost));
    handles.latency.observe(seconds(u64::from(pick.latency)));
}

#[inline]
fn add_client([requests, tokens, cost]: &[Counter; 3], pick: &Pick) {
    requests.inc();
    tokens.inc_by(u64::from(pick.input + pick.output));
    cost.inc_by(u64::from(pick.cost));
}

impl Writer for &PrometheusClient {
    #[inline]
    fn record(&mut self, pick: &Pick) {
        add_route(&self.routes[pick.route as usize], pick);
        add_client(&self.clients[pick.client as usize], pick);
    }

    fn record_new_client(&mut self, pick: &Pick, name: &str) {
        add_route(&self.routes[pick.route as usize], pick);
        add_client(&self.client(name.to_owned()), pick);
    }
}

impl Backend for PrometheusClient {
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
        let mut text = String::from_utf8(std::mem::take(page)).unwrap_or_default();
        text.clear();
        encode(&mut text, &self.registry).expect("a String takes every char");
        *page = text.into_bytes();
    }
}
