//! Other meters at the same work, behind the feature `peers`.
//!
//! Each gets its own best use: series that are resolved before, in an array by id
//! ([`Handles`]), and beside it the look-up of labels at each record ([`Labels`]). Tokens and
//! nano-USD are integers where the peer has integer counters.

mod fastmetrics;
mod handles;
mod labels;
mod measured;
mod metrics;
mod opentelemetry;
mod owned_labels;
mod prometheus;
mod prometheus_client;
mod text;

use self::fastmetrics::FastMetrics;
use self::measured::Measured;
use self::metrics::Metrics;
use self::opentelemetry::{Attributes, Bound};
use self::prometheus::Prometheus;
use self::prometheus_client::PrometheusClient;
use crate::backend::Visit;
use crate::pick::Pick;
use crate::set::{RouteNames, Set};
use coo_llm_core::histogram::LATENCY;
pub use handles::Handles;
pub use labels::Labels;

/// The counters of a route, in the order of [`Pick::of_route`].
const OF_ROUTE: [&str; 4] = ["requests", "tokens_in", "tokens_out", "cost"];
/// The counters of a client, in the order of [`Pick::of_client`].
const OF_CLIENT: [&str; 3] = ["client_requests", "client_tokens", "client_cost"];
/// The histogram of a (provider, model).
const LATENCY_NAME: &str = "latency";

/// What differs from peer to peer.
///
/// A page has the families above, counters with or without `_total`.
pub trait Peer: Sync {
    /// Four counters and a histogram, as far as they can be resolved.
    type Route: Sync;
    /// Three counters.
    type Client: Sync;

    /// An empty meter that has room for a set.
    fn new(set: &Set) -> Self;

    /// The series of a route.
    fn route(&self, names: &RouteNames) -> Self::Route;

    /// The series of a client.
    fn client(&self, name: &str) -> Self::Client;

    /// The route's half of a record.
    fn add_route(&self, route: &Self::Route, pick: &Pick);

    /// The client's half.
    fn add_client(&self, client: &Self::Client, pick: &Pick);

    /// A record whose labels are looked up.
    fn add_by_labels(&self, route: &RouteNames, client: &str, pick: &Pick) {
        self.add_route(&self.route(route), pick);
        self.add_client(&self.client(client), pick);
    }

    /// Renders a page in place of what is in `page`.
    fn render(&self, page: &mut Vec<u8>);

    /// See [`crate::backend::Backend::upkeep`].
    fn upkeep(&self) {}
}

/// Every peer with series that were resolved before.
pub fn by_handle(set: &Set, visit: &mut impl Visit) {
    visit.one("prometheus, handles", || Handles::<Prometheus>::new(set));
    visit.one("prometheus-client, handles", || {
        Handles::<PrometheusClient>::new(set)
    });
    visit.one("metrics, handles", || Handles::<Metrics>::new(set));
    visit.one("measured, label ids", || Handles::<Measured>::new(set));
    visit.one("fastmetrics, handles", || Handles::<FastMetrics>::new(set));
    visit.one("opentelemetry, bound (experimental)", || {
        Handles::<Bound>::new(set)
    });
    visit.one("opentelemetry, attributes", || {
        Handles::<Attributes>::new(set)
    });
}

/// Every peer with labels as strings at each record.
pub fn by_label(set: &Set, visit: &mut impl Visit) {
    visit.one("prometheus, labels", || Labels::<Prometheus>::new(set));
    visit.one("prometheus-client, labels", || {
        Labels::<PrometheusClient>::new(set)
    });
    visit.one("metrics, labels", || Labels::<Metrics>::new(set));
    visit.one("measured, labels", || Labels::<Measured>::new(set));
    visit.one("fastmetrics, labels", || Labels::<FastMetrics>::new(set));
    visit.one("opentelemetry, labels", || Labels::<Attributes>::new(set));
}

/// The classic bounds in seconds.
fn bounds() -> Vec<f64> {
    LATENCY.bounds().iter().map(|us| seconds(*us)).collect()
}

/// Microseconds in seconds; the same division for bounds and values, so that both are exact.
#[inline]
fn seconds(us: u64) -> f64 {
    us as f64 / 1e6
}

/// A record's latency in seconds.
#[inline]
fn latency(pick: &Pick) -> f64 {
    seconds(u64::from(pick.latency))
}

/// A page that is written as text, in the memory of a page of bytes.
fn as_text(page: &mut Vec<u8>, write: impl FnOnce(&mut String)) {
    let mut text = String::from_utf8(std::mem::take(page)).unwrap_or_default();
    text.clear();
    write(&mut text);
    *page = text.into_bytes();
}
