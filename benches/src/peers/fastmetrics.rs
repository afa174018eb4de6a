//! `fastmetrics` 0.7; handles are clones out of its families.

use super::owned_labels::{ClientLabels, ModelLabels, RouteLabels};
use super::{LATENCY_NAME, OF_CLIENT, OF_ROUTE, Peer, as_text, bounds, latency};
use crate::pick::Pick;
use crate::set::{RouteNames, Set};
use fastmetrics::format::text::{TextProfile, encode};
use fastmetrics::metrics::counter::Counter;
use fastmetrics::metrics::family::Family;
use fastmetrics::metrics::histogram::Histogram;
use fastmetrics::registry::Registry;

/// The registry and its families.
pub(super) struct FastMetrics {
    registry: Registry,
    of_route: [Family<RouteLabels, Counter>; 4],
    latency: Family<ModelLabels, Histogram>,
    of_client: [Family<ClientLabels, Counter>; 3],
}

impl Peer for FastMetrics {
    type Route = ([Counter; 4], Histogram);
    type Client = [Counter; 3];

    fn new(_set: &Set) -> Self {
        let mut registry = Registry::default();
        let of_route = OF_ROUTE.map(|name| {
            let family = Family::<RouteLabels, Counter>::default();
            let added = registry.register(name, "help", family.clone());
            added.expect("names differ");
            family
        });
        let of_client = OF_CLIENT.map(|name| {
            let family = Family::<ClientLabels, Counter>::default();
            let added = registry.register(name, "help", family.clone());
            added.expect("names differ");
            family
        });
        let latency = Family::new(|| Histogram::new(bounds()));
        let added = registry.register(LATENCY_NAME, "help", latency.clone());
        added.expect("names differ");
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
        let counters = counters.map(|family| family.with_or_new(&labels, Counter::clone));
        (
            counters,
            self.latency.with_or_new(&of_model, Histogram::clone),
        )
    }

    fn client(&self, name: &str) -> Self::Client {
        let labels = ClientLabels::of(name);
        let counters = self.of_client.each_ref();
        counters.map(|family| family.with_or_new(&labels, Counter::clone))
    }

    #[inline]
    fn add_route(&self, (counters, histogram): &Self::Route, pick: &Pick) {
        let counts = counters.iter().zip(pick.of_route());
        counts.for_each(|(counter, n)| counter.inc_by(n));
        histogram.observe(latency(pick));
    }

    #[inline]
    fn add_client(&self, counters: &Self::Client, pick: &Pick) {
        let counts = counters.iter().zip(pick.of_client());
        counts.for_each(|(counter, n)| counter.inc_by(n));
    }

    /// In place, under the family's lock, without a handle of its own.
    #[inline]
    fn add_by_labels(&self, route: &RouteNames, client: &str, pick: &Pick) {
        let labels = RouteLabels::of(route);
        let of_model = ModelLabels::of(route);
        for (family, n) in self.of_route.iter().zip(pick.of_route()) {
            family.with_or_new(&labels, |counter| counter.inc_by(n));
        }
        let observe = |histogram: &Histogram| histogram.observe(latency(pick));
        self.latency.with_or_new(&of_model, observe);
        let labels = ClientLabels::of(client);
        for (family, n) in self.of_client.iter().zip(pick.of_client()) {
            family.with_or_new(&labels, |counter| counter.inc_by(n));
        }
    }

    fn render(&self, page: &mut Vec<u8>) {
        as_text(page, |text| {
            let encoded = encode(text, &self.registry, TextProfile::PrometheusV0_0_4);
            encoded.expect("a String takes every char");
        });
    }
}
