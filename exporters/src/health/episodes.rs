//! Findings over time: an alarm begins once, and ends once.

use super::finding::{Finding, Kind};

/// An episode is over when nothing was found for so long: one that comes and goes is one.
pub const QUIET_S: u64 = 30 * 60;
const HOUR_S: u64 = 3600;

impl Kind {
    /// [`QUIET_S`], longer for what is found in days, and for spikes, whose lasting ones come and
    /// go with the hours of the day.
    #[must_use]
    pub const fn quiet_s(self) -> u64 {
        match self {
            Self::ErrorRateRise | Self::ProviderShift => QUIET_S,
            Self::UsageSpike => 3 * HOUR_S,
            Self::CostSpike => 12 * HOUR_S,
            Self::BudgetOverrun => 24 * HOUR_S,
            Self::CostDrift => 7 * 24 * HOUR_S,
        }
    }
}

/// What is wrong with one client, and since when. At most one episode of each kind.
#[derive(Clone, Debug, Default)]
pub struct Episodes {
    open: Vec<Episode>,
}

/// A finding that goes on.
#[derive(Clone, Debug, PartialEq)]
pub struct Episode {
    /// As it was found last, but for the time of its beginning, which is the first's.
    pub finding: Finding,
    /// When it was found first, unix seconds.
    pub found_s: u64,
    /// When it was found last.
    pub seen_s: u64,
}

/// What an update changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// An alarm to send.
    Began(Kind),
    /// It is over.
    Ended(Kind),
}

impl Episodes {
    /// Takes in what was found at `now_s`; says what began and what ended.
    pub fn update(&mut self, findings: Vec<Finding>, now_s: u64) -> Vec<Change> {
        let mut changes = Vec::new();
        for finding in findings {
            let kind = finding.kind;
            let open = self.open.iter_mut().find(|open| open.finding.kind == kind);
            if let Some(open) = open {
                let since_s = open.finding.since_s.min(finding.since_s);
                open.finding = Finding { since_s, ..finding };
                open.seen_s = now_s;
            } else {
                changes.push(Change::Began(kind));
                self.open.push(Episode {
                    finding,
                    found_s: now_s,
                    seen_s: now_s,
                });
            }
        }
        self.open.retain(|open| {
            // A clock that stepped back ends nothing.
            let goes_on = now_s.saturating_sub(open.seen_s) < open.finding.kind.quiet_s();
            if !goes_on {
                changes.push(Change::Ended(open.finding.kind));
            }
            goes_on
        });
        changes
    }

    /// What goes on.
    #[must_use]
    pub fn open(&self) -> &[Episode] {
        &self.open
    }

    /// Whether something of this kind goes on: 0 or 1 of a metric.
    #[must_use]
    pub fn is_open(&self, kind: Kind) -> bool {
        self.open.iter().any(|open| open.finding.kind == kind)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::health::finding::{Figures, Severity, Unit};

    fn spike(since_s: u64) -> Finding {
        Finding {
            kind: Kind::UsageSpike,
            severity: Severity::Warning,
            since_s,
            figures: Figures {
                unit: Unit::Requests,
                observed: 9.0,
                expected: None,
                lower: None,
                upper: None,
                p_value: None,
                samples: 9,
                unpriced: None,
                window_start_s: since_s,
                window_end_s: since_s,
            },
            shares: Vec::new(),
            spent_at_s: None,
        }
    }

    #[test]
    fn an_alarm_that_comes_and_goes_begins_once_and_keeps_its_beginning() {
        let mut episodes = Episodes::default();
        let began = [Change::Began(Kind::UsageSpike)];
        assert_eq!(episodes.update(vec![spike(900)], 1000), began);
        assert_eq!(episodes.update(vec![], 1600), []);
        assert_eq!(episodes.update(vec![spike(1500)], 2200), []);
        assert_eq!(episodes.open()[0].finding.since_s, 900);
        assert_eq!(episodes.open()[0].found_s, 1000);
        assert!(episodes.is_open(Kind::UsageSpike) && !episodes.is_open(Kind::CostDrift));
        let ended = [Change::Ended(Kind::UsageSpike)];
        let quiet_s = Kind::UsageSpike.quiet_s();
        assert_eq!(episodes.update(vec![], 2200 + quiet_s - 1), []);
        assert_eq!(episodes.update(vec![], 2200 + quiet_s), ended);
        assert!(episodes.open().is_empty());
    }
}
