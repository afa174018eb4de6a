//! What is usual at an hour of the week: a shape times a level.

use super::input::WEEK_H;
use super::robust::{median, quantile, trimmed_mean, weighted_median};

/// Hours of which the recent level is made.
const RECENT_H: usize = 48;
/// Hours of a block of them: the median block is the level, so it follows a lasting change
/// once more than half of the usual traffic of 48 hours is at the new level.
const BLOCK_H: usize = 6;
/// Part that is cut from either end of a mean.
const CUT: f64 = 0.05;
/// From the level of a week: a day of it may be wild.
const LEVEL_CUT: f64 = 0.15;
/// Hours of the week are not taken for emptier than this part of the level.
const SHAPE_MIN: f64 = 0.05;
/// This part of what the hours beside one have is usual in it.
const BESIDE: f64 = 0.85;
/// Hours with a lower expectation say nothing about overdispersion.
const MEAN_MIN: f64 = 3.0;
/// What the overdispersion is taken for before anything is known, and how many hours' worth.
const PRIOR_DISPERSION: f64 = 0.3;
const PRIOR_HOURS: f64 = 24.0;
/// Median and 97th percentile of a chi-squared variate of one degree.
const CHI2_MEDIAN: f64 = 0.455;
const CHI2_Q97: f64 = 4.709;

/// The weekly pattern of a quantity by the hour. The hours are numbered from 1970.
#[derive(Clone, Debug)]
pub(super) struct Seasonal {
    /// Relative to the level, by hour number modulo 168.
    shape: Box<[f32]>,
    /// The median of the weeks' levels.
    pub(super) long: f64,
    /// The level of the last two days.
    pub(super) recent: f64,
    /// Whole weeks it was learned from; 0 for less than one, and then without days of the week.
    pub(super) weeks: usize,
    /// Variance beyond Poisson's, relative to the square of the mean.
    pub(super) dispersion: f64,
    /// Of a quantity that is zero in most hours: what its larger hours have (98th percentile).
    pub(super) peak: Option<f64>,
    /// What was, to what medians expected, at least 1: the mean of a skewed quantity is higher.
    pub(super) mean_to_median: f64,
    /// Sum over the shape.
    week_sum: f64,
    /// The first hour that was learned from, the levels from there on, and the hours of each.
    first: u64,
    levels: Vec<f64>,
    width: usize,
}

/// A span of hours: NaN is an hour of which nothing is known.
#[derive(Clone, Copy)]
pub(super) struct Hours<'a> {
    /// Number of the first one.
    pub(super) first: u64,
    pub(super) values: &'a [f64],
}

impl Hours<'_> {
    fn slot(&self, at: usize) -> usize {
        slot(self.first + at as u64)
    }
}

fn slot(hour: u64) -> usize {
    (hour % WEEK_H as u64) as usize
}

fn known(values: &[f64]) -> impl Iterator<Item = f64> {
    values.iter().copied().filter(|value| !value.is_nan())
}

/// A level that is robust, and not zero where anything happened at all.
fn level(values: &[f64]) -> f64 {
    let mut some: Vec<f64> = known(values).collect();
    let mean = some.iter().sum::<f64>() / some.len().max(1) as f64;
    match trimmed_mean(&mut some, LEVEL_CUT) {
        Some(trimmed) if trimmed > 0.2 * mean => trimmed,
        _ => mean,
    }
}

impl Seasonal {
    /// Learns from hours, of which there is at least one. `skip_h` of the last are left out of
    /// the recent level, `per_hour` is how many requests an hour stand behind the values.
    pub(super) fn learn(all: Hours<'_>, skip_h: usize, per_hour: f64) -> Self {
        let weeks = all.values.len() / WEEK_H;
        let from = if weeks == 0 {
            0
        } else {
            all.values.len() - weeks * WEEK_H
        };
        let used = Hours {
            first: all.first + from as u64,
            values: &all.values[from..],
        };
        let width = if weeks == 0 {
            used.values.len()
        } else {
            WEEK_H
        };
        let levels: Vec<f64> = used.values.chunks(width.max(1)).map(level).collect();
        let long = median(&mut levels.clone()).unwrap_or(0.0);

        // Hours of the week over the level of their own week, so that growth is no shape.
        let relative: Vec<f64> = used
            .values
            .iter()
            .enumerate()
            .map(|(at, value)| {
                let level = levels[at / width.max(1)];
                if level > 0.0 { value / level } else { f64::NAN }
            })
            .collect();
        let relative = Hours {
            first: used.first,
            values: &relative,
        };
        let shape = shape(relative, weeks, per_hour);
        let mut seasonal = Self {
            week_sum: shape.iter().map(|s| f64::from(*s)).sum(),
            shape,
            long,
            recent: long,
            weeks,
            dispersion: PRIOR_DISPERSION,
            peak: None,
            mean_to_median: 1.0,
            first: used.first,
            levels,
            width: width.max(1),
        };
        seasonal.recent = seasonal.recent_level(all, skip_h).unwrap_or(long);
        seasonal.dispersion = seasonal.learn_dispersion(used);
        seasonal.mean_to_median = seasonal.learn_mean(used);
        let mut active: Vec<f64> = known(used.values).filter(|value| *value > 0.0).collect();
        if 2 * active.len() < known(used.values).count() {
            seasonal.peak = quantile(&mut active, 0.98);
        }
        seasonal
    }

    /// The shape at an hour, over the level.
    pub(super) fn shape(&self, hour: u64) -> f64 {
        f64::from(self.shape[slot(hour)])
    }

    /// The level that explains most: that of the weeks or that of the last two days.
    pub(super) fn level(&self) -> f64 {
        self.long.max(self.recent)
    }

    /// The most that is usual around an hour: of it and its neighbours, as clocks change twice a
    /// year and hours here are UTC's.
    pub(super) fn around(&self, hour: u64) -> f64 {
        let beside = self.shape(hour.saturating_sub(1)).max(self.shape(hour + 1));
        self.shape(hour).max(BESIDE * beside) * self.level()
    }

    /// What was usual at an hour that was learned from, at the level of its own week; 0 before.
    pub(super) fn fitted(&self, hour: u64) -> f64 {
        let level = |at: u64| self.levels.get(at as usize / self.width).copied();
        let at = hour.checked_sub(self.first);
        at.and_then(level)
            .map_or(0.0, |level| level * self.shape(hour))
    }

    /// The level of the last week, or of the last two days where it is another.
    pub(super) fn current(&self, all: Hours<'_>) -> f64 {
        const SAME: f64 = 1.5;
        let week = self.levels.last().copied().unwrap_or(self.long);
        match self.recent_level(all, 0) {
            Some(days) if days > week * SAME || days * SAME < week => days,
            _ => week,
        }
    }

    /// The sum of the shape over hours `[from, to)`.
    pub(super) fn shape_sum(&self, from: u64, to: u64) -> f64 {
        let hours = to.saturating_sub(from);
        let whole = hours / WEEK_H as u64;
        let rest = from + whole * WEEK_H as u64;
        let rest: f64 = (rest..to).map(|hour| self.shape(hour)).sum();
        whole as f64 * self.week_sum + rest
    }

    /// The level of some hours before the last `skip_h`; `None` where less than a day is known.
    fn recent_level(&self, all: Hours<'_>, skip_h: usize) -> Option<f64> {
        let end = all.values.len().checked_sub(skip_h)?;
        let from = end.saturating_sub(RECENT_H);
        let mut blocks = Vec::with_capacity(RECENT_H / BLOCK_H);
        let mut seen = 0;
        let mut at = end;
        while at > from {
            let start = at.saturating_sub(BLOCK_H).max(from);
            let (mut sum, mut usual) = (0.0, 0.0);
            for i in start..at {
                if !all.values[i].is_nan() {
                    seen += 1;
                    sum += all.values[i];
                    usual += self.shape(all.first + i as u64);
                }
            }
            if usual > 0.0 {
                blocks.push((sum / usual, usual));
            }
            at = start;
        }
        if seen < RECENT_H / 2 {
            return None;
        }
        weighted_median(&mut blocks)
    }

    fn learn_dispersion(&self, used: Hours<'_>) -> f64 {
        let mut squares = Vec::with_capacity(used.values.len());
        for (at, value) in used.values.iter().enumerate() {
            let mean = self.fitted(used.first + at as u64);
            if !value.is_nan() && mean >= MEAN_MIN {
                squares.push(((value - mean).powi(2) - mean) / (mean * mean));
            }
        }
        let n = squares.len() as f64;
        // Residuals of what was fitted are smaller than those of what comes.
        let unseen = match self.weeks {
            0 | 1 => 2.0,
            weeks => weeks as f64 / (weeks as f64 - 1.0),
        };
        let tail = quantile(&mut squares, 0.97).unwrap_or(0.0) / CHI2_Q97;
        let middle = median(&mut squares).unwrap_or(0.0) / CHI2_MEDIAN;
        let found = middle.max(tail).max(0.01) * unseen;
        (n * found + PRIOR_HOURS * PRIOR_DISPERSION) / (n + PRIOR_HOURS)
    }

    /// By days, of which each counts at most three times what was expected.
    fn learn_mean(&self, used: Hours<'_>) -> f64 {
        let (mut was, mut expected) = (0.0, 0.0);
        for (day, values) in used.values.chunks(24).enumerate() {
            let (mut sum, mut usual) = (0.0, 0.0);
            for (i, value) in values.iter().enumerate() {
                let at = day * 24 + i;
                if !value.is_nan() {
                    sum += value;
                    usual += self.fitted(used.first + at as u64);
                }
            }
            was += f64::min(sum, 3.0 * usual);
            expected += usual;
        }
        if expected > 0.0 {
            (was / expected).clamp(1.0, 3.0)
        } else {
            1.0
        }
    }
}

/// Hours of the week, drawn towards hour of the day times day of the week where there are few
/// weeks or few requests.
fn shape(relative: Hours<'_>, weeks: usize, per_hour: f64) -> Box<[f32]> {
    let gather = |parts: usize, part: &dyn Fn(usize) -> usize| {
        let mut groups: Vec<Vec<f64>> = vec![Vec::new(); parts];
        for (at, value) in relative.values.iter().enumerate() {
            if !value.is_nan() {
                groups[part(relative.slot(at))].push(*value);
            }
        }
        groups
    };
    let mean_of = |mut group: Vec<f64>| trimmed_mean(&mut group, CUT);
    let hours: Vec<Option<f64>> = gather(24, &|slot| slot % 24)
        .into_iter()
        .map(mean_of)
        .collect();
    let seen: Vec<f64> = hours.iter().copied().flatten().collect();
    let overall = seen.iter().sum::<f64>() / seen.len().max(1) as f64;
    let hour_of_day = |slot: usize| hours[slot % 24].unwrap_or(overall);

    let days: Vec<f64> = if weeks == 0 {
        vec![1.0; 7]
    } else {
        let days = days_of_week(relative, &hour_of_day);
        let mean = days.iter().sum::<f64>() / 7.0;
        days.into_iter()
            .map(|day| if mean > 0.0 { day / mean } else { 1.0 })
            .collect()
    };
    let prior: Vec<f64> = (0..WEEK_H)
        .map(|slot| hour_of_day(slot) * days[slot / 24])
        .collect();
    if weeks == 0 {
        return finish(prior);
    }

    let prior_weight = 1.0 + 20.0 / (1.0 + per_hour);
    let mut slots = gather(WEEK_H, &|slot| slot);
    let drawn: Vec<f64> = slots
        .iter_mut()
        .zip(&prior)
        .map(|(values, prior)| {
            let n = values.len() as f64;
            let own = if values.len() >= 3 {
                median(values).unwrap_or(*prior)
            } else {
                let capped = values.iter().map(|value| value.min(3.0 * prior));
                capped.sum::<f64>() / n.max(1.0)
            };
            (n * own + prior_weight * prior) / (n + prior_weight)
        })
        .collect();
    // Medians of few small counts are low: the sum of the week is kept.
    let (have, want) = (drawn.iter().sum::<f64>(), prior.iter().sum::<f64>());
    let stretch = if have > 0.0 { want / have } else { 1.0 };
    finish(drawn.into_iter().map(|value| value * stretch).collect())
}

/// What days of the week have to what their hours of the day have: the median of the weeks, so
/// that one wild day is none of them.
fn days_of_week(relative: Hours<'_>, hour_of_day: &dyn Fn(usize) -> f64) -> Vec<f64> {
    let mut days: Vec<Vec<f64>> = vec![Vec::new(); 7];
    let mut at = 0;
    while at < relative.values.len() {
        let (day, mut sum, mut usual, mut seen) = (relative.slot(at) / 24, 0.0, 0.0, 0);
        while at < relative.values.len() && relative.slot(at) / 24 == day {
            let value = relative.values[at];
            if !value.is_nan() {
                sum += value;
                usual += hour_of_day(relative.slot(at));
                seen += 1;
            }
            at += 1;
        }
        // Halves of days count where there are no whole ones only.
        if usual > 0.0 && (seen >= 12 || days[day].is_empty()) {
            days[day].push(sum / usual);
        }
    }
    let middle = |mut day: Vec<f64>| median(&mut day).unwrap_or(1.0);
    days.into_iter().map(middle).collect()
}

fn finish(shape: Vec<f64>) -> Box<[f32]> {
    shape
        .into_iter()
        .map(|value| value.max(SHAPE_MIN) as f32)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 20 an hour by night, 100 by day, half of it on two days of the week.
    fn usual(hour: u64) -> f64 {
        let day = if hour % 24 < 8 { 20.0 } else { 100.0 };
        if hour / 24 % 7 >= 5 { day / 2.0 } else { day }
    }

    fn learn(values: &[f64], first: u64) -> Seasonal {
        Seasonal::learn(Hours { first, values }, 0, 50.0)
    }

    fn weeks(n: u64) -> Vec<f64> {
        (0..n * 168).map(usual).collect()
    }

    fn assert_usual(seasonal: &Seasonal, part: f64) {
        for hour in 0..168 {
            let have = seasonal.shape(hour) * seasonal.level();
            let off = (have / usual(hour) - 1.0).abs();
            assert!(off < part, "{have} at hour {hour}, {}", usual(hour));
        }
    }

    #[test]
    fn four_weeks_say_what_an_hour_of_the_week_has() {
        assert_usual(&learn(&weeks(4), 0), 0.05);
    }

    #[test]
    fn one_wild_day_changes_little() {
        let mut values = weeks(4);
        values[300..324].iter_mut().for_each(|value| *value *= 20.0);
        let seasonal = learn(&values, 0);
        for hour in 0..168 {
            let have = seasonal.shape(hour) * seasonal.recent;
            assert!((have / usual(hour) - 1.0).abs() < 0.25, "{have} at {hour}");
        }
    }

    #[test]
    fn hours_that_are_not_known_are_not_zeros() {
        let mut values = weeks(4);
        values[168..240].fill(f64::NAN);
        values[600..620].fill(f64::NAN);
        assert_usual(&learn(&values, 0), 0.05);
    }

    #[test]
    fn a_new_level_is_recent_after_a_day_and_growth_is_no_shape() {
        let mut values = weeks(4);
        let n = values.len();
        values[n - 30..].iter_mut().for_each(|value| *value *= 3.0);
        let seasonal = learn(&values, 0);
        let times = seasonal.recent / seasonal.long;
        assert!((times - 3.0).abs() < 0.3, "{times}");
        let shorter: Vec<f64> = values[..n - 18].to_vec();
        let seasonal = learn(&shorter, 0);
        assert!((seasonal.recent / seasonal.long - 1.0).abs() < 0.2);
    }

    #[test]
    fn days_of_the_week_are_known_after_a_week_only() {
        let values = weeks(1);
        assert_eq!(learn(&values[..150], 0).weeks, 0);
        let seasonal = learn(&values, 0);
        assert_eq!(seasonal.weeks, 1);
        assert_usual(&seasonal, 0.1);
    }

    #[test]
    fn sums_over_hours_are_sums_of_hours() {
        let seasonal = learn(&weeks(4), 0);
        let slow: f64 = (37..1000).map(|hour| seasonal.shape(hour)).sum();
        assert!((seasonal.shape_sum(37, 1000) - slow).abs() < 1e-6);
        assert!(seasonal.shape_sum(5, 5).abs() < 1e-12);
    }

    #[test]
    fn bursts_of_a_client_that_is_mostly_idle_are_its_peak() {
        let values: Vec<f64> = (0..672)
            .map(|hour| if hour % 50 == 0 { 500.0 } else { 0.0 })
            .collect();
        assert_eq!(learn(&values, 0).peak, Some(500.0));
        assert_eq!(learn(&weeks(4), 0).peak, None);
    }
}
