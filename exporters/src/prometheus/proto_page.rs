//! A page of length-delimited `io.prometheus.client.MetricFamily` messages.
//!
//! Field numbers are those of `metrics.proto` of prometheus/client_model.

use super::Format;
use super::extra::{Kind, Value};
use super::labels::Set;
use super::native::{Buckets, SCHEMA, ZERO_THRESHOLD};
use super::page::{Terms, Type};
use super::proto::{bytes, double, message, packed_sints, sint, uint, varint};
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
    /// The family that is being written; empty before the first.
    family: Vec<u8>,
    kind: Type,
    has_series: bool,
}

impl<'a> ProtoPage<'a> {
    pub(super) fn new(out: &'a mut Vec<u8>, terms: Terms<'a>) -> Self {
        debug_assert_eq!(terms.format, Format::Protobuf);
        let kind = Type::Simple(Kind::Gauge);
        Self {
            out,
            terms,
            family: Vec::new(),
            kind,
            has_series: false,
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
        message(&mut self.family, 1, |out| {
            for part in [prefix, joint, name, suffix] {
                out.extend_from_slice(part.as_bytes());
            }
        });
        bytes(&mut self.family, 2, help.as_bytes());
        uint(&mut self.family, 3, kind);
        self.kind = of;
        self.has_series = false;
    }

    pub(super) fn series(&mut self, labels: &[u8], more: &[u8], value: Value) {
        self.has_series = true;
        let is_counter = self.kind == Type::Simple(Kind::Counter);
        let started = self.terms.started;
        message(&mut self.family, 4, |out| {
            push_labels(out, labels);
            push_labels(out, more.strip_prefix(b",").unwrap_or(more));
            if is_counter {
                message(out, 3, |out| {
                    double(out, 1, as_f64(value));
                    timestamp(out, 3, started);
                });
            } else {
                message(out, 2, |out| double(out, 1, as_f64(value)));
            }
        });
    }

    pub(super) fn histogram(
        &mut self,
        set: Set<'_>,
        view: HistogramView<'_>,
        exemplars: &[Exemplar],
    ) {
        self.has_series = true;
        let Terms {
            started,
            native_histograms,
            ..
        } = self.terms;
        message(&mut self.family, 4, |out| {
            push_labels(out, set.closed());
            message(out, 7, |out| {
                uint(out, 1, view.count());
                double(out, 2, view.sum().as_secs_f64());
                let mut exemplars = exemplars.iter().peekable();
                for (bound, below) in view.classic() {
                    message(out, 3, |out| {
                        uint(out, 1, below);
                        double(out, 2, bound.map_or(f64::INFINITY, Micros::as_secs_f64));
                        if let Some(here) = exemplars.next_if(|exemplar| exemplar.bound == bound) {
                            message(out, 3, |out| exemplar(out, here));
                        }
                    });
                }
                if native_histograms {
                    native(out, view);
                }
                timestamp(out, 15, started);
            });
        });
    }

    pub(super) fn close(mut self) {
        self.flush();
    }

    /// Appends the family that is done; one without series is left out, as a message of
    /// that kind is invalid.
    fn flush(&mut self) {
        if self.has_series {
            varint(self.out, self.family.len() as u64);
            self.out.extend_from_slice(&self.family);
        }
        self.family.clear();
    }
}

fn native(out: &mut Vec<u8>, view: HistogramView<'_>) {
    let Buckets {
        zero,
        spans,
        deltas,
    } = Buckets::of(view);
    sint(out, 5, SCHEMA.into());
    double(out, 6, ZERO_THRESHOLD);
    uint(out, 7, zero);
    for (offset, length) in spans {
        message(out, 12, |out| {
            sint(out, 1, offset.into());
            uint(out, 2, length.into());
        });
    }
    if !deltas.is_empty() {
        packed_sints(out, 13, deltas.into_iter());
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

/// The label pairs of a rendered set: `a="b",c="d"`, with or without its end.
fn push_labels(out: &mut Vec<u8>, mut set: &[u8]) {
    while let Some(equals) = memchr::memchr(b'=', set) {
        let (name, quoted) = (&set[..equals], &set[equals + 2..]);
        let mut value = Vec::new();
        let mut at = 0;
        loop {
            match quoted.get(at) {
                Some(b'\\') => {
                    value.push(match quoted.get(at + 1) {
                        Some(b'n') => b'\n',
                        other => *other.expect("an escape has two bytes"),
                    });
                    at += 2;
                }
                Some(b'"') | None => break,
                Some(byte) => {
                    value.push(*byte);
                    at += 1;
                }
            }
        }
        message(out, 1, |out| {
            bytes(out, 1, name);
            bytes(out, 2, &value);
        });
        let rest = quoted.get(at + 1..).unwrap_or_default();
        match rest.strip_prefix(b",") {
            Some(next) => set = next,
            None => return,
        }
    }
}

/// The format knows nothing but doubles.
fn as_f64(value: Value) -> f64 {
    match value {
        Value::Count(n) => n as f64,
        Value::Signed(n) => n as f64,
        Value::Usd(amount) => amount.as_usd_f64(),
        Value::Seconds(time) => time.as_secs_f64(),
        Value::Float(x) => x,
    }
}
