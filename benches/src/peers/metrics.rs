//! `metrics` 0.24 with `metrics-exporter-prometheus` 0.18, with handles that were registered before.

use super::{bounds, seconds, text};
use crate::backend::{Backend, Writer};
use crate::pick::Pick;
use crate::set::Set;
use crate::tally::Tally;
use metrics::{Counter, Histogram, Key, Label, Level, Metadata, Recorder};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle, PrometheusRecorder};

static METADATA: Metadata<'static> = Metadata::new("benches", Level::INFO, None);

/// The meter.
pub struct Metrics {
    set: Set,
    recorder: PrometheusRecorder,
    page: PrometheusHandle,
    routes: Vec<([Counter; 4], Histogram)>,
    clients: Vec<[Counter; 3]>,
}

fn key(name: &'static str, labels: &[(&'static str, &str)]) -> Key {
    let labels: Vec<_> = labels
        .iter()
        .map(|(name, value)| Label::new(*name, (*value).to_owned()))
        .collect();
    Key::from_parts(name, labels)
}

impl Metrics {
    /// A meter for a set.
    ///
    /// # Panics
    /// Never: there are bounds.
    #[must_use]
    pub fn new(set: &Set) -> Self {
        let builder = PrometheusBuilder::new().set_buckets(&bounds());
        let recorder = builder.expect("there are bounds").build_recorder();
        let routes = (0..set.routes()).map(|at| {
            let names = set.route_names(at);
            let of_model = [("provider", &*names.provider), ("model", &*names.model)];
            let of_route = [of_model[0], of_model[1], ("key", &*names.key)];
            let counters = ["requests", "tokens_in", "tokens_out", "cost"]
                .map(|name| recorder.register_counter(&key(name, &of_route), &METADATA));
            let latency = recorder.register_histogram(&key("latency", &of_model), &METADATA);
            (counters, latency)
        });
        let routes = routes.collect();
        let clients = (0..set.clients).map(|at| client(&recorder, &set.client_name(at)));
        let clients = clients.collect();
        Self {
            set: *set,
            page: recorder.handle(),
            recorder,
            routes,
            clients,
        }
    }
}

fn client(recorder: &PrometheusRecorder, name: &str) -> [Counter; 3] {
    ["client_requests", "client_tokens", "client_cost"]
        .map(|family| recorder.register_counter(&key(family, &[("client", name)]), &METADATA))
}

#[inline]
fn add_route((counters, latency): &([Counter; 4], Histogram), pick: &Pick) {
    let [requests, input, output, cost] = counters;
    requests.increment(1);
    input.increment(u64::from(pick.input));
    output.increment(u64::from(pick.output));
    cost.increment(u64::from(pick.cost));
    latency.record(seconds(u64::from(pick.latency)));
}

#[inline]
fn add_client([requests, tokens, cost]: &[Counter; 3], pick: &Pick) {
    requests.increment(1);
    tokens.increment(u64::from(pick.input + pick.output));
    cost.increment(u64::from(pick.cost));
}

impl Writer for &Metrics {
    #[inline]
    fn record(&mut self, pick: &Pick) {
        add_route(&self.routes[pick.route as usize], pick);
        add_client(&self.clients[pick.client as usize], pick);
    }

    fn record_new_client(&mut self, pick: &Pick, name: &str) {
        add_route(&self.routes[pick.route as usize], pick);
        add_client(&client(&self.recorder, name), pick);
    }
}

impl Backend for Metrics {
    type Writer<'a> = &'a Self;

    fn writer(&self) -> &Self {
        self
    }

    fn tally(&self) -> Tally {
        text::tally(&self.set, &self.page.render())
    }

    fn scrape(&self, page: &mut Vec<u8>) {
        page.clear();
        page.extend_from_slice(self.page.render().as_bytes());
    }

    /// Values of histograms wait in a list until this folds them into buckets.
    fn upkeep(&self) {
        self.page.run_upkeep();
    }
}
