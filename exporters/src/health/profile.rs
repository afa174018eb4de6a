//! What is usual for one client.

use super::failures::Failures;
use super::finding::Finding;
use super::input::{HISTORY_S, HOUR_S, History, Sum, touches, within};
use super::mix::Mix;
use super::robust::median;
use super::seasonal::{Hours, Seasonal};
use super::sensitivity::Sensitivity;
use super::spend::Spend;
use coo_llm_core::NanoUsd;

/// Hours of traffic before anything is usual.
pub const KNOWN_HOURS_MIN: usize = 24;
/// Variance of blocks within an hour, beyond Poisson's, where nothing is known of it, and how many
/// blocks' worth that is.
const PRIOR_WITHIN: f64 = 0.15;
const PRIOR_BLOCKS: f64 = 24.0;
/// Hours with fewer requests say nothing about their parts.
const REQUESTS_MIN: u64 = 36;
/// The median of a chi-squared variate of one degree.
const CHI2_MEDIAN: f64 = 0.455;

/// What is usual for one client, learned from up to four weeks. About 2 KiB.
///
/// [`learn`] it once an hour, and [`judge`](super::judge) with it once a minute.
#[derive(Clone, Debug)]
pub struct Profile {
    /// Whole hours since the client's first request in the four weeks.
    pub known_hours: usize,
    pub(super) requests: Option<Seasonal>,
    /// Variance of 5 and of 15 minutes within their hour.
    pub(super) within: [f64; 2],
    pub(super) failures: Failures,
    pub(super) mix: Option<Mix>,
    pub(super) spend: Option<Spend>,
    /// What the hours alone show.
    pub(super) findings: Vec<Finding>,
    pub(super) sensitivity: Sensitivity,
}

/// What is usual now, as figures beside which others are held. What is not known is `None`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Usual {
    /// The most requests that are usual in the hour that ends now.
    pub requests: Option<f64>,
    /// The part of them that fails.
    pub error_rate: Option<f64>,
    /// What the last 24 hours that were learned cost, and what is usual for them.
    pub cost: Option<(NanoUsd, NanoUsd)>,
    /// Requests of them whose cost is not known.
    pub unpriced: Option<u64>,
    /// The parts of providers, by their numbers; empty where there were too few requests.
    pub providers: Vec<(u32, f64)>,
}

/// Learns from the whole hours before `now_s`.
///
/// # Cost
/// Time goes with the rows, of which there are at most 672 times the client's providers; see
/// `docs/client-health.md`.
#[must_use]
pub fn learn(history: &History<'_>, now_s: u64) -> Profile {
    learn_with(history, now_s, Sensitivity::Normal)
}

/// As [`learn`], and [`judge`](super::judge) finds more or less with it.
#[must_use]
pub fn learn_with(history: &History<'_>, now_s: u64, sensitivity: Sensitivity) -> Profile {
    let now_hour = now_s / HOUR_S;
    let end_s = now_hour * HOUR_S;
    let rows = within(history.hours, end_s.saturating_sub(HISTORY_S), end_s);
    let first = rows.iter().find(|row| row.requests > 0);
    // The hours before the first request are not those of an idle client, but of none.
    let first = first.map_or(now_hour, |row| row.start_s / HOUR_S);
    let mut hours = vec![Some(Sum::default()); (now_hour - first) as usize];
    for row in rows {
        let at = (row.start_s / HOUR_S).checked_sub(first);
        if let Some(Some(sum)) = at.and_then(|at| hours.get_mut(at as usize)) {
            sum.add(row);
        }
    }
    if !history.unknown.is_empty() {
        for (at, hour) in hours.iter_mut().enumerate() {
            let start_s = (first + at as u64) * HOUR_S;
            if touches(history.unknown, start_s, start_s + HOUR_S) {
                *hour = None;
            }
        }
    }

    let known_hours = hours.len();
    let failures = Failures::learn(&hours);
    let mut profile = Profile {
        known_hours,
        requests: None,
        within: [PRIOR_WITHIN; 2],
        failures,
        mix: Mix::learn(rows, now_hour),
        spend: None,
        findings: Vec::new(),
        sensitivity,
    };
    if known_hours < KNOWN_HOURS_MIN || hours.iter().flatten().count() < KNOWN_HOURS_MIN {
        return profile;
    }
    let count = |hour: &Option<Sum>| hour.map_or(f64::NAN, |hour| hour.requests as f64);
    let values: Vec<f64> = hours.iter().map(count).collect();
    let total: u64 = hours.iter().flatten().map(|hour| hour.requests).sum();
    let all = Hours {
        first,
        values: &values,
    };
    profile.requests = Some(Seasonal::learn(all, 0, total as f64 / known_hours as f64));
    profile.within = within_hours(history, end_s);
    (profile.spend, profile.findings) = Spend::learn(&hours, first, sensitivity);
    profile
}

impl Profile {
    /// What is usual now.
    #[must_use]
    pub fn usual(&self, now_s: u64) -> Usual {
        // The hour that ends now has a part of the one before.
        let part = (now_s % HOUR_S) as f64 / HOUR_S as f64;
        let hour = now_s / HOUR_S;
        let around = |seasonal: &Seasonal| {
            part * seasonal.around(hour) + (1.0 - part) * seasonal.around(hour.saturating_sub(1))
        };
        let spend = self.spend.as_ref();
        Usual {
            requests: self.requests.as_ref().map(around),
            error_rate: (self.known_hours >= KNOWN_HOURS_MIN).then(|| self.failures.usual()),
            cost: spend.and_then(|spend| spend.day),
            unpriced: spend.map(Spend::unpriced),
            providers: self.mix.iter().flat_map(Mix::usual).collect(),
        }
    }
}

/// How bursty hours are inside, by blocks of 5 and of 15 minutes.
fn within_hours(history: &History<'_>, end_s: u64) -> [f64; 2] {
    let mut squares: [Vec<f64>; 2] = [Vec::new(), Vec::new()];
    let rows = within(history.minutes, 0, end_s);
    for hour in rows.chunk_by(|a, b| a.start_s / HOUR_S == b.start_s / HOUR_S) {
        let start_s = hour.first().map_or(0, |row| row.start_s / HOUR_S * HOUR_S);
        if touches(history.unknown, start_s, start_s + HOUR_S) {
            continue;
        }
        let mut fives = [0u64; 12];
        for row in hour {
            fives[((row.start_s - start_s) / 300) as usize] += row.requests;
        }
        if fives.iter().sum::<u64>() < REQUESTS_MIN {
            continue;
        }
        let quarters: Vec<u64> = fives.chunks(3).map(|three| three.iter().sum()).collect();
        for (found, blocks) in squares.iter_mut().zip([&fives[..], &quarters]) {
            let n = blocks.len() as f64;
            let mean = blocks.iter().sum::<u64>() as f64 / n;
            // Parts of a sum vary less than independent ones.
            let left = 1.0 - 1.0 / n;
            found.extend(blocks.iter().map(|count| {
                let off = *count as f64 - mean;
                (off * off / left - mean) / (mean * mean)
            }));
        }
    }
    squares.map(|mut squares| {
        let n = squares.len() as f64;
        let found = median(&mut squares).map_or(0.0, |middle| middle.max(0.0) / CHI2_MEDIAN);
        (n * found + PRIOR_BLOCKS * PRIOR_WITHIN) / (n + PRIOR_BLOCKS)
    })
}
