//! `metrics` 0.24 with `metrics-exporter-prometheus` 0.18.

use super::{LATENCY_NAME, OF_CLIENT, OF_ROUTE, Peer, bounds, latency};
use crate::pick::Pick;
use crate::set::{RouteNames, Set};
use metrics::{Counter, Histogram, Key, Label, Level, Metadata, Recorder};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle, PrometheusRecorder};

static METADATA: Metadata<'static> = Metadata::new("benches", Level::INFO, None);

/// The recorder, and what renders it.
pub(super) struct Metrics {
    recorder: PrometheusRecorder,
    page: PrometheusHandle,
}

fn key(name: &'static str, labels: &[(&'static str, &str)]) -> Key {
    let labels: Vec<_> = labels
        .iter()
        .map(|(name, value)| Label::new(*name, (*value).to_owned()))
        .collect();
    Key::from_parts(name, labels)
}

impl Peer for Metrics {
    type Route = ([Counter; 4], Histogram);
    type Client = [Counter; 3];

    fn new(_set: &Set) -> Self {
        let builder = PrometheusBuilder::new().set_buckets(&bounds());
        let recorder = builder.expect("there are bounds").build_recorder();
        let page = recorder.handle();
        Self { recorder, page }
    }

    fn route(&self, names: &RouteNames) -> Self::Route {
        let of_model = [("provider", &*names.provider), ("model", &*names.model)];
        let of_route = [of_model[0], of_model[1], ("key", &*names.key)];
        let counters = OF_ROUTE.map(|name| {
            self.recorder
                .register_counter(&key(name, &of_route), &METADATA)
        });
        let histogram = key(LATENCY_NAME, &of_model);
        let histogram = self.recorder.register_histogram(&histogram, &METADATA);
        (counters, histogram)
    }

    fn client(&self, name: &str) -> Self::Client {
        OF_CLIENT.map(|family| {
            self.recorder
                .register_counter(&key(family, &[("client", name)]), &METADATA)
        })
    }

    #[inline]
    fn add_route(&self, (counters, histogram): &Self::Route, pick: &Pick) {
        let counts = counters.iter().zip(pick.of_route());
        counts.for_each(|(counter, n)| counter.increment(n));
        histogram.record(latency(pick));
    }

    #[inline]
    fn add_client(&self, counters: &Self::Client, pick: &Pick) {
        let counts = counters.iter().zip(pick.of_client());
        counts.for_each(|(counter, n)| counter.increment(n));
    }

    fn render(&self, page: &mut Vec<u8>) {
        page.clear();
        page.extend_from_slice(self.page.render().as_bytes());
    }

    /// Values of histograms wait in a list until this folds them into buckets.
    fn upkeep(&self) {
        self.page.run_upkeep();
    }
}
