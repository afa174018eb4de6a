//! What is remembered of one client.

use super::Scratch;
use super::hours::Hours;
use super::minutes::Minutes;
use super::report::{Cost, Ended, Failures, Report, Requests, Served};
use crate::health::{
    Budget, Change, Episodes, Forecast, HOUR_S, History, Kind, Profile, Recent, Row, Sensitivity,
    judge, learn_with,
};
use crate::history::Width;
use std::collections::VecDeque;
use std::sync::Arc;

/// What is over, of one client, that is still shown.
const ENDED_MAX: usize = 8;
/// For so long.
const ENDED_S: u64 = 7 * 86_400;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Client {
    hours: Hours,
    minutes: Minutes,
    profile: Option<Box<Profile>>,
    /// The hour it was learned in.
    learned: u64,
    episodes: Episodes,
    ended: VecDeque<Ended>,
    forecast: Option<Forecast>,
}

impl Client {
    pub(super) fn take_in(&mut self, width: Width, row: &Row) {
        match width {
            Width::Hour => self.hours.push(row),
            Width::Minute => self.minutes.push(row),
        }
    }

    /// Whether it was never learned.
    pub(super) fn is_new(&self) -> bool {
        self.profile.is_none()
    }

    pub(super) fn is_stale(&self, now_s: u64) -> bool {
        self.learned != now_s / HOUR_S
    }

    pub(super) fn retire(&mut self, now_s: u64) {
        self.hours.retire(now_s);
        self.minutes.retire(now_s);
        while self
            .ended
            .front()
            .is_some_and(|it| it.ended_s + ENDED_S < now_s)
        {
            self.ended.pop_front();
        }
    }

    /// Whether nothing is left of it.
    pub(super) fn is_forgotten(&self) -> bool {
        self.hours.is_empty() && self.minutes.is_empty() && self.episodes.open().is_empty()
    }

    pub(super) fn learn(
        &mut self,
        scratch: &mut Scratch,
        unknown: &[(u64, u64)],
        sensitivity: Sensitivity,
        now_s: u64,
    ) {
        self.hours.read(&mut scratch.hours);
        self.minutes.read_day(&mut scratch.minutes);
        let history = History {
            hours: &scratch.hours,
            minutes: &scratch.minutes,
            unknown,
        };
        self.profile = Some(Box::new(learn_with(&history, now_s, sensitivity)));
        self.learned = now_s / HOUR_S;
    }

    /// Looks at the last minutes; what began and what ended.
    pub(super) fn judge(
        &mut self,
        rows: &mut Vec<Row>,
        (unknown, providers): (&[(u64, u64)], &[&str]),
        budget: Option<&Budget>,
        now_s: u64,
    ) -> Vec<Change> {
        let Some(profile) = &self.profile else {
            return Vec::new();
        };
        self.minutes.read(rows);
        let recent = Recent {
            minutes: rows,
            unknown,
            providers,
        };
        let health = judge(profile, &recent, budget, now_s);
        self.forecast = health.forecast;
        let before: Vec<_> = self.episodes.open().to_vec();
        let changes = self.episodes.update(health.findings, now_s);
        for change in &changes {
            let Change::Ended(kind) = change else {
                continue;
            };
            let over = before.iter().find(|it| it.finding.kind == *kind);
            if let Some(episode) = over {
                if self.ended.len() == ENDED_MAX {
                    self.ended.pop_front();
                }
                self.ended.push_back(Ended {
                    episode: episode.clone(),
                    ended_s: episode.seen_s,
                });
            }
        }
        changes
    }

    /// What goes on, in words.
    pub(super) fn words(&self, kind: Kind) -> Option<String> {
        let open = self.episodes.open().iter();
        let open = open.map(|open| &open.finding);
        open.filter(|finding| finding.kind == kind)
            .map(ToString::to_string)
            .next()
    }

    pub(super) fn report(
        &self,
        name: &Arc<str>,
        providers: &[Arc<str>],
        budget: Option<&Budget>,
        now_s: u64,
    ) -> Report {
        let hour = self.minutes.last(60, now_s);
        let sum = |part: fn(&(Option<u32>, u64, u64)) -> u64| hour.iter().map(part).sum::<u64>();
        let (requests, errors) = (sum(|it| it.1), sum(|it| it.2));
        let usual = self.profile.as_ref().map(|profile| profile.usual(now_s));
        let usual = usual.unwrap_or_default();
        let part = |n: u64, of: u64| (of > 0).then(|| n as f64 / of as f64);
        let reached = hour.iter().filter(|it| it.0.is_some());
        let reached: u64 = reached.map(|it| it.1).sum();
        // Where something is usual, a provider that never was has no part of it.
        let never = (!usual.providers.is_empty()).then_some(0.0);
        let mut served: Vec<Served> = hour
            .iter()
            .filter_map(|(provider, requests, errors)| {
                let number = (*provider)?;
                let known = usual.providers.iter().find(|it| it.0 == number);
                Some(Served {
                    provider: Arc::clone(providers.get(number as usize)?),
                    requests: *requests,
                    errors: *errors,
                    share: part(*requests, reached),
                    usual_share: known.map(|it| it.1).or(never),
                })
            })
            .collect();
        for (number, share) in &usual.providers {
            let name = providers.get(*number as usize);
            let is_there = name.is_none_or(|name| served.iter().any(|it| it.provider == *name));
            if let (Some(name), false) = (name, is_there) {
                served.push(Served {
                    provider: Arc::clone(name),
                    requests: 0,
                    errors: 0,
                    share: part(0, reached),
                    usual_share: Some(*share),
                });
            }
        }
        served.sort_by(|a, b| {
            b.requests
                .cmp(&a.requests)
                .then(a.provider.cmp(&b.provider))
        });
        Report {
            client: Arc::clone(name),
            known_hours: self
                .profile
                .as_ref()
                .map_or(0, |profile| profile.known_hours),
            open: self.episodes.open().to_vec(),
            ended: self.ended.iter().cloned().collect(),
            requests: Requests {
                observed: requests,
                expected: usual.requests,
            },
            failures: Failures {
                errors,
                observed: part(errors, requests),
                expected: usual.error_rate,
            },
            cost: Cost {
                observed: usual.cost.map(|it| it.0),
                expected: usual.cost.map(|it| it.1),
                unpriced: usual.unpriced,
                budget: budget.copied(),
                forecast: self.forecast,
            },
            providers: served,
        }
    }
}
