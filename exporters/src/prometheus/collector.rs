//! A meter inside someone else's registry of the `prometheus` crate.

use super::families_page::FamiliesPage;
use super::page::Page;
use super::{Namespace, Renderer};
use ::prometheus::core::{Collector, Desc};
use ::prometheus::proto::MetricFamily;
use coo_llm_core::{Catalog, Meter, Snapshot, UnixMillis};
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

/// A [`Collector`] of all families of a meter, under the names, types and labels that
/// [`Renderer::render`] gives them.
///
/// It differs from a page of text in what that crate has not: numbers are `f64`, so that
/// above 2^53 (9 quadrillion tokens, 9 million USD in nano-USD, 285 years in microseconds)
/// they are rounded; its encoder writes a bound as `le="10"`, where pages here have `le="10.0"`;
/// there are no exemplars and no native histograms. Gauges and counters of the program beside the meter
/// are the registry's own business, so there are no [`Extra`](super::Extra)s.
///
/// # Cost
/// Each scrape builds every label as a `String`. A page of 100,572 counters and 7,564 histogram
/// lines took 48 ms (27 ms to gather, the rest in the crate's encoder) where [`Renderer`] took
/// 3.3 ms with the merge: `cargo run --release --features prometheus --example scrape_speed`. Other
/// readers of the meter wait while it gathers; writers do not.
///
/// ```
/// use coo_llm_core::Meter;
/// use coo_llm_exporters::prometheus::{MeterCollector, Namespace};
/// use prometheus::{Encoder, Registry, TextEncoder};
///
/// let meter = Meter::new(1000);
/// meter.catalog().route("openai", "gpt-4o", "openai-1f3a9c02");
/// let registry = Registry::new();
/// registry.register(Box::new(MeterCollector::new(meter, Namespace::default())))?;
///
/// let mut page = Vec::new();
/// TextEncoder::new().encode(&registry.gather(), &mut page)?;
/// assert!(String::from_utf8_lossy(&page).contains(
///     r#"coo_llm_requests_total{provider="openai",model="gpt-4o",key="openai-1f3a9c02"} 0"#
/// ));
/// # Ok::<(), prometheus::Error>(())
/// ```
#[derive(Debug)]
pub struct MeterCollector {
    meter: Meter,
    renderer: Mutex<Renderer>,
    /// One a family, so that a registry refuses another collector with one of the names.
    descs: Vec<Desc>,
}

impl MeterCollector {
    /// A collector of `meter`, whose names begin with `namespace`.
    ///
    /// A registry takes one for each namespace; it refuses the second, and any other metric
    /// that has the name of a family here.
    #[must_use]
    pub fn new(meter: Meter, namespace: Namespace) -> Self {
        // There is no `_created` here, so the start does not matter.
        let mut renderer = Renderer::new(namespace, UnixMillis(0));
        let families = renderer.families(&Snapshot::default(), meter.catalog());
        let descs = families.iter().map(|family| {
            let (name, help) = (family.name().to_owned(), family.help().to_owned());
            // Labels differ from family to family and are not compared where names are equal.
            Desc::new(name, help, Vec::new(), HashMap::new())
                .expect("a namespace makes valid names, and each family has a help text")
        });
        Self {
            meter,
            descs: descs.collect(),
            renderer: Mutex::new(renderer),
        }
    }
}

impl Collector for MeterCollector {
    fn desc(&self) -> Vec<&Desc> {
        self.descs.iter().collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        // A panic under it left labels that were taken in whole or not at all.
        let mut renderer = self.renderer.lock().unwrap_or_else(PoisonError::into_inner);
        let catalog = self.meter.catalog();
        let mut families = self
            .meter
            .read(|snapshot| renderer.families(snapshot, catalog));
        // The crate's encoder refuses a family without series.
        families.retain(|family| !family.get_metric().is_empty());
        families
    }
}

impl Renderer {
    /// All families, those without series included.
    fn families(&mut self, snapshot: &Snapshot, catalog: &Catalog) -> Vec<MetricFamily> {
        self.known.catch_up(catalog);
        let mut families = Vec::new();
        let page = FamiliesPage::new(&mut families, &self.namespace);
        self.write(Page::Families(page), snapshot, catalog, &[]);
        families
    }
}
