//! A strict reader of the Prometheus text format 0.0.4.
//!
//! Values stay decimal text, so that money can be compared without a float.
//! Rules: <https://prometheus.io/docs/instrumenting/exposition_formats/>.

mod decimal;
mod histogram;
mod line;

pub use decimal::Decimal;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// Label names and values of a series.
pub type Labels = BTreeMap<String, String>;

/// Makes [`Labels`].
#[must_use]
pub fn labels(pairs: &[(&str, &str)]) -> Labels {
    let owned = pairs.iter().map(|(n, v)| (n.to_string(), v.to_string()));
    owned.collect()
}

/// Where a text breaks the format's rules.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Malformed {
    /// Line number, from 1; 0 where it is no single line.
    pub line: usize,
    /// What is wrong.
    pub why: String,
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.why)
    }
}

impl std::error::Error for Malformed {}

/// One sample line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sample {
    /// The sample's name: the family's, or with `_bucket`, `_sum`, `_count`.
    pub name: String,
    /// Its labels.
    pub labels: Labels,
    /// The value as written.
    pub value: Decimal,
}

/// A page of metrics.
#[derive(Clone, Debug, Default)]
pub struct Exposition {
    /// Type of each family.
    pub types: BTreeMap<String, String>,
    /// All samples in order.
    pub samples: Vec<Sample>,
}

impl Exposition {
    /// Reads a page.
    ///
    /// # Errors
    /// [`Malformed`] at the first rule that is broken: syntax, a family without
    /// HELP or TYPE or in two places, a series twice, a counter below zero, a
    /// histogram whose buckets do not add up.
    pub fn parse(text: &str) -> Result<Self, Malformed> {
        let mut page = Self::default();
        let mut helped = BTreeSet::new();
        let mut seen = BTreeSet::new();
        let mut family = String::new();
        if !text.ends_with('\n') {
            return Err(broken(0, "the last line has no line feed"));
        }
        for (index, text) in text.lines().enumerate() {
            let at = index + 1;
            match line::parse(text).map_err(|why| broken(at, why))? {
                line::Line::Nothing => {}
                line::Line::Help(name) => {
                    if !helped.insert(name.clone()) {
                        return Err(broken(at, format!("a second HELP for {name}")));
                    }
                }
                line::Line::Type(name, kind) => {
                    if !helped.contains(&name) {
                        return Err(broken(at, format!("{name} has a TYPE but no HELP")));
                    }
                    family.clone_from(&name);
                    if page.types.insert(name, kind).is_some() {
                        return Err(broken(at, format!("a second TYPE for {family}")));
                    }
                }
                line::Line::Sample(sample) => {
                    page.check(&family, &sample)
                        .map_err(|why| broken(at, why))?;
                    if !seen.insert((sample.name.clone(), sample.labels.clone())) {
                        return Err(broken(at, "the same series twice"));
                    }
                    page.samples.push(sample);
                }
            }
        }
        for (name, kind) in &page.types {
            if kind == "histogram" {
                histogram::check(name, &page.samples).map_err(|why| broken(0, why))?;
            }
        }
        Ok(page)
    }

    /// Whether a sample may stand in the family that its block opened.
    fn check(&self, family: &str, sample: &Sample) -> Result<(), String> {
        let kind = self.types.get(family).map_or("", String::as_str);
        let suffix = sample.name.strip_prefix(family);
        let fits = match kind {
            "histogram" => matches!(suffix, Some("_bucket" | "_sum" | "_count")),
            "counter" | "gauge" | "untyped" => suffix == Some(""),
            _ => false,
        };
        if !fits {
            return Err(format!(
                "{} stands in the block of {family} ({kind})",
                sample.name
            ));
        }
        if kind == "counter" && sample.value.is_negative() {
            return Err(format!("the counter {family} is below zero"));
        }
        Ok(())
    }

    /// The samples of one name that have all of these labels.
    pub fn matching<'a>(
        &'a self,
        name: &'a str,
        labels: &'a [(&'a str, &'a str)],
    ) -> impl Iterator<Item = &'a Sample> {
        self.samples.iter().filter(move |sample| {
            let has = |(n, v): &(&str, &str)| sample.labels.get(*n).is_some_and(|x| x == v);
            sample.name == name && labels.iter().all(has)
        })
    }

    /// The sum of whole-number samples of one name that have all of these labels; 0 where there are none.
    ///
    /// # Panics
    /// If one of them is no whole number.
    #[must_use]
    pub fn count(&self, name: &str, labels: &[(&str, &str)]) -> u64 {
        let whole = |s: &Sample| s.value.scaled(0).expect("a whole number");
        self.matching(name, labels).map(whole).sum()
    }

    /// The sum of USD samples of one name that have all of these labels, in nano-USD.
    ///
    /// # Panics
    /// If one of them is finer than a nano-USD.
    #[must_use]
    pub fn nano_usd(&self, name: &str, labels: &[(&str, &str)]) -> u64 {
        let nano = |s: &Sample| s.value.scaled(9).expect("whole nano-USD");
        self.matching(name, labels).map(nano).sum()
    }

    /// The label names that the samples of a family have, without `le`.
    #[must_use]
    pub fn label_names(&self, family: &str) -> BTreeSet<String> {
        let of_family = |s: &&Sample| {
            let suffix = s.name.strip_prefix(family);
            matches!(suffix, Some("" | "_bucket" | "_sum" | "_count"))
        };
        let samples = self.samples.iter().filter(of_family);
        let names = samples.flat_map(|s| s.labels.keys().cloned());
        names.filter(|name| name != "le").collect()
    }
}

fn broken(line: usize, why: impl Into<String>) -> Malformed {
    Malformed {
        line,
        why: why.into(),
    }
}

#[cfg(test)]
mod tests;
