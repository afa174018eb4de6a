//! A page of text: heads of families and lines of samples.

use super::extra::{Kind, Value};
use super::labels::{Set, more, push_escaped};
use super::native;
use super::{Format, Namespace};
use crate::decimal::{push_integer, push_seconds, push_usd};
use coo_llm_core::exemplar::Exemplar;
use coo_llm_core::histogram::Layout;
use coo_llm_core::histograms::HistogramView;
use coo_llm_core::{Micros, UnixMillis};

/// Types of a family, histograms included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Type {
    Simple(Kind),
    Histogram,
}

/// The units whose names the formats know; a family's name ends in its unit.
const UNITS: [&str; 2] = ["seconds", "bytes"];

pub(super) struct TextPage<'a> {
    out: &'a mut Vec<u8>,
    namespace: &'a Namespace,
    format: Format,
    /// Name of the family, without a suffix.
    name: Vec<u8>,
    /// `name_total{`, as it begins a line.
    line: Vec<u8>,
    /// `name_created{`; empty where there is no such line.
    created_line: Vec<u8>,
    /// When the process started, as it ends a line; what OpenMetrics calls created.
    created: Vec<u8>,
}

impl<'a> TextPage<'a> {
    pub(super) fn new(
        out: &'a mut Vec<u8>,
        namespace: &'a Namespace,
        format: Format,
        started: UnixMillis,
    ) -> Self {
        let mut created = Vec::new();
        push_seconds(&mut created, Micros(started.0.saturating_mul(1000)));
        created.push(b'\n');
        Self {
            out,
            namespace,
            format,
            name: Vec::new(),
            line: Vec::new(),
            created_line: Vec::new(),
            created,
        }
    }

    /// Text 0.0.4 has none.
    pub(super) const fn shows_exemplars(&self) -> bool {
        matches!(self.format, Format::OpenMetrics)
    }

    /// Begins a family: its TYPE, UNIT and HELP.
    pub(super) fn family(&mut self, namespaced: bool, name: &str, help: &str, of: Type) {
        self.name.clear();
        if namespaced {
            self.name
                .extend_from_slice(self.namespace.as_str().as_bytes());
            self.name.push(b'_');
        }
        self.name.extend_from_slice(name.as_bytes());
        let (suffix, text_type, open_type) = match of {
            Type::Simple(Kind::Counter) => ("_total", "counter", "counter"),
            Type::Simple(Kind::Gauge) => ("", "gauge", "gauge"),
            Type::Simple(Kind::Info) => ("_info", "gauge", "info"),
            Type::Histogram => ("", "histogram", "histogram"),
        };
        self.line.clear();
        self.line.extend_from_slice(&self.name);
        self.line.extend_from_slice(suffix.as_bytes());
        self.created_line.clear();
        let has_created = matches!(of, Type::Simple(Kind::Counter) | Type::Histogram);
        if self.format == Format::OpenMetrics && has_created {
            self.created_line.extend_from_slice(&self.name);
            self.created_line.extend_from_slice(b"_created{");
        }
        match self.format {
            Format::Text => {
                self.head("HELP", true);
                push_escaped(self.out, help, false);
                self.head("TYPE", true);
                self.out.extend_from_slice(text_type.as_bytes());
            }
            Format::OpenMetrics | Format::Protobuf => {
                self.head("TYPE", false);
                self.out.extend_from_slice(open_type.as_bytes());
                let unit = UNITS.iter().find(|unit| {
                    name.strip_suffix(**unit)
                        .is_some_and(|rest| rest.ends_with('_'))
                });
                if let Some(unit) = unit {
                    self.head("UNIT", false);
                    self.out.extend_from_slice(unit.as_bytes());
                }
                self.head("HELP", false);
                push_escaped(self.out, help, true);
            }
        }
        self.out.push(b'\n');
        self.line.push(b'{');
    }

    fn head(&mut self, what: &str, suffixed: bool) {
        if self.out.last().is_some_and(|last| *last != b'\n') {
            self.out.push(b'\n');
        }
        self.out.extend_from_slice(b"# ");
        self.out.extend_from_slice(what.as_bytes());
        self.out.push(b' ');
        let name = if suffixed { &self.line } else { &self.name };
        self.out.extend_from_slice(name);
        self.out.push(b' ');
    }

    /// A line with a whole number.
    pub(super) fn count(&mut self, set: Set<'_>, value: u64) {
        self.out.extend_from_slice(&self.line);
        self.out.extend_from_slice(set.closed());
        push_integer(self.out, value);
        self.out.push(b'\n');
        self.since(set.closed(), &[]);
    }

    /// The same with further labels; see [`more`].
    pub(super) fn count_of(&mut self, set: Set<'_>, more: &[u8], value: u64) {
        self.out.extend_from_slice(&self.line);
        self.out.extend_from_slice(set.open());
        self.out.extend_from_slice(more);
        push_integer(self.out, value);
        self.out.push(b'\n');
        self.since(set.open(), more);
    }

    /// Since when the series counts, where the format says so.
    fn since(&mut self, labels: &[u8], more: &[u8]) {
        if !self.created_line.is_empty() {
            self.out.extend_from_slice(&self.created_line);
            self.out.extend_from_slice(labels);
            self.out.extend_from_slice(more);
            self.out.extend_from_slice(&self.created);
        }
    }

    /// A line with any value.
    pub(super) fn sample(&mut self, set: Set<'_>, value: Value) {
        self.out.extend_from_slice(&self.line);
        self.out.extend_from_slice(set.closed());
        self.value(value);
        self.since(set.closed(), &[]);
    }

    /// A line without labels.
    pub(super) fn plain(&mut self, value: Value) {
        self.out
            .extend_from_slice(&self.line[..self.line.len() - 1]);
        self.out.push(b' ');
        self.value(value);
        if let Some(name) = self.created_line.strip_suffix(b"{") {
            self.out.extend_from_slice(name);
            self.out.push(b' ');
            self.out.extend_from_slice(&self.created);
        }
    }

    fn value(&mut self, value: Value) {
        match value {
            Value::Count(n) => push_integer(self.out, n),
            Value::Signed(n) => push_integer(self.out, n),
            Value::Usd(amount) => push_usd(self.out, amount),
            Value::Seconds(time) => push_seconds(self.out, time),
            Value::Float(f64::INFINITY) => self.out.extend_from_slice(b"+Inf"),
            Value::Float(f64::NEG_INFINITY) => self.out.extend_from_slice(b"-Inf"),
            Value::Float(x) => self.out.extend_from_slice(x.to_string().as_bytes()),
        }
        self.out.push(b'\n');
    }

    /// All lines of a histogram, with exemplars, which ascend as the buckets do; OpenMetrics
    /// alone shows them.
    pub(super) fn histogram_with(
        &mut self,
        set: Set<'_>,
        edges: &Edges,
        view: HistogramView<'_>,
        exemplars: &[Exemplar],
    ) {
        let mut exemplars = exemplars.iter().peekable();
        let begin = self.out.len();
        self.out.extend_from_slice(&self.name);
        self.out.extend_from_slice(b"_bucket{");
        self.out.extend_from_slice(set.open());
        // All buckets' lines begin alike.
        let prefix = begin..self.out.len();
        let mut count = 0;
        for (at, ((bound, below), edge)) in view.classic().zip(&edges.le).enumerate() {
            if at > 0 {
                self.out.extend_from_within(prefix.clone());
            }
            edge.push_to(self.out);
            push_integer(self.out, below);
            let here = exemplars.next_if(|exemplar| exemplar.bound == bound);
            if let Some(exemplar) = here.filter(|_| self.format == Format::OpenMetrics) {
                self.exemplar(exemplar);
            }
            self.out.push(b'\n');
            count = below;
        }
        self.out.extend_from_slice(&self.name);
        self.out.extend_from_slice(b"_sum{");
        self.out.extend_from_slice(set.closed());
        push_seconds(self.out, view.sum());
        self.out.push(b'\n');
        self.out.extend_from_slice(&self.name);
        self.out.extend_from_slice(b"_count{");
        self.out.extend_from_slice(set.closed());
        push_integer(self.out, count);
        self.out.push(b'\n');
        self.since(set.closed(), &[]);
    }

    pub(super) fn close(self) {
        if self.format == Format::OpenMetrics {
            self.out.extend_from_slice(b"# EOF\n");
        }
    }

    /// ` # {request_id="..."} value timestamp`.
    fn exemplar(&mut self, exemplar: &Exemplar) {
        self.out.extend_from_slice(b" # {request_id=\"");
        push_escaped(self.out, exemplar.request_id(), true);
        self.out.extend_from_slice(b"\"} ");
        push_seconds(self.out, exemplar.value);
        self.out.push(b' ');
        push_seconds(self.out, Micros(exemplar.at.0.saturating_mul(1000)));
    }
}

/// A short text at a fixed length, which is copied without a call.
#[derive(Debug)]
struct Short {
    bytes: [u8; Self::BYTES],
    len: usize,
}

impl Short {
    /// Room for the longest `le` label: `le="4294.967295"} `.
    const BYTES: usize = 24;

    fn new(text: &[u8]) -> Self {
        let mut bytes = [0; Self::BYTES];
        bytes[..text.len()].copy_from_slice(text);
        Self {
            bytes,
            len: text.len(),
        }
    }

    fn push_to(&self, out: &mut Vec<u8>) {
        let end = out.len() + self.len;
        out.extend_from_slice(&self.bytes);
        out.truncate(end);
    }
}

/// The buckets of a layout.
#[derive(Debug)]
pub(super) struct Edges {
    /// The `le` labels, rendered.
    le: Vec<Short>,
    /// The native bucket of each cell.
    pub(super) native: Box<[i32]>,
}

impl Edges {
    /// Bounds as OpenMetrics has them, in both formats, so that a series keeps its
    /// identity when a scraper changes the format.
    pub(super) fn of(layout: &Layout) -> Self {
        let bounds = layout.bounds().iter().map(|bound| {
            let text = canonical(Micros(*bound));
            Short::new(&more(&[("le", &text)]))
        });
        Self {
            le: bounds
                .chain([Short::new(&more(&[("le", "+Inf")]))])
                .collect(),
            native: native::buckets_of(layout),
        }
    }
}

/// A bound as OpenMetrics 1.0 spells it under "Canonical Numbers": as Go's `%g`, with
/// `.0` after whole numbers: `1e-05`, `0.0001`, `2.0`. Right below 1,000,000 s.
fn canonical(bound: Micros) -> String {
    match bound.0 {
        micros @ 1..10 => format!("{micros}e-06"),
        micros @ 10..100 if micros % 10 == 0 => format!("{}e-05", micros / 10),
        micros @ 10..100 => format!("{}.{}e-05", micros / 10, micros % 10),
        micros => {
            let mut text = Vec::new();
            push_seconds(&mut text, Micros(micros));
            if !text.contains(&b'.') {
                text.extend_from_slice(b".0");
            }
            String::from_utf8_lossy(&text).into_owned()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_are_canonical() {
        let want = [
            (10, "1e-05"),
            (25, "2.5e-05"),
            (7, "7e-06"),
            (100, "0.0001"),
            (500_000, "0.5"),
            (1_000_000, "1.0"),
            (10_000_000, "10.0"),
            (327_680_000, "327.68"),
        ];
        for (micros, text) in want {
            assert_eq!(canonical(Micros(micros)), text);
        }
    }
}
