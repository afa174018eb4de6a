//! Growth that goes on for weeks.

use super::robust::median;

/// Days of a week.
const WEEK: usize = 7;
/// Weeks that a trend needs.
const WEEKS_MIN: usize = 3;
/// Growth must stand out by so many standard deviations,
const Z_MIN: f64 = 3.3;
/// be this much a week,
const FACTOR_MIN: f64 = 1.10;
/// and this much from each week to the next,
const STEP_MIN: f64 = 1.04;
/// of which none has more than this part of the whole: else it is a step, not growth.
const STEP_PART_MAX: f64 = 0.6;

/// Cost that grows.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Growth {
    /// What a week costs to the week before.
    pub(super) weekly: f64,
    /// How far it stands out.
    pub(super) z: f64,
}

/// The growth of daily values, the last one last; NaN where a day is not known.
///
/// Each day is compared with the same day of other weeks alone: the seasonal Kendall test and
/// the slope that goes with it (Hirsch, Slack and Smith 1982; Sen 1968; Theil 1950), on logarithms.
pub(super) fn growth(days: &[f64]) -> Option<Growth> {
    let weeks = days.len() / WEEK;
    if weeks < WEEKS_MIN {
        return None;
    }
    let days = &days[days.len() - weeks * WEEK..];
    let at = |week: usize, day: usize| Some(days[week * WEEK + day]).filter(|value| *value > 0.0);
    let mut score = 0.0;
    let mut variance = 0.0;
    let mut slopes = Vec::new();
    for day in 0..WEEK {
        let known: Vec<(usize, f64)> = (0..weeks)
            .filter_map(|week| at(week, day).map(|value| (week, value.ln())))
            .collect();
        for (i, (week, value)) in known.iter().enumerate() {
            for (later, next) in &known[i + 1..] {
                score += f64::from(next > value) - f64::from(next < value);
                slopes.push((next - value) / (later - week) as f64);
            }
        }
        let n = known.len() as f64;
        variance += n * (n - 1.0) * (2.0 * n + 5.0) / 18.0;
    }
    let step = |week: usize| {
        let mut steps: Vec<f64> = (0..WEEK)
            .filter_map(|day| Some((at(week, day)? / at(week - 1, day)?).ln()))
            .collect();
        median(&mut steps)
    };
    let steps: Vec<f64> = (1..weeks).map(step).collect::<Option<_>>()?;
    let most = STEP_PART_MAX * steps.iter().sum::<f64>();
    let is_growth = |step: &f64| *step >= STEP_MIN.ln() && *step <= most;
    let steps_all = steps.iter().all(is_growth);
    let weekly = median(&mut slopes)?.exp();
    let z = (score - 1.0) / variance.sqrt();
    (steps_all && z >= Z_MIN && weekly >= FACTOR_MIN).then_some(Growth { weekly, z })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn days(n: usize, factor: impl Fn(usize) -> f64) -> Vec<f64> {
        let usual = [10.0, 11.0, 10.5, 10.0, 9.0, 3.0, 2.0];
        (0..n).map(|day| usual[day % 7] * factor(day)).collect()
    }

    #[test]
    fn three_percent_a_day_is_growth() {
        let growth = growth(&days(28, |day| 1.03f64.powi(day as i32))).expect("growth");
        assert!((growth.weekly - 1.03f64.powi(7)).abs() < 0.01 && growth.z > 4.0);
    }

    #[test]
    fn weekends_steps_and_too_few_weeks_are_none() {
        assert_eq!(growth(&days(28, |_| 1.0)), None);
        for step in 1..28 {
            let stepped = days(28, |day| if day >= step { 3.0 } else { 1.0 });
            assert_eq!(growth(&stepped), None, "step at {step}");
        }
        assert_eq!(growth(&days(20, |day| 1.05f64.powi(day as i32))), None);
        assert_eq!(growth(&[f64::NAN; 28]), None);
    }
}
