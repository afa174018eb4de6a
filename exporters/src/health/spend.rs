//! Cost: against its own usual course, and against a budget.

use super::finding::{Figures, Finding, Kind, Severity, Unit};
use super::input::{Budget, HOUR_S, Sum};
use super::robust::scale;
use super::seasonal::{Hours, Seasonal};
use super::sensitivity::Sensitivity;
use super::tail::normal_tail;
use super::trend::{Growth, growth};
use coo_llm_core::NanoUsd;

/// Hours of the windows that are compared, the least factor, and how far it has to stand out.
const WINDOWS: [(usize, f64, f64); 2] = [(24, 1.7, 4.5), (6, 2.5, 5.0)];
/// Cost in a window below which nothing is told: one US cent.
const COST_MIN: f64 = 1e7;
/// No course is taken for steadier than this (standard deviation of the logarithm).
const SIGMA_MIN: f64 = 0.12;
/// Of a client of less than a week.
const SIGMA_NEW: f64 = 0.5;
/// Hours of the last days that the level of the comparison leaves out: those that are compared.
const SKIP_H: usize = 24;
/// What is left of growth after a day, in a forecast (a damped trend, Gardner and McKenzie 1985).
const DAMPING: f64 = 0.93;
/// 90 of 100 forecasts lie within, 95 above the lower end.
const INTERVAL_Z: f64 = 1.645;
/// A budget that is spent within this time is critical.
const SOON_S: u64 = 24 * HOUR_S;

/// What a budget's period will have cost.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Forecast {
    /// Spent by the end of the period, as expected.
    pub expected: NanoUsd,
    /// 5 of 100 periods cost less,
    pub lower: NanoUsd,
    /// and 5 of 100 more.
    pub upper: NanoUsd,
    /// When the budget is spent, unix seconds, as expected; `None` if not in this period.
    pub spent_at_s: Option<u64>,
}

/// How a client's cost usually goes.
#[derive(Clone, Debug)]
pub(super) struct Spend {
    seasonal: Seasonal,
    /// Per unit of shape, for forecasts.
    level: f64,
    /// Of a day's cost, of its logarithm.
    day_sigma: f64,
    /// What the last day cost, and what is usual for its hours.
    pub(super) day: Option<(NanoUsd, NanoUsd)>,
    growth: Option<Growth>,
    /// Requests of the last day whose cost is not known.
    unpriced: u64,
}

impl Spend {
    /// From hours of at least a day, and what they show. `None` where no cost is known, or none was.
    pub(super) fn learn(
        hours: &[Option<Sum>],
        first: u64,
        sensitivity: Sensitivity,
    ) -> (Option<Self>, Vec<Finding>) {
        let cost = |hour: &Option<Sum>| hour.and_then(|hour| hour.cost()).unwrap_or(f64::NAN);
        let values: Vec<f64> = hours.iter().map(cost).collect();
        if !values.iter().any(|value| *value > 0.0) {
            return (None, Vec::new());
        }
        let requests: u64 = hours.iter().flatten().map(|hour| hour.requests).sum();
        let per_hour = requests as f64 / hours.len().max(1) as f64;
        let all = Hours {
            first,
            values: &values,
        };
        let seasonal = Seasonal::learn(all, SKIP_H, per_hour);
        let last_day = &hours[hours.len().saturating_sub(24)..];
        let mut spend = Self {
            level: seasonal.current(all) * seasonal.mean_to_median,
            day_sigma: 0.0,
            day: None,
            growth: None,
            unpriced: last_day.iter().flatten().map(|hour| hour.unpriced).sum(),
            seasonal,
        };
        spend.day = spend.last_day(all);
        spend.day_sigma = spend.sigma(all, 24);
        let mut findings = Vec::new();
        findings.extend(spend.drift(hours, all));
        findings.extend(spend.spike(hours, all, sensitivity));
        (Some(spend), findings)
    }

    /// How far blocks of hours lie from what was expected of them; the last one is left out.
    fn sigma(&self, all: Hours<'_>, width: usize) -> f64 {
        let end = all.values.len();
        let mut logs = Vec::new();
        let mut blocks = all.values.rchunks_exact(width);
        blocks.next();
        let mut to = end - width.min(end);
        let floor = 0.05 * width as f64 * self.seasonal.long;
        for block in blocks {
            let from = to - width;
            let (mut sum, mut usual) = (0.0, 0.0);
            for (i, value) in block.iter().enumerate() {
                if !value.is_nan() {
                    sum += value;
                    usual += self.seasonal.fitted(all.first + (from + i) as u64);
                }
            }
            if usual > 0.0 {
                let usual = usual * self.seasonal.mean_to_median;
                logs.push(((sum + floor) / (usual + floor)).ln());
            }
            to = from;
        }
        let n = logs.len() as f64;
        let found = scale(&mut logs).unwrap_or(0.0) * (1.0 + 4.0 / (n + 1.0));
        match self.seasonal.weeks {
            0 => found.max(SIGMA_NEW),
            1 => (found * 2f64.sqrt()).max(2.0 * SIGMA_MIN),
            weeks => (found * (weeks as f64 / (weeks as f64 - 1.0)).sqrt()).max(SIGMA_MIN),
        }
    }

    /// `None` where no hour of it is known.
    fn last_day(&self, all: Hours<'_>) -> Option<(NanoUsd, NanoUsd)> {
        let from = all.values.len().saturating_sub(24);
        let (mut was, mut usual, mut known) = (0.0, 0.0, false);
        for (at, value) in all.values[from..].iter().enumerate() {
            if !value.is_nan() {
                known = true;
                was += value;
                usual += self.seasonal.shape(all.first + (from + at) as u64);
            }
        }
        let usual = usual * self.seasonal.level() * self.seasonal.mean_to_median;
        known.then_some((NanoUsd(was as u64), NanoUsd(usual as u64)))
    }

    fn spike(
        &self,
        hours: &[Option<Sum>],
        all: Hours<'_>,
        sensitivity: Sensitivity,
    ) -> Option<Finding> {
        let n = all.values.len();
        for (width, factor_min, z_min) in WINDOWS {
            let z_min = sensitivity.z(z_min);
            if n < 3 * width.max(24) {
                continue;
            }
            let window = &all.values[n - width..];
            let known = |at: &usize| !window[*at].is_nan();
            let hour = |at: usize| all.first + (n - width + at) as u64;
            let observed: f64 = (0..width).filter(known).map(|at| window[at]).sum();
            let level = self.seasonal.level() * self.seasonal.mean_to_median;
            let shapes = (0..width)
                .filter(known)
                .map(|at| self.seasonal.shape(hour(at)));
            let expected = shapes.sum::<f64>() * level;
            let sigma = if width == 24 {
                self.day_sigma
            } else {
                self.sigma(all, width)
            };
            let factor = observed / expected;
            let z = factor.ln() / sigma;
            if expected <= 0.0 || observed < COST_MIN || factor < factor_min || z < z_min {
                continue;
            }
            let high = |at: &usize| window[*at] >= 1.5 * self.seasonal.shape(hour(*at)) * level;
            let begins = (0..width)
                .rev()
                .take_while(|at| high(at) || high(&at.saturating_sub(1)));
            let since = begins.last().filter(high).unwrap_or(0);
            let sums = hours[n - width..].iter().flatten();
            let (requests, unpriced) =
                sums.fold((0, 0), |(a, b), sum| (a + sum.requests, b + sum.unpriced));
            return Some(Finding {
                kind: Kind::CostSpike,
                severity: if factor >= 4.0 {
                    Severity::Critical
                } else {
                    Severity::Warning
                },
                since_s: hour(since) * HOUR_S,
                figures: Figures {
                    unit: Unit::NanoUsd,
                    observed,
                    expected: Some(expected),
                    lower: Some(expected * (-z_min * sigma).exp()),
                    upper: Some(expected * (z_min * sigma).exp().max(factor_min)),
                    p_value: Some(normal_tail(z)),
                    samples: requests,
                    unpriced: Some(unpriced),
                    window_start_s: hour(0) * HOUR_S,
                    window_end_s: hour(width) * HOUR_S,
                },
                shares: Vec::new(),
                spent_at_s: None,
            });
        }
        None
    }

    fn drift(&mut self, hours: &[Option<Sum>], all: Hours<'_>) -> Option<Finding> {
        let mut days: Vec<f64> = all
            .values
            .rchunks_exact(24)
            .map(|day| day.iter().sum())
            .collect();
        days.reverse();
        let growth = growth(&days)?;
        self.growth = Some(growth);
        let end_s = (all.first + all.values.len() as u64) * HOUR_S;
        let start_s = end_s - days.len() as u64 / 7 * 7 * 24 * HOUR_S;
        let spent: f64 = days.iter().rev().take(7).sum();
        let sums = hours.iter().flatten();
        let (requests, unpriced) =
            sums.fold((0, 0), |(a, b), sum| (a + sum.requests, b + sum.unpriced));
        (spent >= COST_MIN).then_some(Finding {
            kind: Kind::CostDrift,
            severity: Severity::Warning,
            since_s: start_s,
            figures: Figures {
                unit: Unit::WeeklyFactor,
                observed: growth.weekly,
                expected: Some(1.0),
                lower: None,
                upper: None,
                p_value: Some(normal_tail(growth.z)),
                samples: requests,
                unpriced: Some(unpriced),
                window_start_s: start_s,
                window_end_s: end_s,
            },
            shares: Vec::new(),
            spent_at_s: None,
        })
    }

    /// Cost of `[from_s, to_s)`, seen from `now_s`.
    fn ahead(&self, now_s: u64, from_s: u64, to_s: u64) -> f64 {
        let (from, to) = (from_s / HOUR_S, to_s / HOUR_S);
        let part = |s: u64| (s % HOUR_S) as f64 / HOUR_S as f64;
        let at_ends =
            self.seasonal.shape(to) * part(to_s) - self.seasonal.shape(from) * part(from_s);
        let usual = (self.seasonal.shape_sum(from, to) + at_ends) * self.level;
        usual * self.grown(to_s.saturating_sub(now_s) / 2 + from_s.saturating_sub(now_s) / 2)
    }

    /// What growth makes of the level after so many seconds.
    fn grown(&self, seconds: u64) -> f64 {
        let Some(growth) = self.growth else {
            return 1.0;
        };
        let days = seconds as f64 / 86_400.0;
        // `level` is about half a week old where it grows.
        let effective = 3.5 + (1.0 - DAMPING.powf(days)) / (1.0 - DAMPING) * DAMPING;
        (growth.weekly.ln() / 7.0 * effective).exp()
    }

    /// What the period will have cost; `None` where it is over or not begun.
    pub(super) fn forecast(&self, budget: &Budget, now_s: u64) -> Option<Forecast> {
        if now_s < budget.start_s || now_s >= budget.end_s {
            return None;
        }
        let spent = budget.spent.0 as f64;
        let rest = self.ahead(now_s, now_s, budget.end_s);
        let days = ((budget.end_s - now_s) as f64 / 86_400.0).max(0.05);
        // Two errors: of each day, and of the level, which is known from a few days.
        let level_days = if self.seasonal.weeks == 0 { 1.0 } else { 3.0 };
        let sigma = self.day_sigma * (1.0 / days + 1.0 / level_days).sqrt();
        let nano = |value: f64| NanoUsd(value as u64);
        Some(Forecast {
            expected: nano(spent + rest),
            lower: nano(spent + rest * (-INTERVAL_Z * sigma).exp()),
            upper: nano(spent + rest * (INTERVAL_Z * sigma).exp()),
            spent_at_s: self.spent_at(budget, now_s),
        })
    }

    fn spent_at(&self, budget: &Budget, now_s: u64) -> Option<u64> {
        let left = budget.amount.0.checked_sub(budget.spent.0)? as f64;
        if self.ahead(now_s, now_s, budget.end_s) < left {
            return None;
        }
        let (mut low, mut high) = (now_s, budget.end_s);
        while high - low > 60 {
            let middle = low + (high - low) / 2;
            if self.ahead(now_s, now_s, middle) < left {
                low = middle;
            } else {
                high = middle;
            }
        }
        Some(high)
    }

    /// Requests of the last day whose cost is not known.
    pub(super) fn unpriced(&self) -> u64 {
        self.unpriced
    }
}

/// A budget that is spent, or surely will be.
pub(super) fn overrun(
    budget: &Budget,
    forecast: Option<&Forecast>,
    unpriced: Option<u64>,
    now_s: u64,
) -> Option<Finding> {
    if now_s < budget.start_s || now_s >= budget.end_s {
        return None;
    }
    let spent = budget.spent >= budget.amount;
    let coming = forecast.filter(|forecast| forecast.lower >= budget.amount);
    if !spent && coming.is_none() {
        return None;
    }
    let at = forecast
        .and_then(|forecast| forecast.spent_at_s)
        .filter(|_| !spent);
    let soon = at.is_some_and(|at| at < now_s + SOON_S);
    let usd = |amount: NanoUsd| amount.0 as f64;
    Some(Finding {
        kind: Kind::BudgetOverrun,
        severity: if spent || soon {
            Severity::Critical
        } else {
            Severity::Warning
        },
        since_s: now_s,
        figures: Figures {
            unit: Unit::NanoUsd,
            observed: usd(forecast.map_or(budget.spent, |forecast| forecast.expected)),
            expected: Some(usd(budget.amount)),
            lower: forecast.map(|forecast| usd(forecast.lower)),
            upper: forecast.map(|forecast| usd(forecast.upper)),
            p_value: None,
            samples: 0,
            unpriced,
            window_start_s: budget.start_s,
            window_end_s: now_s,
        },
        shares: Vec::new(),
        spent_at_s: at,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const NORMAL: Sensitivity = Sensitivity::Normal;

    const FIRST: u64 = 400_000;

    /// One USD an hour.
    fn hours(n: usize, change: impl Fn(usize) -> f64) -> Vec<Option<Sum>> {
        let hour = |at| Sum {
            requests: 100,
            cost_nano: (1e9 * change(at)) as u64,
            ..Sum::default()
        };
        (0..n).map(|at| Some(hour(at))).collect()
    }

    fn budget(usd: u64, spent: u64, days: u64) -> (Budget, u64) {
        let now_s = (FIRST + 672) * HOUR_S;
        let budget = Budget {
            amount: NanoUsd(usd * NanoUsd::PER_USD),
            start_s: now_s - 10 * 86_400,
            end_s: now_s + days * 86_400,
            spent: NanoUsd(spent * NanoUsd::PER_USD),
        };
        (budget, now_s)
    }

    #[test]
    fn an_even_course_is_forecast_to_the_hour() {
        let (spend, findings) = Spend::learn(&hours(672, |_| 1.0), FIRST, NORMAL);
        assert_eq!(findings, []);
        let spend = spend.expect("cost is known");
        let (budget, now_s) = budget(480, 240, 20);
        let forecast = spend.forecast(&budget, now_s).expect("a forecast");
        let usd = forecast.expected.as_usd_f64();
        assert!((usd - 720.0).abs() < 1.0, "{usd}");
        let at = forecast.spent_at_s.expect("it will be spent");
        assert!(at.abs_diff(now_s + 240 * HOUR_S) <= 600);
        assert!(forecast.lower < forecast.expected && forecast.expected < forecast.upper);
        let finding = overrun(&budget, Some(&forecast), Some(0), now_s).expect("an overrun");
        assert_eq!(finding.severity, Severity::Warning);
        assert_eq!(spend.forecast(&budget, budget.end_s), None);
    }

    #[test]
    fn what_will_do_is_no_overrun_and_what_is_spent_is_critical() {
        let (spend, _) = Spend::learn(&hours(672, |_| 1.0), FIRST, NORMAL);
        let spend = spend.expect("cost is known");
        let (enough, now_s) = budget(800, 240, 20);
        let forecast = spend.forecast(&enough, now_s);
        assert_eq!(forecast.and_then(|forecast| forecast.spent_at_s), None);
        assert_eq!(overrun(&enough, forecast.as_ref(), Some(0), now_s), None);
        let (spent, now_s) = budget(100, 100, 20);
        let finding = overrun(&spent, None, None, now_s).expect("an overrun");
        assert_eq!(finding.severity, Severity::Critical);
        assert_eq!(finding.figures.lower, None);
        assert_eq!(finding.to_string(), "the budget of 100.00 USD is spent");
    }

    #[test]
    fn three_times_the_cost_for_half_a_day_is_a_spike() {
        let (_, findings) = Spend::learn(
            &hours(672, |at| if at >= 660 { 3.0 } else { 1.0 }),
            FIRST,
            NORMAL,
        );
        let [finding] = findings.as_slice() else {
            unreachable!("one finding: {findings:?}");
        };
        assert_eq!(finding.kind, Kind::CostSpike);
        assert_eq!(finding.since_s, (FIRST + 660) * HOUR_S);
    }

    #[test]
    fn growth_is_drift_and_carries_into_the_forecast() {
        let (spend, findings) = Spend::learn(
            &hours(672, |at| 1.03f64.powf(at as f64 / 24.0)),
            FIRST,
            NORMAL,
        );
        assert_eq!(
            findings.first().map(|finding| finding.kind),
            Some(Kind::CostDrift)
        );
        let (budget, now_s) = budget(10_000, 0, 7);
        let forecast = spend.and_then(|spend| spend.forecast(&budget, now_s));
        let usd = forecast.map_or(0.0, |forecast| forecast.expected.as_usd_f64());
        let true_course: f64 = (672..840)
            .map(|at| 1.03f64.powf(f64::from(at) / 24.0))
            .sum();
        assert!(
            (usd / true_course - 1.0).abs() < 0.1,
            "{usd}, {true_course}"
        );
    }

    #[test]
    fn cost_that_is_not_known_is_not_zero() {
        let unknown = Sum {
            requests: 100,
            unpriced: 100,
            ..Sum::default()
        };
        let (spend, findings) = Spend::learn(&[Some(unknown); 672], FIRST, NORMAL);
        assert!(spend.is_none() && findings.is_empty());
        // A week without prices is left out: it does not make the next one a spike.
        let mut hours = hours(672, |_| 1.0);
        hours[300..468].fill(Some(unknown));
        let (spend, findings) = Spend::learn(&hours, FIRST, NORMAL);
        assert!(spend.is_some() && findings.is_empty());
    }
}
