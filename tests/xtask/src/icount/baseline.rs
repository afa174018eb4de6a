//! The committed counts, and what a new count says beside them.

use std::fmt;

/// Percent by which a count may differ from its baseline.
pub(super) const TOLERANCE: f64 = 2.0;

const HEADER: &str = "\
# Instructions that a unit of each work takes under callgrind: a record, a value that finds
# its histogram cell, a series that is merged, a line that is merged and rendered. The works
# are in src/bin/icount.rs. Written by `cargo xtask icount --bless`, which is the way to
# accept new ones; `cargo xtask icount` and CI fail where one is more than 2 % above.
";

/// Counts, and the compiler that they are of.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Baseline {
    /// Release and target.
    pub(super) rustc: String,
    /// (work, instructions a unit).
    pub(super) counts: Vec<(String, f64)>,
}

impl Baseline {
    /// Reads the file that [`fmt::Display`] writes.
    ///
    /// # Errors
    /// A line that is not of it.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let (mut rustc, mut counts) = (None, Vec::new());
        for line in text.lines().map(str::trim) {
            if line.is_empty() || line.starts_with(['#', '[']) {
                continue;
            }
            let bad = || format!("{line:?} is no count");
            let (name, value) = line.split_once(" = ").ok_or_else(bad)?;
            if name == "rustc" {
                rustc = Some(value.trim_matches('"').to_owned());
            } else {
                counts.push((name.to_owned(), value.parse().map_err(|_| bad())?));
            }
        }
        let rustc = rustc.ok_or("it names no rustc")?;
        Ok(Self { rustc, counts })
    }

    /// What it was compiled for.
    pub(super) fn target(&self) -> Option<&str> {
        self.rustc.split(' ').nth(1)
    }

    /// Every work of either: its count here, and there.
    pub(super) fn pairs<'a>(
        &'a self,
        now: &'a Self,
    ) -> impl Iterator<Item = (&'a str, Option<f64>, Option<f64>)> {
        let gone = self
            .counts
            .iter()
            .filter(|(name, _)| now.of(name).is_none());
        let all = now.counts.iter().chain(gone);
        all.map(|(name, _)| (name.as_str(), self.of(name), now.of(name)))
    }

    fn of(&self, work: &str) -> Option<f64> {
        let found = self.counts.iter().find(|(name, _)| name == work);
        found.map(|(_, count)| *count)
    }
}

impl fmt::Display for Baseline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{HEADER}rustc = \"{}\"\n\n[instructions]\n", self.rustc)?;
        for (name, count) in &self.counts {
            writeln!(f, "{name} = {count:.1}")?;
        }
        Ok(())
    }
}

/// A count beside its baseline; the percent by which it is above.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Verdict {
    Within(f64),
    Above(f64),
    Below(f64),
    /// It has no baseline.
    New,
    /// There is no such work any more.
    Gone,
}

impl Verdict {
    pub(super) fn of(was: Option<f64>, is: Option<f64>) -> Self {
        match (was, is) {
            (None, _) => Self::New,
            (_, None) => Self::Gone,
            (Some(was), Some(is)) => match (is - was) / was * 100.0 {
                percent if percent > TOLERANCE => Self::Above(percent),
                percent if percent < -TOLERANCE => Self::Below(percent),
                percent => Self::Within(percent),
            },
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Within(percent) => write!(f, "{percent:+.1} %"),
            Self::Above(percent) => write!(f, "{percent:+.1} %  ABOVE"),
            Self::Below(percent) => write!(f, "{percent:+.1} %  below"),
            Self::New => f.write_str("NEW: it has no baseline"),
            Self::Gone => f.write_str("GONE: there is no such work"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn baseline(counts: &[(&str, f64)]) -> Baseline {
        Baseline {
            rustc: "1.95.0 x86_64-unknown-linux-gnu".to_owned(),
            counts: counts.iter().map(|(n, c)| ((*n).to_owned(), *c)).collect(),
        }
    }

    #[test]
    fn the_file_is_read_as_it_is_written() {
        let written = baseline(&[("record_ids", 215.0), ("scrape_line", 879.3)]);
        assert_eq!(Baseline::parse(&written.to_string()), Ok(written.clone()));
        assert_eq!(written.target(), Some("x86_64-unknown-linux-gnu"));
        assert!(Baseline::parse("[instructions]\nrecord_ids = 1\n").is_err());
        assert!(Baseline::parse("rustc = \"1 x\"\nrecord_ids = fast\n").is_err());
    }

    #[test]
    fn two_percent_either_way_is_within() {
        let of = |is| Verdict::of(Some(1000.0), Some(is));
        assert_eq!(of(1020.0), Verdict::Within(2.0));
        assert_eq!(of(980.0), Verdict::Within(-2.0));
        assert!(matches!(of(1020.1), Verdict::Above(_)));
        assert!(matches!(of(979.9), Verdict::Below(_)));
    }

    #[test]
    fn a_work_of_one_side_only_is_told() {
        let (was, now) = (
            baseline(&[("a", 1.0), ("b", 2.0)]),
            baseline(&[("b", 2.0), ("c", 3.0)]),
        );
        let verdicts = was
            .pairs(&now)
            .map(|(name, was, is)| (name, Verdict::of(was, is)));
        let wanted = [
            ("b", Verdict::Within(0.0)),
            ("c", Verdict::New),
            ("a", Verdict::Gone),
        ];
        assert_eq!(verdicts.collect::<Vec<_>>(), wanted);
    }
}
