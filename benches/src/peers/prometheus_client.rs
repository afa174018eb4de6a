//! `prometheus-client` 0.25; handles are taken out of its families.

use super::owned_labels::{ClientLabels, ModelLabels, RouteLabels};
use super::{LATENCY_NAME, OF_CLIENT, OF_ROUTE, Peer, as_text, bounds, latency};
use crate::pick::Pick;
use crate::set::{RouteNames, Set};
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

/// The registry and its families.
pub(super) struct PrometheusClient {
    registry: Registry,
    of_route: [Family<RouteLabels, Counter>; 4],
    latency: Family<ModelLabels, Histogram, fn() -> Histogram>,
    of_client: [Family<ClientLabels, Counter>; 3],
}

impl Peer for PrometheusClient {
    type Route = ([Counter; 4], Histogram);
    type Client = [Counter; 3];

    fn new(_set: &Set) -> Self {
        let mut registry = Registry::default();
        let of_route = OF_ROUTE.map(|name| {
            let family = Family::<RouteLabels, Counter>::default();
            registry.register(name, "help", family.clone());
            family
        });
        let of_client = OF_CLIENT.map(|name| {
            let family = Family::<ClientLabels, Counter>::default();
            registry.register(name, "help", family.clone());
            family
        });
        let histogram: fn() -> Histogram = || Histogram::new(bounds());
        let latency = Family::new_with_constructor(histogram);
        registry.register(LATENCY_NAME, "help", latency.clone());
        Self {
            registry,
            of_route,
            latency,
            of_client,
        }
    }

    fn route(&self, names: &RouteNames) -> Self::Route {
        let labels = RouteLabels::of(names);
        let of_model = ModelLabels::of(names);
        let counters = self.of_route.each_ref();
        let counters = counters.map(|family| family.get_or_create_owned(&labels));
        (counters, self.latency.get_or_create_owned(&of_model))
    }

    fn client(&self, name: &str) -> Self::Client {
        let labels = ClientLabels::of(name);
        let counters = self.of_client.each_ref();
        counters.map(|family| family.get_or_create_owned(&labels))
    }

    #[inline]
    fn add_route(&self, (counters, histogram): &Self::Route, pick: &Pick) {
        for (counter, n) in counters.iter().zip(pick.of_route()) {
            counter.inc_by(n);
        }
        histogram.observe(latency(pick));
    }

    #[inline]
    fn add_client(&self, counters: &Self::Client, pick: &Pick) {
        for (counter, n) in counters.iter().zip(pick.of_client()) {
            counter.inc_by(n);
        }
    }

    /// In place, under the family's lock, without a handle of its own.
    #[inline]
    fn add_by_labels(&self, route: &RouteNames, client: &str, pick: &Pick) {
        let labels = RouteLabels::of(route);
        let of_model = ModelLabels::of(route);
        for (family, n) in self.of_route.iter().zip(pick.of_route()) {
            family.get_or_create(&labels).inc_by(n);
        }
        self.latency.get_or_create(&of_model).observe(latency(pick));
        let labels = ClientLabels::of(client);
        for (family, n) in self.of_client.iter().zip(pick.of_client()) {
            family.get_or_create(&labels).inc_by(n);
        }
    }

    fn render(&self, page: &mut Vec<u8>) {
        as_text(page, |text| {
            encode(text, &self.registry).expect("a String takes every char");
        });
    }
}
