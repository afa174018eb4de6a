//! A page as the `prometheus` crate's own families, for its registry.

use super::Namespace;
use super::extra::{Kind, Value};
use super::labels::{Set, pairs};
use super::page::Type;
use super::spread::Spread;
use ::prometheus::proto::{
    Bucket, Counter, Gauge, Histogram, LabelPair, Metric, MetricFamily, MetricType,
};
use coo_llm_core::Micros;
use coo_llm_core::histograms::HistogramView;

pub(super) struct FamiliesPage<'a> {
    /// Families without series too: their names are taken all the same.
    out: &'a mut Vec<MetricFamily>,
    namespace: &'a Namespace,
    kind: MetricType,
    spread: Spread,
}

impl<'a> FamiliesPage<'a> {
    pub(super) fn new(out: &'a mut Vec<MetricFamily>, namespace: &'a Namespace) -> Self {
        Self {
            out,
            namespace,
            kind: MetricType::GAUGE,
            spread: Spread::default(),
        }
    }

    pub(super) fn family(&mut self, namespaced: bool, name: &str, help: &str, of: Type) {
        let (suffix, kind) = match of {
            Type::Simple(Kind::Counter) => ("_total", MetricType::COUNTER),
            Type::Simple(Kind::Gauge) => ("", MetricType::GAUGE),
            Type::Simple(Kind::Info) => ("_info", MetricType::GAUGE),
            Type::Histogram => ("", MetricType::HISTOGRAM),
        };
        let (prefix, joint) = if namespaced {
            (self.namespace.as_str(), "_")
        } else {
            ("", "")
        };
        let mut family = MetricFamily::default();
        family.set_name(format!("{prefix}{joint}{name}{suffix}"));
        family.set_help(help.to_owned());
        family.set_field_type(kind);
        self.out.push(family);
        self.kind = kind;
    }

    /// A counter or gauge with these labels, each `a="b",c="d"} `.
    pub(super) fn series(&mut self, labels: &[u8], more: &[u8], value: Value) {
        let mut metric = labelled(labels, more);
        if self.kind == MetricType::COUNTER {
            let mut counter = Counter::default();
            counter.set_value(value.as_f64());
            metric.set_counter(counter);
        } else {
            let mut gauge = Gauge::default();
            gauge.set_value(value.as_f64());
            metric.set_gauge(gauge);
        }
        self.push(metric);
    }

    pub(super) fn histogram(&mut self, set: Set<'_>, view: HistogramView<'_>) {
        self.spread.fill(view);
        // The crate's encoder adds +Inf itself.
        let classic = self.spread.classic(view.layout());
        let bounded = classic.filter_map(|(bound, below)| Some((bound?, below)));
        let buckets = bounded.map(|(bound, below)| {
            let mut bucket = Bucket::default();
            bucket.set_upper_bound(Micros::as_secs_f64(bound));
            bucket.set_cumulative_count(below);
            bucket
        });
        let mut histogram = Histogram::default();
        histogram.set_bucket(buckets.collect());
        histogram.set_sample_count(self.spread.count);
        histogram.set_sample_sum(self.spread.sum.as_secs_f64());
        let mut metric = labelled(set.closed(), &[]);
        metric.set_histogram(histogram);
        self.push(metric);
    }

    /// Nothing is left to write: each family was pushed when it began.
    pub(super) fn close(self) {}

    fn push(&mut self, metric: Metric) {
        let family = self.out.last_mut().expect("a family begins before series");
        family.mut_metric().push(metric);
    }
}

fn labelled(set: &[u8], more: &[u8]) -> Metric {
    let mut labels = Vec::new();
    for part in [set, more] {
        pairs(part, |name, value| {
            let mut label = LabelPair::default();
            label.set_name(text(name));
            label.set_value(text(value));
            labels.push(label);
        });
    }
    Metric::from_label(labels)
}

/// Sets are made of `str`, so nothing is replaced.
fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
