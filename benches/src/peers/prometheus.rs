//! `prometheus` 0.14.

use super::{LATENCY_NAME, OF_CLIENT, OF_ROUTE, Peer, bounds, latency};
use crate::pick::Pick;
use crate::set::{RouteNames, Set};
use prometheus::core::Collector;
use prometheus::{
    Encoder, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, Opts, Registry,
    TextEncoder,
};

/// The registry and its families.
pub(super) struct Prometheus {
    registry: Registry,
    of_route: [IntCounterVec; 4],
    latency: HistogramVec,
    of_client: [IntCounterVec; 3],
}

impl Peer for Prometheus {
    type Route = ([IntCounter; 4], Histogram);
    type Client = [IntCounter; 3];

    fn new(_set: &Set) -> Self {
        fn add<C: Collector + Clone + 'static>(registry: &Registry, family: C) -> C {
            let added = registry.register(Box::new(family.clone()));
            added.expect("names differ");
            family
        }
        let registry = Registry::new();
        let counter = |name: &str, labels: &[&str]| {
            let family = IntCounterVec::new(Opts::new(name, "help"), labels);
            add(&registry, family.expect("a valid family"))
        };
        let of_route = OF_ROUTE.map(|name| counter(name, &["provider", "model", "key"]));
        let of_client = OF_CLIENT.map(|name| counter(name, &["client"]));
        let opts = HistogramOpts::new(LATENCY_NAME, "help").buckets(bounds());
        let latency = HistogramVec::new(opts, &["provider", "model"]);
        let latency = add(&registry, latency.expect("a valid family"));
        Self {
            registry,
            of_route,
            latency,
            of_client,
        }
    }

    #[inline]
    fn route(&self, names: &RouteNames) -> Self::Route {
        let labels: [&str; 3] = [&names.provider, &names.model, &names.key];
        let counters = self.of_route.each_ref();
        let counters = counters.map(|family| family.with_label_values(&labels));
        (counters, self.latency.with_label_values(&labels[..2]))
    }

    #[inline]
    fn client(&self, name: &str) -> Self::Client {
        let counters = self.of_client.each_ref();
        counters.map(|family| family.with_label_values(&[name]))
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

    fn render(&self, page: &mut Vec<u8>) {
        page.clear();
        let encoded = TextEncoder::new().encode(&self.registry.gather(), page);
        encoded.expect("a Vec takes every byte");
    }
}
