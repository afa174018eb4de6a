//! `measured` 0.0.25: label groups that become integers, and the ids of those.
//!
//! As its guide and its own benches have it: labels that are known at start in a
//! `RodeoReader`, those that are not in a `ParaCord`, one label set for the families that
//! share it. It chooses by itself how to keep a family: an array up to 1,024 combinations,
//! which set S has, and locked maps above, as on L, where an array of all (provider, model,
//! key) would take 26 MB a family. Its counters have no handle but an id that finds them.

use super::{LATENCY_NAME, OF_CLIENT, OF_ROUTE, Peer, latency, seconds};
use crate::pick::Pick;
use crate::set::{RouteNames, Set};
use ahash::RandomState;
use coo_llm_core::histogram::LATENCY;
use measured::lasso::{Rodeo, RodeoReader, Spur};
use measured::metric::LabelId;
use measured::metric::MetricFamilyEncoding;
use measured::metric::histogram::Thresholds;
use measured::metric::name::MetricName;
use measured::text::BufferedTextEncoder;
use measured::{CounterVec, HistogramVec, LabelGroup};
use paracord::ParaCord;
use std::sync::{Arc, Mutex};

/// Classic bounds.
const N: usize = LATENCY.bounds().len();

type Known = RodeoReader<Spur, RandomState>;

#[derive(Clone, Copy, LabelGroup)]
#[label(set = RouteSet)]
pub(super) struct RouteLabels<'a> {
    #[label(fixed_with = Known)]
    provider: &'a str,
    #[label(fixed_with = Known)]
    model: &'a str,
    #[label(fixed_with = Known)]
    key: &'a str,
}

#[derive(Clone, Copy, LabelGroup)]
#[label(set = ModelSet)]
pub(super) struct ModelLabels<'a> {
    #[label(fixed_with = Known)]
    provider: &'a str,
    #[label(fixed_with = Known)]
    model: &'a str,
}

#[derive(Clone, Copy, LabelGroup)]
#[label(set = ClientSet)]
pub(super) struct ClientLabels<'a> {
    #[label(dynamic_with = ParaCord)]
    client: &'a str,
}

/// The families.
pub(super) struct Measured {
    of_route: [CounterVec<Arc<RouteSet>>; 4],
    latency: HistogramVec<ModelSet, N>,
    of_client: [CounterVec<Arc<ClientSet>>; 3],
    encoder: Mutex<BufferedTextEncoder>,
}

/// The different values of one label of a set's routes.
fn known(routes: &[RouteNames], label: impl Fn(&RouteNames) -> &String) -> Known {
    let mut rodeo = Rodeo::with_hasher(RandomState::new());
    for route in routes {
        rodeo.get_or_intern(label(route));
    }
    rodeo.into_reader()
}

impl Peer for Measured {
    /// One id a family: an id is good for its own family only.
    type Route = ([LabelId<Arc<RouteSet>>; 4], LabelId<ModelSet>);
    type Client = [LabelId<Arc<ClientSet>>; 3];

    fn new(set: &Set) -> Self {
        let routes: Vec<_> = (0..set.routes()).map(|at| set.route_names(at)).collect();
        let provider = || known(&routes, |names| &names.provider);
        let model = || known(&routes, |names| &names.model);
        let key = known(&routes, |names| &names.key);
        let route_set = Arc::new(RouteSet::new(provider(), model(), key));
        let client_set = Arc::new(ClientSet::new(ParaCord::default()));
        let mut bounds = [0.0; N];
        for (to, us) in bounds.iter_mut().zip(LATENCY.bounds()) {
            *to = seconds(*us);
        }
        let thresholds = Thresholds::with_buckets(bounds);
        let model_set = ModelSet::new(provider(), model());
        Self {
            of_route: OF_ROUTE.map(|_| CounterVec::with_label_set(Arc::clone(&route_set))),
            latency: HistogramVec::with_label_set_and_metadata(model_set, thresholds),
            of_client: OF_CLIENT.map(|_| CounterVec::with_label_set(Arc::clone(&client_set))),
            encoder: Mutex::new(BufferedTextEncoder::new()),
        }
    }

    #[inline]
    fn route(&self, names: &RouteNames) -> Self::Route {
        let RouteNames {
            provider,
            model,
            key,
        } = names;
        let families = self.of_route.each_ref();
        let counters = families.map(|family| {
            family.with_labels(RouteLabels {
                provider,
                model,
                key,
            })
        });
        let of_model = ModelLabels { provider, model };
        (counters, self.latency.with_labels(of_model))
    }

    #[inline]
    fn client(&self, client: &str) -> Self::Client {
        let families = self.of_client.each_ref();
        families.map(|family| family.with_labels(ClientLabels { client }))
    }

    #[inline]
    fn add_route(&self, (counters, histogram): &Self::Route, pick: &Pick) {
        let ids = self.of_route.iter().zip(counters);
        for ((family, id), n) in ids.zip(pick.of_route()) {
            family.get_metric(*id).inc_by(n);
        }
        self.latency.get_metric(*histogram).observe(latency(pick));
    }

    #[inline]
    fn add_client(&self, counters: &Self::Client, pick: &Pick) {
        let ids = self.of_client.iter().zip(counters);
        for ((family, id), n) in ids.zip(pick.of_client()) {
            family.get_metric(*id).inc_by(n);
        }
    }

    fn render(&self, page: &mut Vec<u8>) {
        fn add(
            family: &impl MetricFamilyEncoding<BufferedTextEncoder>,
            name: &'static str,
            encoder: &mut BufferedTextEncoder,
        ) {
            let Ok(()) = family.collect_family_into(MetricName::from_str(name), encoder);
        }
        let mut encoder = self.encoder.lock().expect("no page panics");
        for (family, name) in self.of_route.iter().zip(OF_ROUTE) {
            add(family, name, &mut encoder);
        }
        add(&self.latency, LATENCY_NAME, &mut encoder);
        for (family, name) in self.of_client.iter().zip(OF_CLIENT) {
            add(family, name, &mut encoder);
        }
        // Its page is its own; a server would send it as it is.
        page.clear();
        page.extend_from_slice(&encoder.finish());
    }
}
