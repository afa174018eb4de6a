//! A page of length-delimited `io.prometheus.client.MetricFamily` messages.
//!
//! Field numbers are those of `metrics.proto` of prometheus/client_model.

use super::Format;
use super::extra::{Kind, Value};
use super::labels::Set;
use super::native::{Buckets, SCHEMA, ZERO_THRESHOLD};
use super::page::{Edges, Terms, Type};
use super::proto::{bytes, double, message, packed_sints, put_length, sint, tag, uint, varint};
use super::spread::Spread;
use coo_llm_core::exemplar::Exemplar;
use coo_llm_core::histograms::HistogramView;
use coo_llm_core::{Micros, UnixMillis};

/// `MetricType`.
const COUNTER: u64 = 0;
const GAUGE: u64 = 1;
const HISTOGRAM: u64 = 4;

pub(super) struct ProtoPage<'a> {
    out: &'a mut Vec<u8>,
    terms: Terms<'a>,
    /// Where the family that is being written begins.
    family_at: usize,
    has_series: bool,
    /// The message of a counter or gauge, which differs from series to series in its value.
    single: Vec<u8>,
    spread: Spread,
    buckets: Buckets,
}

/// Bytes kept free for the length of a family: that of one of 2 to 256 MiB is not moved.
const LENGTH_RESERVED: usize = 4;
/// Where the value stands in a counter or gauge: behind two tags and a length.
const VALUE_AT: usize = 3;

impl<'a> ProtoPage<'a> {
    pub(super) fn new(out: &'a mut Vec<u8>, terms: Terms<'a>) -> Self {
        debug_assert_eq!(terms.format, Format::Protobuf);
        Self {
            family_at: out.len(),
            out,
            terms,
            has_series: false,
            single: Vec::new(),
            spread: Spread::default(),
            buckets: Buckets::default(),
        }
    }

    pub(super) fn family(&mut self, namespaced: bool, name: &str, help: &str, of: Type) {
        self.flush();
        let (suffix, kind) = match of {
            Type::Simple(Kind::Counter) => ("_total", COUNTER),
            Type::Simple(Kind::Gauge) => ("", GAUGE),
            Type::Simple(Kind::Info) => ("_info", GAUGE),
            Type::Histogram => ("", HISTOGRAM),
        };
        let prefix = if namespaced {
            self.terms.namespace.as_str()
        } else {
            ""
        };
        let joint = if namespaced { "_" } else { "" };
        self.family_at = self.out.len();
        self.out.extend_from_slice(&[0; LENGTH_RESERVED]);
        message(self.out, 1, |out| {
            for part in [prefix, joint, name, suffix] {
                out.extend_from_slice(part.as_bytes());
            }
        });
        bytes(self.out, 2, help.as_bytes());
        uint(self.out, 3, kind);
        self.single.clear();
        let started = self.terms.started;
        if of == Type::Simple(Kind::Counter) {
            message(&mut self.single, 3, |out| {
                double(out, 1, 0.0);
                timestamp(out, 3, started);
            });
        } else {
            message(&mut self.single, 2, |out| double(out, 1, 0.0));
        }
    }

    /// A counter or gauge with these encoded labels.
    pub(super) fn series(&mut self, labels: &[u8], more: &[u8], value: Value) {
        self.has_series = true;
        self.single[VALUE_AT..VALUE_AT + 8].copy_from_slice(&value.as_f64().to_le_bytes());
        let length = labels.len() + more.len() + self.single.len();
        tag(self.out, 4, 2);
        varint(self.out, length as u64);
        self.out.extend_from_slice(labels);
        self.out.extend_from_slice(more);
        self.out.extend_from_slice(&self.single);
    }

    pub(super) fn histogram(
        &mut self,
        set: Set<'_>,
        edges: &Edges,
        view: HistogramView<'_>,
        exemplars: &[Exemplar],
    ) {
        self.has_series = true;
        let Terms {
            started,
            native_histograms,
            ..
        } = self.terms;
        self.spread.fill(view);
        let (spread, buckets) = (&self.spread, &mut self.buckets);
        message(self.out, 4, |out| {
            out.extend_from_slice(set.encoded());
            message(out, 7, |out| {
                uint(out, 1, spread.count);
                double(out, 2, spread.sum.as_secs_f64());
                let mut exemplars = exemplars.iter().peekable();
                for (bound, below) in spread.classic(view.layout()) {
                    message(out, 3, |out| {
                        uint(out, 1, below);
                        double(out, 2, bound.map_or(f64::INFINITY, Micros::as_secs_f64));
                        if let Some(here) = exemplars.next_if(|exemplar| exemplar.bound == bound) {
                            message(out, 3, |out| exemplar(out, here));
                        }
                    });
                }
                if native_histograms {
                    buckets.fill(spread.cells(), &edges.native);
                    native(out, buckets);
                }
                timestamp(out, 15, started);
            });
        });
    }

    pub(super) fn close(mut self) {
        self.flush();
    }

    /// Ends the family; one without series is left out, as a message of that kind is invalid.
    fn flush(&mut self) {
        if self.has_series {
            put_length(self.out, self.family_at, LENGTH_RESERVED);
        } else {
            self.out.truncate(self.family_at);
        }
        self.has_series = false;
    }
}

fn native(out: &mut Vec<u8>, buckets: &Buckets) {
    sint(out, 5, SCHEMA.into());
    double(out, 6, ZERO_THRESHOLD);
    uint(out, 7, buckets.zero);
    for (offset, length) in &buckets.spans {
        message(out, 12, |out| {
            sint(out, 1, (*offset).into());
            uint(out, 2, (*length).into());
        });
    }
    if !buckets.deltas.is_empty() {
        packed_sints(out, 13, buckets.deltas.iter().copied());
    }
}

fn exemplar(out: &mut Vec<u8>, exemplar: &Exemplar) {
    message(out, 1, |out| {
        bytes(out, 1, b"request_id");
        bytes(out, 2, exemplar.request_id().as_bytes());
    });
    double(out, 2, exemplar.value.as_secs_f64());
    timestamp(out, 3, exemplar.at);
}

/// A `google.protobuf.Timestamp`.
fn timestamp(out: &mut Vec<u8>, field: u32, at: UnixMillis) {
    message(out, field, |out| {
        uint(out, 1, at.0 / 1000);
        uint(out, 2, at.0 % 1000 * 1_000_000);
    });
}
