//! The one line that says how the demo goes, read from the meter like everything else.

use coo_llm_core::{Meter, NanoUsd, Snapshot};
use std::fmt;
use std::io::{self, Write as _};
use std::time::{Duration, Instant};

/// How often the line is made anew.
pub(super) const EVERY: Duration = Duration::from_secs(1);

pub(super) struct Status {
    meter: Meter,
    is_live: bool,
    before: Snapshot,
    then: Instant,
    started: Instant,
}

impl Status {
    /// On a terminal the line is live; elsewhere only the last one is written.
    pub(super) fn new(meter: &Meter, is_live: bool) -> Self {
        let (before, now) = (meter.snapshot(), Instant::now());
        Self {
            meter: meter.clone(),
            is_live,
            before,
            then: now,
            started: now,
        }
    }

    /// Shows the last second.
    pub(super) fn show(&mut self) {
        let now = self.meter.snapshot();
        if self.is_live {
            let line = Line {
                of: &now.since(&self.before),
                all: &now,
                took: self.then.elapsed(),
            };
            // A terminal that is gone does not end the demo.
            let _gone = write!(io::stderr(), "\r\x1b[2K{line}");
            let _gone = io::stderr().flush();
        }
        self.before = now;
        self.then = Instant::now();
    }

    /// Shows all of it.
    pub(super) fn close(self) {
        let all = self.meter.snapshot();
        let line = Line {
            of: &all,
            all: &all,
            took: self.started.elapsed(),
        };
        let start = if self.is_live { "\r\x1b[2K" } else { "" };
        let _gone = writeln!(io::stderr(), "{start}{line}");
    }
}

struct Line<'a> {
    /// What rate and percentiles are of.
    of: &'a Snapshot,
    /// What the sums are of.
    all: &'a Snapshot,
    took: Duration,
}

impl fmt::Display for Line<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all = self.all.total();
        let latency = self.of.total_latency();
        let ms = |q| match latency.whole().quantile(q) {
            Some(us) => format!("{:.1} ms", us / 1000.0),
            None => "unknown".to_owned(),
        };
        let rate = self.of.total().requests as f64 / self.took.as_secs_f64().max(1e-9);
        write!(
            f,
            "requests {} ({} errors) | {rate:.1}/s | p50 {} p99 {} | tokens {} | cost {} USD",
            all.requests,
            all.errors,
            ms(0.5),
            ms(0.99),
            all.tokens.total(),
            Usd(all.cost),
        )?;
        if all.unpriced > 0 {
            write!(f, " and {} requests without a price", all.unpriced)?;
        }
        Ok(())
    }
}

struct Usd(NanoUsd);

impl fmt::Display for Usd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let micros = self.0.0 / 1000;
        write!(f, "{}.{:06}", micros / 1_000_000, micros % 1_000_000)
    }
}
