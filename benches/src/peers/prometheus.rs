//! `prometheus` 0.14.

use super::{bounds, micros};
use crate::work::{Item, RouteName, Set, Sums};
use prometheus::core::Collector;
use prometheus::{
    Encoder, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, Opts, Registry,
    TextEncoder,
};

/// The families.
#[derive(Clone, Debug)]
pub struct Families {
    registry: Registry,
    requests: IntCounterVec,
    tokens: IntCounterVec,
    cost: IntCounterVec,
    latency: HistogramVec,
    client_requests: IntCounterVec,
    client_tokens: IntCounterVec,
    client_cost: IntCounterVec,
}

/// Handles of a route.
#[derive(Clone, Debug)]
pub struct RouteHandles {
    requests: IntCounter,
    input: IntCounter,
    output: IntCounter,
    cost: IntCounter,
    latency: Histogram,
}

/// Handles of a client.
#[derive(Clone, Debug)]
pub struct ClientHandles {
    requests: IntCounter,
    tokens: IntCounter,
    cost: IntCounter,
}

/// Records through handles.
#[inline]
pub fn record(route: &RouteHandles, client: &ClientHandles, item: &Item) {
    route.requests.inc();
    route.input.inc_by(item.input);
    route.output.inc_by(item.output);
    route.cost.inc_by(item.cost);
    route.latency.observe(item.latency_us as f64 / 1e6);
    client.requests.inc();
    client.tokens.inc_by(item.input + item.output);
    client.cost.inc_by(item.cost);
}

impl Families {
    /// Empty families in a registry of their own.
    #[must_use]
    pub fn new() -> Self {
        let valid = "names are valid";
        let registry = Registry::new();
        let counter = |name: &str, labels: &[&str]| {
            let vec = IntCounterVec::new(Opts::new(name, "A counter."), labels).expect(valid);
            registry.register(Box::new(vec.clone())).expect(valid);
            vec
        };
        let route = ["provider", "model", "key"];
        let opts = HistogramOpts::new("latency_seconds", "Latency.").buckets(bounds());
        let latency = HistogramVec::new(opts, &route[..2]).expect(valid);
        registry.register(Box::new(latency.clone())).expect(valid);
        Self {
            requests: counter("requests_total", &route),
            tokens: counter("tokens_total", &["provider", "model", "key", "type"]),
            cost: counter("cost_nano_usd_total", &route),
            latency,
            client_requests: counter("client_requests_total", &["client"]),
            client_tokens: counter("client_tokens_total", &["client"]),
            client_cost: counter("client_cost_nano_usd_total", &["client"]),
            registry,
        }
    }

    /// The handles of a route.
    #[must_use]
    pub fn route(&self, name: &RouteName) -> RouteHandles {
        let RouteName {
            provider,
            model,
            key,
        } = name;
        let labels = [provider.as_str(), model, key];
        let tokens = |kind| {
            self.tokens
                .with_label_values(&[provider.as_str(), model, key, kind])
        };
        RouteHandles {
            requests: self.requests.with_label_values(&labels),
            input: tokens("input"),
            output: tokens("output"),
            cost: self.cost.with_label_values(&labels),
            latency: self.latency.with_label_values(&labels[..2]),
        }
    }

    /// The handles of a client.
    #[must_use]
    pub fn client(&self, name: &str) -> ClientHandles {
        ClientHandles {
            requests: self.client_requests.with_label_values(&[name]),
            tokens: self.client_tokens.with_label_values(&[name]),
            cost: self.client_cost.with_label_values(&[name]),
        }
    }

    /// All handles of a set.
    #[must_use]
    pub fn handles(&self, set: &Set) -> (Vec<RouteHandles>, Vec<ClientHandles>) {
        let routes = set.routes().iter().map(|name| self.route(name)).collect();
        let clients = set.client_names();
        let clients = clients.iter().map(|name| self.client(name)).collect();
        (routes, clients)
    }

    /// Records by `with_label_values` alone, as most code does.
    #[inline]
    pub fn record_labels(&self, route: &RouteName, client: &str, item: &Item) {
        record(&self.route(route), &self.client(client), item);
    }

    /// The text page, in place of what is in `page`.
    ///
    /// # Panics
    /// Where the encoder refuses its own families.
    pub fn render(&self, page: &mut Vec<u8>) {
        page.clear();
        let encoded = TextEncoder::new().encode(&self.registry.gather(), page);
        encoded.expect("gathered families encode");
    }

    /// Sums over all series.
    #[must_use]
    pub fn sums(&self) -> Sums {
        let count = |vec: &IntCounterVec, kind: Option<&str>| -> u64 {
            let families = vec.collect();
            let metrics = families.iter().flat_map(|family| family.get_metric());
            let chosen = metrics.filter(|metric| {
                kind.is_none_or(|kind| metric.get_label().iter().any(|l| l.value() == kind))
            });
            chosen.map(|m| m.get_counter().value() as u64).sum()
        };
        let latency = self.latency.collect();
        let histograms = latency.iter().flat_map(|family| family.get_metric());
        let (latency_count, secs) = histograms.fold((0, 0.0), |(n, secs), metric| {
            let histogram = metric.get_histogram();
            (
                n + histogram.get_sample_count(),
                secs + histogram.get_sample_sum(),
            )
        });
        Sums {
            requests: count(&self.requests, None),
            input: count(&self.tokens, Some("input")),
            output: count(&self.tokens, Some("output")),
            cost: count(&self.cost, None),
            latency_count,
            latency_us: micros(secs),
            client_requests: count(&self.client_requests, None),
            client_tokens: count(&self.client_tokens, None),
            client_cost: count(&self.client_cost, None),
        }
    }
}

impl Default for Families {
    fn default() -> Self {
        Self::new()
    }
}
