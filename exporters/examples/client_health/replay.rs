//! A client's course is played to the detectors, and what they say is held against what was so.

use super::traffic::{Anomaly, DAY_MIN, PROVIDERS, START_S};
use coo_llm_exporters::health::{
    Budget, Change, Episodes, HOUR_S, History, Kind, Recent, Row, judge, learn,
};

/// Windows reach an hour back, and an episode ends after half an hour of quiet.
const LINGER_MIN: u64 = 95;

/// What came of one client.
#[derive(Clone, Debug, Default)]
pub(crate) struct Outcome {
    /// Minutes from the beginning until it was found; `None` where it was not.
    pub(crate) delay: Option<u64>,
    /// Episodes of the kind that was to be found, in its time; more than one is an alarm too many.
    pub(crate) hits: usize,
    /// Other episodes.
    pub(crate) wrong: Vec<(Kind, u64)>,
}

/// How often it is looked.
#[derive(Clone, Copy)]
pub(crate) struct Pace {
    /// Minutes between two looks, but around an anomaly, where it is one.
    pub(crate) look: u64,
    /// Minutes between two lessons.
    pub(crate) learn: u64,
}

/// Plays minutes `[from, to)`.
pub(crate) fn play(
    minutes: &[Row],
    hours: &[Row],
    span: (u64, u64),
    anomaly: Option<Anomaly>,
    pace: Pace,
) -> Outcome {
    let mut outcome = Outcome::default();
    let mut episodes = Episodes::default();
    let mut profile = None;
    for minute in span.0..span.1 {
        let now_s = START_S + minute * 60;
        if minute % pace.learn == 0 || profile.is_none() {
            let day = now_s.saturating_sub(86_400);
            let history = History {
                hours,
                minutes: between(minutes, day, now_s),
                unknown: &[],
            };
            profile = Some(learn(&history, now_s));
        }
        let near = anomaly.is_some_and(|it| minute >= it.from && minute < it.from + 180);
        if minute % pace.look != 0 && !near {
            continue;
        }
        let recent = Recent {
            minutes: between(minutes, now_s - 3 * HOUR_S, now_s),
            unknown: &[],
            providers: &PROVIDERS,
        };
        let Some(profile) = &profile else { continue };
        let health = judge(profile, &recent, None, now_s);
        for change in episodes.update(health.findings, now_s) {
            if let Change::Began(kind) = change {
                outcome.note(kind, minute, anomaly);
            }
        }
    }
    outcome
}

impl Outcome {
    fn note(&mut self, kind: Kind, minute: u64, anomaly: Option<Anomaly>) {
        let during = anomaly.filter(|it| {
            // Days are compared with days: what cost shows stays in its window for one.
            let days = matches!(kind, Kind::CostSpike | Kind::CostDrift);
            let linger = if days { DAY_MIN } else { LINGER_MIN };
            minute >= it.from && minute < it.to + linger
        });
        match during {
            Some(it) if it.kind() == kind => {
                self.hits += 1;
                self.delay = self.delay.or(Some(minute - it.from));
            }
            // More requests do cost more, and dearer ones may grow.
            Some(it)
                if matches!(
                    (it.kind(), kind),
                    (Kind::UsageSpike | Kind::CostDrift, Kind::CostSpike)
                        | (Kind::CostSpike, Kind::CostDrift)
                ) => {}
            _ => self.wrong.push((kind, minute)),
        }
    }
}

/// How a month's budget was foretold.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Foretold {
    /// When the overrun was found first, and when the money was gone, minutes.
    pub(crate) found: Option<u64>,
    pub(crate) gone: Option<u64>,
    /// Forecasts that were made once a day, and those whose interval had the true end in it.
    pub(crate) forecasts: usize,
    pub(crate) within: usize,
    /// By how much the middle forecast was off, a day at a time, in parts of the true end.
    pub(crate) off: f64,
}

/// Plays 28 days with a budget of a part of what they cost, an hour at a time.
pub(crate) fn play_budget(hours: &[Row], from: u64, part: f64) -> Foretold {
    let start_s = START_S + from * 60;
    let end_s = start_s + 28 * 86_400;
    let cost = |from_s, to_s| -> f64 {
        let rows = between(hours, from_s, to_s);
        rows.iter().map(|row| row.cost.0 as f64).sum()
    };
    let total = cost(start_s, end_s);
    let mut foretold = Foretold::default();
    let mut offs = Vec::new();
    for hour in 0..28 * 24 {
        let now_s = start_s + hour * HOUR_S;
        let spent = cost(start_s, now_s);
        let budget = Budget {
            amount: coo_llm_core::NanoUsd((total * part) as u64),
            start_s,
            end_s,
            spent: coo_llm_core::NanoUsd(spent as u64),
        };
        if spent >= total * part {
            foretold.gone = Some(hour * 60);
            break;
        }
        let history = History {
            hours,
            minutes: &[],
            unknown: &[],
        };
        let profile = learn(&history, now_s);
        let recent = Recent {
            minutes: &[],
            unknown: &[],
            providers: &PROVIDERS,
        };
        let health = judge(&profile, &recent, Some(&budget), now_s);
        let is_over = |kind| kind == Kind::BudgetOverrun;
        if health.findings.iter().any(|finding| is_over(finding.kind)) {
            foretold.found = foretold.found.or(Some(hour * 60));
        }
        if let Some(forecast) = health.forecast.filter(|_| hour % 24 == 0) {
            let (low, high) = (forecast.lower.0 as f64, forecast.upper.0 as f64);
            foretold.forecasts += 1;
            foretold.within += usize::from(low <= total && total <= high);
            offs.push((forecast.expected.0 as f64 / total - 1.0).abs());
        }
    }
    offs.sort_by(f64::total_cmp);
    foretold.off = offs.get(offs.len() / 2).copied().unwrap_or(0.0);
    foretold
}

fn between(rows: &[Row], from_s: u64, to_s: u64) -> &[Row] {
    let from = rows.partition_point(|row| row.start_s < from_s);
    let to = rows.partition_point(|row| row.start_s < to_s);
    &rows[from..to]
}
