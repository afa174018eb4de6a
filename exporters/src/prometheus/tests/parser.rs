//! A strict reader of both formats, by their specifications: it panics at the first thing
//! that a page must not have.

use super::super::Format;
use std::collections::HashSet;

type LabelSet = Vec<(String, String)>;

#[derive(Debug, Clone, PartialEq)]
pub(super) struct Family {
    pub(super) name: String,
    pub(super) kind: String,
    pub(super) unit: Option<String>,
    pub(super) help: String,
    pub(super) samples: Vec<Sample>,
    /// `_created` lines, by their labels; OpenMetrics alone has them.
    pub(super) created: Vec<(LabelSet, String)>,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) struct Sample {
    pub(super) name: String,
    pub(super) labels: LabelSet,
    pub(super) value: String,
}

/// What follows a bucket's value in OpenMetrics.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Exemplar {
    pub(super) request_id: String,
    pub(super) value: String,
    pub(super) at: String,
}

/// The exemplars of a page, with the bucket that each stands behind.
pub(super) fn exemplars(page: &[u8]) -> Vec<(Sample, Exemplar)> {
    let page = std::str::from_utf8(page).expect("a page is UTF-8");
    let samples = page
        .lines()
        .filter(|line| !line.starts_with('#'))
        .map(sample);
    samples
        .filter_map(|(sample, exemplar)| Some((sample, exemplar?)))
        .collect()
}

impl Sample {
    pub(super) fn label(&self, name: &str) -> &str {
        let found = self.labels.iter().find(|(have, _)| have == name);
        &found.unwrap_or_else(|| panic!("no {name} in {self:?}")).1
    }
}

pub(super) fn parse(page: &[u8], format: Format) -> Vec<Family> {
    let page = std::str::from_utf8(page).expect("a page is UTF-8");
    assert!(page.ends_with('\n'), "a page ends in a line feed");
    let mut lines: Vec<_> = page[..page.len() - 1].split('\n').collect();
    if format == Format::OpenMetrics {
        assert_eq!(lines.pop(), Some("# EOF"));
    }
    let mut families: Vec<Family> = Vec::new();
    let mut seen = HashSet::new();
    for line in lines {
        if let Some(head) = line.strip_prefix("# ") {
            let (what, rest) = head.split_once(' ').expect("HELP, TYPE or UNIT");
            let (name, text) = rest.split_once(' ').expect("a name and a text");
            let is_new = families.last().is_none_or(|family| family.name != name);
            if is_new {
                assert!(
                    families.iter().all(|family| family.name != name),
                    "{name} twice"
                );
                families.push(Family {
                    name: name.into(),
                    kind: String::new(),
                    unit: None,
                    help: String::new(),
                    samples: Vec::new(),
                    created: Vec::new(),
                });
            }
            let family = families.last_mut().expect("just pushed");
            assert!(family.samples.is_empty(), "a head after samples: {line}");
            match what {
                "TYPE" if family.kind.is_empty() => family.kind = text.into(),
                "HELP" if family.help.is_empty() => {
                    family.help = unescape(text, format == Format::OpenMetrics);
                }
                "UNIT" if format == Format::OpenMetrics && family.unit.is_none() => {
                    assert!(name.ends_with(&format!("_{text}")), "{line}");
                    family.unit = Some(text.into());
                }
                _ => panic!("a head that must not be: {line}"),
            }
            continue;
        }
        let (sample, exemplar) = sample(line);
        let family = families.last_mut().expect("a head before samples");
        let suffix = sample.name.strip_prefix(&*family.name);
        let suffix = suffix.unwrap_or_else(|| panic!("{line} stands under {}", family.name));
        let is_open = format == Format::OpenMetrics;
        assert!(
            exemplar.is_none() || (is_open && suffix == "_bucket"),
            "{line}"
        );
        if is_open && suffix == "_created" && ["counter", "histogram"].contains(&&*family.kind) {
            family.created.push((sample.labels, sample.value));
            continue;
        }
        let fits = match (&*family.kind, format) {
            ("counter", Format::OpenMetrics) => suffix == "_total",
            ("counter", Format::Text) => suffix.is_empty() && family.name.ends_with("_total"),
            ("info", Format::OpenMetrics) => suffix == "_info" && sample.value == "1",
            ("gauge", _) => suffix.is_empty(),
            ("histogram", _) => ["_bucket", "_sum", "_count"].contains(&suffix),
            _ => panic!("{line} has the type {}", family.kind),
        };
        assert!(fits, "{line} does not fit a {}", family.kind);
        assert!(
            seen.insert((sample.name.clone(), sample.labels.clone())),
            "{line} twice"
        );
        family.samples.push(sample);
    }
    for family in &families {
        assert!(
            !family.help.is_empty() && !family.kind.is_empty(),
            "{family:?}"
        );
        if family.kind == "histogram" {
            check_histogram(family);
        }
    }
    families
}

/// Buckets ascend, end in `+Inf`, and agree with the count.
fn check_histogram(family: &Family) {
    let mut last: Option<(f64, u64, LabelSet)> = None;
    let mut total = None;
    for sample in &family.samples {
        if sample.name.ends_with("_bucket") {
            let (le, labels) = sample.labels.split_last().expect("le");
            assert_eq!(le.0, "le", "{sample:?}");
            let bound: f64 = le.1.parse().expect("a bound");
            let count: u64 = sample.value.parse().expect("a count");
            if let Some((bound_before, count_before, of)) = &last
                && of == labels
            {
                assert!(
                    bound > *bound_before && count >= *count_before,
                    "{sample:?}"
                );
            }
            total = bound.is_infinite().then_some(count);
            last = Some((bound, count, labels.to_vec()));
        } else if sample.name.ends_with("_count") {
            let count = sample.value.parse().expect("a count");
            assert_eq!(total, Some(count), "{sample:?}");
        }
    }
}

fn sample(line: &str) -> (Sample, Option<Exemplar>) {
    let name_end = line
        .find(|c: char| !(c.is_ascii_alphanumeric() || c == '_'))
        .unwrap_or_else(|| panic!("{line}"));
    let (name, mut rest) = line.split_at(name_end);
    assert!(!name.is_empty() && !name.starts_with(|c: char| c.is_ascii_digit()));
    let mut labels = Vec::new();
    if let Some(inside) = rest.strip_prefix('{') {
        rest = inside;
        loop {
            let (label, after) = rest.split_once("=\"").unwrap_or_else(|| panic!("{line}"));
            assert!(
                label.chars().all(|c| c.is_ascii_alphanumeric() || c == '_'),
                "{line}"
            );
            let end = quote_end(after).unwrap_or_else(|| panic!("{line}"));
            labels.push((label.to_owned(), unescape(&after[..end], true)));
            rest = &after[end + 1..];
            match rest.split_at(1) {
                (",", more) => rest = more,
                ("}", more) => {
                    rest = more;
                    break;
                }
                _ => panic!("{line}"),
            }
        }
    }
    let rest = rest.strip_prefix(' ').unwrap_or_else(|| panic!("{line}"));
    let (value, exemplar) = match rest.split_once(" # {request_id=\"") {
        None => (rest, None),
        Some((value, exemplar)) => {
            let (id, times) = exemplar.split_once("\"} ").expect("the end of the labels");
            let (of, at) = times.split_once(' ').expect("a value and a timestamp");
            let [request_id, of, at] = [id, of, at].map(str::to_owned);
            (
                value,
                Some(Exemplar {
                    request_id,
                    value: of,
                    at,
                }),
            )
        }
    };
    assert!(
        value.parse::<f64>().is_ok() && !value.contains(' '),
        "{line}"
    );
    let sample = Sample {
        name: name.into(),
        labels,
        value: value.into(),
    };
    (sample, exemplar)
}

/// Where the first quote without a backslash is.
fn quote_end(text: &str) -> Option<usize> {
    let mut escaped = false;
    text.bytes().position(|byte| {
        let ends = byte == b'"' && !escaped;
        escaped = byte == b'\\' && !escaped;
        ends
    })
}

fn unescape(text: &str, quoted: bool) -> String {
    let mut out = String::new();
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => match chars.next() {
                Some('\\') => out.push('\\'),
                Some('n') => out.push('\n'),
                Some('"') if quoted => out.push('"'),
                other => panic!("\\{other:?} in {text}"),
            },
            '"' if quoted => panic!("a bare quote in {text}"),
            _ => out.push(c),
        }
    }
    out
}
