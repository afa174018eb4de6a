//! A page being written, in any of the formats, or as the `prometheus` crate's families.

use super::extra::{Kind, Value};
#[cfg(feature = "prometheus")]
use super::families_page::FamiliesPage;
use super::labels::{More, Set};
use super::proto_page::ProtoPage;
use super::text_page::TextPage;
pub(super) use super::text_page::{Edges, Type};
use super::{Format, Namespace};
use coo_llm_core::UnixMillis;
use coo_llm_core::exemplar::Exemplar;
use coo_llm_core::histograms::HistogramView;

/// What is known before the first family.
#[derive(Clone, Copy, Debug)]
pub(super) struct Terms<'a> {
    pub(super) namespace: &'a Namespace,
    pub(super) format: Format,
    pub(super) started: UnixMillis,
    pub(super) native_histograms: bool,
}

pub(super) enum Page<'a> {
    Text(TextPage<'a>),
    Proto(ProtoPage<'a>),
    #[cfg(feature = "prometheus")]
    Families(FamiliesPage<'a>),
}

impl<'a> Page<'a> {
    pub(super) fn new(out: &'a mut Vec<u8>, terms: Terms<'a>) -> Self {
        let Terms {
            namespace,
            format,
            started,
            ..
        } = terms;
        match format {
            Format::Protobuf => Self::Proto(ProtoPage::new(out, terms)),
            _ => Self::Text(TextPage::new(out, namespace, format, started)),
        }
    }

    /// Whether exemplars are shown where a histogram has some.
    pub(super) const fn shows_exemplars(&self) -> bool {
        match self {
            Self::Text(page) => page.shows_exemplars(),
            Self::Proto(_) => true,
            #[cfg(feature = "prometheus")]
            Self::Families(_) => false,
        }
    }

    /// Begins a family of the meter.
    pub(super) fn counter(&mut self, name: &str, help: &str) {
        self.family(true, name, help, Type::Simple(Kind::Counter));
    }

    /// Begins a family of the meter.
    pub(super) fn gauge(&mut self, name: &str, help: &str) {
        self.family(true, name, help, Type::Simple(Kind::Gauge));
    }

    /// Begins a family of the meter.
    pub(super) fn histograms(&mut self, name: &str, help: &str) {
        self.family(true, name, help, Type::Histogram);
    }

    /// Begins a family.
    pub(super) fn family(&mut self, namespaced: bool, name: &str, help: &str, of: Type) {
        match self {
            Self::Text(page) => page.family(namespaced, name, help, of),
            Self::Proto(page) => page.family(namespaced, name, help, of),
            #[cfg(feature = "prometheus")]
            Self::Families(page) => page.family(namespaced, name, help, of),
        }
    }

    /// A series with a whole number.
    pub(super) fn count(&mut self, set: Set<'_>, value: u64) {
        match self {
            Self::Text(page) => page.count(set, value),
            Self::Proto(page) => page.series(set.encoded(), &[], Value::Count(value)),
            #[cfg(feature = "prometheus")]
            Self::Families(page) => page.series(set.closed(), &[], Value::Count(value)),
        }
    }

    /// The same with further labels.
    pub(super) fn count_of(&mut self, set: Set<'_>, more: &More, value: u64) {
        match self {
            Self::Text(page) => page.count_of(set, &more.text, value),
            Self::Proto(page) => {
                page.series(set.encoded(), &more.encoded, Value::Count(value));
            }
            #[cfg(feature = "prometheus")]
            Self::Families(page) => {
                page.series(set.closed(), more.alone(), Value::Count(value));
            }
        }
    }

    /// A series with any value.
    pub(super) fn sample(&mut self, set: Set<'_>, value: Value) {
        match self {
            Self::Text(page) => page.sample(set, value),
            Self::Proto(page) => page.series(set.encoded(), &[], value),
            #[cfg(feature = "prometheus")]
            Self::Families(page) => page.series(set.closed(), &[], value),
        }
    }

    /// A series without labels.
    pub(super) fn plain(&mut self, value: Value) {
        match self {
            Self::Text(page) => page.plain(value),
            Self::Proto(page) => page.series(&[], &[], value),
            #[cfg(feature = "prometheus")]
            Self::Families(page) => page.series(&[], &[], value),
        }
    }

    /// A histogram.
    pub(super) fn histogram(&mut self, set: Set<'_>, edges: &Edges, view: HistogramView<'_>) {
        self.histogram_with(set, edges, view, &[]);
    }

    /// A histogram with exemplars, which ascend as its buckets do.
    pub(super) fn histogram_with(
        &mut self,
        set: Set<'_>,
        edges: &Edges,
        view: HistogramView<'_>,
        exemplars: &[Exemplar],
    ) {
        match self {
            Self::Text(page) => page.histogram_with(set, edges, view, exemplars),
            Self::Proto(page) => page.histogram(set, edges, view, exemplars),
            #[cfg(feature = "prometheus")]
            Self::Families(page) => page.histogram(set, view),
        }
    }

    /// Ends the last family and the page.
    pub(super) fn close(self) {
        match self {
            Self::Text(page) => page.close(),
            Self::Proto(page) => page.close(),
            #[cfg(feature = "prometheus")]
            Self::Families(page) => page.close(),
        }
    }
}
