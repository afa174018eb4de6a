//! Is what a client did just now unusual?

use super::finding::{Figures, Finding, Kind, Severity, Share, Unit};
use super::input::{Budget, HOUR_S, RECENT_S, Recent, Row, Sum, touches, within};
use super::mix::Counts;
use super::profile::Profile;
use super::seasonal::Seasonal;
use super::spend::{Forecast, Spend, overrun};
use super::tail::{count_bound, count_tail};

const MINUTE_S: u64 = 60;
const MINUTES: usize = (RECENT_S / MINUTE_S) as usize;
/// Windows of requests and of failures, minutes up to now: the widest first.
const WINDOWS: [usize; 3] = [60, 15, 5];
/// Of failures also two hours, where none of those says anything: a rise of few requests shows late.
const LONG_WINDOW: [usize; 1] = [120];
/// Windows of providers.
const MIX_WINDOWS: [usize; 2] = [60, 15];
/// Windows with fewer requests are no spike.
const SPIKE_REQUESTS_MIN: u64 = 30;
/// A spike is so unlikely: less in short windows, of which a month has more and which are wilder;
const fn spike_p_max(window: usize) -> f64 {
    match window {
        0..=5 => 1e-7,
        6..=15 => 1e-6,
        _ => 1e-5,
    }
}
/// and so many times what is usual, by whole weeks known: without one, days of the week are not.
const SPIKE_FACTORS: [f64; 3] = [4.0, 2.5, 2.0];
/// What not knowing the days of the week, or knowing them from one week, adds to the dispersion.
const UNKNOWN_DISPERSION: [f64; 3] = [0.5, 0.1, 0.0];
/// So many times the usual is critical.
const SPIKE_CRITICAL: f64 = 5.0;
/// So are failures of half of the requests.
const FAILING_CRITICAL: f64 = 0.5;
/// A spike goes on while blocks of five minutes are this much above the usual.
const ON: f64 = 1.5;
const BLOCK: usize = 5;

/// How a client is.
#[derive(Clone, Debug, Default)]
pub struct Health {
    /// What was found, at most one of each kind.
    pub findings: Vec<Finding>,
    /// What the budget's period will have cost; `None` without a budget, without a day of history,
    /// or where no cost is known.
    pub forecast: Option<Forecast>,
}

/// Judges the minutes up to `now_s`, of which a begun one is left out, and the budget.
///
/// # Cost
/// A few microseconds; see `docs/client-health.md`.
#[must_use]
pub fn judge(
    profile: &Profile,
    recent: &Recent<'_>,
    budget: Option<&Budget>,
    now_s: u64,
) -> Health {
    let end_s = now_s / MINUTE_S * MINUTE_S;
    let rows = within(recent.minutes, end_s.saturating_sub(RECENT_S), end_s);
    let live = Live {
        profile,
        recent,
        rows,
        minutes: minutes(rows, end_s),
        end_s,
    };
    let mut findings = Vec::new();
    findings.extend(live.spike());
    findings.extend(live.rise());
    findings.extend(live.shift());
    findings.extend(profile.findings.iter().cloned());
    let spend = profile.spend.as_ref();
    let forecast = budget.and_then(|budget| spend?.forecast(budget, now_s));
    if let Some(budget) = budget {
        let unpriced = spend.map(Spend::unpriced);
        findings.extend(overrun(budget, forecast.as_ref(), unpriced, now_s));
    }
    Health { findings, forecast }
}

/// The sums of the minutes before `end_s`, the last one last.
fn minutes(rows: &[Row], end_s: u64) -> Box<[Sum; MINUTES]> {
    let mut minutes = Box::new([Sum::default(); MINUTES]);
    for row in rows {
        let back = (end_s - row.start_s).div_ceil(MINUTE_S) as usize;
        if let Some(at) = MINUTES.checked_sub(back) {
            minutes[at].add(row);
        }
    }
    minutes
}

struct Live<'a> {
    profile: &'a Profile,
    recent: &'a Recent<'a>,
    rows: &'a [Row],
    minutes: Box<[Sum; MINUTES]>,
    end_s: u64,
}

impl Live<'_> {
    fn start_s(&self, window: usize) -> u64 {
        self.end_s.saturating_sub(window as u64 * MINUTE_S)
    }

    fn is_known(&self, window: &usize) -> bool {
        !touches(self.recent.unknown, self.start_s(*window), self.end_s)
    }

    /// The sum of minutes, `to` and `from` counted back from now.
    fn sum(&self, from: usize, to: usize) -> Sum {
        let mut sum = Sum::default();
        let minutes = &self.minutes[MINUTES - from.min(MINUTES)..MINUTES - to.min(MINUTES)];
        minutes.iter().for_each(|minute| sum.plus(minute));
        sum
    }

    /// The most that is usual in minutes counted back from now.
    fn usual(&self, seasonal: &Seasonal, from: usize, to: usize) -> f64 {
        let minute = |back: usize| (self.end_s.saturating_sub(back as u64 * MINUTE_S)) / HOUR_S;
        let mut sum = 0.0;
        let mut back = from;
        while back > to {
            let hour = minute(back);
            let mut n = 0;
            while back > to && minute(back) == hour {
                n += 1;
                back -= 1;
            }
            sum += f64::from(n) / 60.0 * seasonal.around(hour);
        }
        sum
    }

    fn spike(&self) -> Option<Finding> {
        let seasonal = self.profile.requests.as_ref()?;
        let weeks = seasonal.weeks.min(2);
        let mut worst: Option<(f64, usize)> = None;
        for window in WINDOWS.into_iter().filter(|window| self.is_known(window)) {
            let count = self.sum(window, 0).requests;
            let usual = self.usual(seasonal, window, 0);
            let is_high = count >= SPIKE_REQUESTS_MIN
                && count as f64 >= SPIKE_FACTORS[weeks] * usual
                && seasonal.peak.is_none_or(|peak| count as f64 >= 2.0 * peak);
            if is_high {
                let p = count_tail(count, usual, self.dispersion(seasonal, window));
                if p <= self.spike_p(window) && worst.is_none_or(|(least, _)| p < least) {
                    worst = Some((p, window));
                }
            }
        }
        let (p, window) = worst?;
        let count = self.sum(window, 0).requests as f64;
        let usual = self.usual(seasonal, window, 0);
        let bound = count_bound(
            usual,
            self.dispersion(seasonal, window),
            self.spike_p(window),
        ) as f64;
        let on = |from, to| {
            let count = self.sum(from, to).requests as f64;
            count >= ON * self.usual(seasonal, from, to) && count > 0.0
        };
        Some(Finding {
            kind: Kind::UsageSpike,
            severity: if count >= SPIKE_CRITICAL * usual {
                Severity::Critical
            } else {
                Severity::Warning
            },
            since_s: self.since(window, on),
            figures: Figures {
                unit: Unit::Requests,
                observed: count,
                expected: Some(usual),
                lower: None,
                upper: Some(bound.max(SPIKE_FACTORS[weeks] * usual)),
                p_value: Some(p),
                samples: count as u64,
                unpriced: None,
                window_start_s: self.start_s(window),
                window_end_s: self.end_s,
            },
            shares: Vec::new(),
            spent_at_s: None,
        })
    }

    fn spike_p(&self, window: usize) -> f64 {
        self.profile.sensitivity.p(spike_p_max(window))
    }

    fn dispersion(&self, seasonal: &Seasonal, window: usize) -> f64 {
        let within = match window {
            5 => self.profile.within[0],
            15 => self.profile.within[1],
            _ => 0.0,
        };
        seasonal.dispersion + within + UNKNOWN_DISPERSION[seasonal.weeks.min(2)]
    }

    fn rise(&self) -> Option<Finding> {
        let failures = &self.profile.failures;
        // The narrowest of those that say the same.
        let most = |windows: &[usize]| {
            let known = windows.iter().rev().filter(|window| self.is_known(window));
            let found = known.filter_map(|window| {
                let sum = self.sum(*window, 0);
                let rise = failures.judge(
                    sum.errors.min(sum.requests),
                    sum.requests,
                    *window,
                    self.profile.sensitivity,
                )?;
                Some((*window, sum, rise))
            });
            found.min_by(|a, b| a.2.p.total_cmp(&b.2.p))
        };
        let (window, sum, rise) = most(&WINDOWS).or_else(|| most(&LONG_WINDOW))?;
        let on = |from, to| {
            let sum = self.sum(from, to);
            sum.errors > 0 && sum.errors as f64 >= ON * rise.usual * sum.requests as f64
        };
        Some(Finding {
            kind: Kind::ErrorRateRise,
            severity: if rise.rate >= FAILING_CRITICAL {
                Severity::Critical
            } else {
                Severity::Warning
            },
            since_s: self.since(window, on),
            figures: Figures {
                unit: Unit::Rate,
                observed: rise.rate,
                expected: Some(rise.usual),
                lower: Some(rise.lower),
                upper: Some(rise.upper),
                p_value: Some(rise.p),
                samples: sum.requests,
                unpriced: None,
                window_start_s: self.start_s(window),
                window_end_s: self.end_s,
            },
            shares: self.failing(window),
            spent_at_s: None,
        })
    }

    /// Where the failures of a window were.
    fn failing(&self, window: usize) -> Vec<Share> {
        let mut parts: Vec<(Option<u32>, u64, u64)> = Vec::new();
        for row in within(self.rows, self.start_s(window), self.end_s) {
            let at = parts.iter().position(|part| part.0 == row.provider);
            let at = at.unwrap_or_else(|| {
                parts.push((row.provider, 0, 0));
                parts.len() - 1
            });
            parts[at].1 += row.errors;
            parts[at].2 += row.requests;
        }
        parts.sort_by_key(|part| std::cmp::Reverse(part.1));
        let errors: u64 = parts.iter().map(|part| part.1).sum();
        let requests: u64 = parts.iter().map(|part| part.2).sum();
        let share = |(provider, failed, asked): &(Option<u32>, u64, u64)| Share {
            provider: self.name(*provider),
            observed: *failed as f64 / errors.max(1) as f64,
            expected: *asked as f64 / requests.max(1) as f64,
        };
        parts.iter().filter(|part| part.1 > 0).map(share).collect()
    }

    fn shift(&self) -> Option<Finding> {
        let mix = self.profile.mix.as_ref()?;
        let found = MIX_WINDOWS
            .into_iter()
            .filter(|window| self.is_known(window))
            .filter_map(|window| {
                let rows = within(self.rows, self.start_s(window), self.end_s);
                Some((
                    window,
                    mix.judge(&Counts::of(rows), self.profile.sensitivity)?,
                ))
            });
        let (window, shift) = found.max_by(|a, b| a.1.bits.total_cmp(&b.1.bits))?;
        let more = shift.shares.iter().find(|(_, now, usual)| now > usual);
        let on = |from: usize, to: usize| {
            let rows = within(self.rows, self.start_s(from), self.start_s(to));
            let part = |id: u32| {
                let of = rows.iter().filter(|row| row.provider == Some(id));
                of.map(|row| row.requests).sum::<u64>() as f64
            };
            let all = rows.iter().filter(|row| row.provider.is_some());
            let all = all.map(|row| row.requests).sum::<u64>() as f64;
            more.is_some_and(|(id, now, usual)| all > 0.0 && part(*id) / all > (now + usual) / 2.0)
        };
        let share = |(id, now, usual): &(u32, f64, f64)| Share {
            provider: self.name(Some(*id)),
            observed: *now,
            expected: *usual,
        };
        Some(Finding {
            kind: Kind::ProviderShift,
            severity: Severity::Warning,
            since_s: self.since(window, on),
            figures: Figures {
                unit: Unit::Bits,
                observed: shift.bits,
                expected: None,
                lower: None,
                upper: Some(shift.usual_bits),
                p_value: Some(shift.p),
                samples: shift.requests,
                unpriced: None,
                window_start_s: self.start_s(window),
                window_end_s: self.end_s,
            },
            shares: shift.shares.iter().map(share).collect(),
            spent_at_s: None,
        })
    }

    /// When it began: back over blocks of five minutes that are `on`, quiet ones at the end of
    /// the window and single ones in between let pass.
    fn since(&self, window: usize, on: impl Fn(usize, usize) -> bool) -> u64 {
        let mut begin = None;
        let mut quiet = 0;
        for from in (BLOCK..=MINUTES).step_by(BLOCK) {
            if on(from, from - BLOCK) {
                begin = Some(from);
                quiet = 0;
            } else {
                quiet += 1;
                if quiet > 1 && (begin.is_some() || from >= window) {
                    break;
                }
            }
        }
        self.start_s(begin.unwrap_or(window))
    }

    fn name(&self, provider: Option<u32>) -> Box<str> {
        match provider {
            None => "none".into(),
            Some(id) => {
                let name = self.recent.providers.get(id as usize);
                name.map_or_else(|| format!("#{id}").into(), |name| (*name).into())
            }
        }
    }
}
