//! The scenes of the table in docs/client-health.md.

use super::replay::{Foretold, Outcome, Pace, play, play_budget};
use super::traffic::{Anomaly, Client, DAY_MIN, Effect, Random, hours, minutes};
use coo_llm_exporters::health::Kind;

/// Days of history before it is looked.
const BEFORE: u64 = 28;

/// Clients of a scene: 60 requests an hour, 400 an hour, and office hours.
pub(crate) fn clients() -> [Client; 3] {
    let client = |per_minute, weekend| Client {
        per_minute,
        weekend,
        ahead_h: 1,
        clocks_change: None,
    };
    [client(1.0, 0.6), client(7.0, 0.8), client(3.0, 0.15)]
}

/// A scene: something goes wrong for each of some clients.
pub(crate) struct Scene {
    pub(crate) name: &'static str,
    pub(crate) effect: Effect,
    /// Minutes.
    pub(crate) lasts: u64,
    /// Days that are looked at.
    pub(crate) days: u64,
    /// Minutes of the first day in which it may begin: at any time of the day, or by day only.
    pub(crate) begins: (u64, u64),
}

pub(crate) const SCENES: [Scene; 9] = [
    scene(
        "5x requests, 20 minutes, by day",
        Effect::Requests(5.0),
        20,
        (480, 1200),
    ),
    scene(
        "3x requests, 20 minutes, by day",
        Effect::Requests(3.0),
        20,
        (480, 1200),
    ),
    scene(
        "3x requests, 2 hours, any time",
        Effect::Requests(3.0),
        120,
        (0, DAY_MIN),
    ),
    scene(
        "errors 1 % to 10 %, 2 hours, by day",
        Effect::Failures(0.1),
        120,
        (480, 1200),
    ),
    scene(
        "errors 1 % to 50 %, 20 minutes, by day",
        Effect::Failures(0.5),
        20,
        (480, 1200),
    ),
    scene(
        "failover, 2 hours, any time",
        Effect::Failover,
        120,
        (0, DAY_MIN),
    ),
    scene(
        "3x cost a request, 12 hours",
        Effect::Cost(3.0),
        720,
        (0, DAY_MIN),
    ),
    Scene {
        name: "cost grows 3 % a day",
        effect: Effect::Growth(0.03),
        lasts: 35 * DAY_MIN,
        days: 35,
        begins: (0, 1),
    },
    Scene {
        name: "3x requests for good",
        effect: Effect::Requests(3.0),
        lasts: 14 * DAY_MIN,
        days: 14,
        begins: (0, DAY_MIN),
    },
];

const fn scene(name: &'static str, effect: Effect, lasts: u64, begins: (u64, u64)) -> Scene {
    Scene {
        name,
        effect,
        lasts,
        days: 4,
        begins,
    }
}

/// What came of a scene.
#[derive(Default)]
pub(crate) struct Score {
    pub(crate) played: usize,
    pub(crate) found: usize,
    /// Alarms of the kind that was to be found; and those that were wrong.
    pub(crate) hits: usize,
    pub(crate) wrong: Vec<(Kind, u64)>,
    /// Minutes until it was found, sorted.
    pub(crate) delays: Vec<u64>,
}

impl Score {
    fn add(&mut self, outcome: Outcome) {
        self.played += 1;
        self.found += usize::from(outcome.delay.is_some());
        self.hits += outcome.hits;
        self.wrong.extend(outcome.wrong);
        self.delays.extend(outcome.delay);
        self.delays.sort_unstable();
    }

    pub(crate) fn recall(&self) -> f64 {
        self.found as f64 / self.played.max(1) as f64
    }

    /// Of the alarms, those that were right; an alarm that is told again is wrong.
    pub(crate) fn precision(&self) -> f64 {
        self.found as f64 / (self.hits + self.wrong.len()).max(1) as f64
    }

    pub(crate) fn delay(&self, part: f64) -> Option<u64> {
        let last = self.delays.len().checked_sub(1)?;
        self.delays
            .get((last as f64 * part).round() as usize)
            .copied()
    }
}

impl Scene {
    /// Plays it with so many clients of each kind.
    pub(crate) fn play(&self, seed: u64, of_each: u64, pace: Pace) -> Score {
        let mut score = Score::default();
        for (kind, client) in clients().iter().enumerate() {
            for i in 0..of_each {
                let seed = seed * 10_000 + kind as u64 * 1000 + i;
                let at = Random(seed ^ 0xa5a5).unit();
                // Office hours have no traffic to speak of on a weekend: days 29 to 32 are weekdays.
                let (first, last) = self.begins;
                let from = BEFORE * DAY_MIN + first + ((last - first) as f64 * at) as u64;
                let anomaly = Anomaly {
                    effect: self.effect,
                    from,
                    to: from + self.lasts,
                };
                let end = (BEFORE + self.days) * DAY_MIN;
                let minutes = minutes(client, seed, end, Some(anomaly));
                let hours = hours(&minutes);
                let span = (BEFORE * DAY_MIN, end);
                score.add(play(&minutes, &hours, span, Some(anomaly), pace));
            }
        }
        score
    }
}

/// Clean traffic of one client, `days` of it, after `before` days of history.
pub(crate) fn clean(
    client: &Client,
    seed: u64,
    before: u64,
    days: u64,
    pace: Pace,
) -> Vec<(Kind, u64)> {
    let end = (before + days) * DAY_MIN;
    let minutes = minutes(client, seed, end, None);
    let hours = hours(&minutes);
    play(&minutes, &hours, (before * DAY_MIN, end), None, pace).wrong
}

/// A month with a budget of a part of what it costs, for clients of each kind.
pub(crate) fn budgets(seed: u64, of_each: u64, part: f64) -> Vec<Foretold> {
    let mut all = Vec::new();
    for (kind, client) in clients().iter().enumerate() {
        for i in 0..of_each {
            let seed = seed * 10_000 + kind as u64 * 1000 + i;
            let minutes = minutes(client, seed, 2 * BEFORE * DAY_MIN, None);
            all.push(play_budget(&hours(&minutes), BEFORE * DAY_MIN, part));
        }
    }
    all
}
