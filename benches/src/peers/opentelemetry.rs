//! `opentelemetry` 0.33: the SDK with its Prometheus exporter.
//!
//! Its stable interface takes attributes at each record, made once here ([`Attributes`]).
//! What it calls bound instruments is a handle ([`Bound`]), behind a feature that it calls
//! experimental. Cardinality limits are set to what the set needs, for the default of 2,000
//! would fold most of L into one series.

use super::{LATENCY_NAME, OF_CLIENT, OF_ROUTE, Peer, bounds, latency};
use crate::pick::Pick;
use crate::set::{RouteNames, Set};
use opentelemetry::KeyValue;
use opentelemetry::metrics::{
    BoundCounter, BoundHistogram, Counter, Histogram, Meter, MeterProvider,
};
use opentelemetry_sdk::metrics::{Instrument, SdkMeterProvider, Stream};
use prometheus::{Encoder, Registry, TextEncoder};

/// Clients beyond the set that a bench may name: `churn` has 400 in each of ten runs.
const NEW_CLIENTS_MAX: usize = 4_096;

/// The provider and its instruments.
struct Instruments {
    registry: Registry,
    of_route: [Counter<u64>; 4],
    latency: Histogram<f64>,
    of_client: [Counter<u64>; 3],
    /// Held, for it shuts down when it goes.
    _provider: SdkMeterProvider,
}

impl Instruments {
    fn new(set: &Set) -> Self {
        let registry = Registry::new();
        let exporter = opentelemetry_prometheus::exporter()
            .with_registry(registry.clone())
            .scope_info_enabled(false)
            .without_target_info()
            .build();
        let (models, routes) = (set.histogram_series(), set.routes());
        let clients = set.clients + NEW_CLIENTS_MAX;
        let provider = SdkMeterProvider::builder()
            .with_reader(exporter.expect("a valid exporter"))
            .with_view(move |instrument: &Instrument| {
                let limit = match instrument.name() {
                    LATENCY_NAME => models,
                    name if OF_ROUTE.contains(&name) => routes,
                    _ => clients,
                };
                let stream = Stream::builder().with_cardinality_limit(limit);
                Some(stream.build().expect("a valid stream"))
            })
            .build();
        let meter: Meter = provider.meter("benches");
        let counter = |name| meter.u64_counter(name).build();
        let latency = meter.f64_histogram(LATENCY_NAME);
        Self {
            registry,
            of_route: OF_ROUTE.map(counter),
            latency: latency.with_boundaries(bounds()).build(),
            of_client: OF_CLIENT.map(counter),
            _provider: provider,
        }
    }

    fn render(&self, page: &mut Vec<u8>) {
        page.clear();
        let encoded = TextEncoder::new().encode(&self.registry.gather(), page);
        encoded.expect("a Vec takes every byte");
    }
}

/// Provider, model and key; the first two are the model's.
fn of_route(names: &RouteNames) -> [KeyValue; 3] {
    [
        KeyValue::new("provider", names.provider.clone()),
        KeyValue::new("model", names.model.clone()),
        KeyValue::new("key", names.key.clone()),
    ]
}

fn of_client(name: &str) -> [KeyValue; 1] {
    [KeyValue::new("client", name.to_owned())]
}

/// With attributes at each record.
pub(super) struct Attributes(Instruments);

impl Peer for Attributes {
    type Route = [KeyValue; 3];
    type Client = [KeyValue; 1];

    fn new(set: &Set) -> Self {
        Self(Instruments::new(set))
    }

    fn route(&self, names: &RouteNames) -> Self::Route {
        of_route(names)
    }

    fn client(&self, name: &str) -> Self::Client {
        of_client(name)
    }

    #[inline]
    fn add_route(&self, attributes: &Self::Route, pick: &Pick) {
        for (counter, n) in self.0.of_route.iter().zip(pick.of_route()) {
            counter.add(n, attributes);
        }
        self.0.latency.record(latency(pick), &attributes[..2]);
    }

    #[inline]
    fn add_client(&self, attributes: &Self::Client, pick: &Pick) {
        for (counter, n) in self.0.of_client.iter().zip(pick.of_client()) {
            counter.add(n, attributes);
        }
    }

    fn render(&self, page: &mut Vec<u8>) {
        self.0.render(page);
    }
}

/// With bound instruments.
pub(super) struct Bound(Instruments);

impl Peer for Bound {
    type Route = ([BoundCounter<u64>; 4], BoundHistogram<f64>);
    type Client = [BoundCounter<u64>; 3];

    fn new(set: &Set) -> Self {
        Self(Instruments::new(set))
    }

    fn route(&self, names: &RouteNames) -> Self::Route {
        let attributes = of_route(names);
        let counters = self.0.of_route.each_ref();
        let counters = counters.map(|counter| counter.bind(&attributes));
        (counters, self.0.latency.bind(&attributes[..2]))
    }

    fn client(&self, name: &str) -> Self::Client {
        let counters = self.0.of_client.each_ref();
        counters.map(|counter| counter.bind(&of_client(name)))
    }

    #[inline]
    fn add_route(&self, (counters, histogram): &Self::Route, pick: &Pick) {
        let counts = counters.iter().zip(pick.of_route());
        counts.for_each(|(counter, n)| counter.add(n));
        histogram.record(latency(pick));
    }

    #[inline]
    fn add_client(&self, counters: &Self::Client, pick: &Pick) {
        let counts = counters.iter().zip(pick.of_client());
        counts.for_each(|(counter, n)| counter.add(n));
    }

    fn render(&self, page: &mut Vec<u8>) {
        self.0.render(page);
    }
}
