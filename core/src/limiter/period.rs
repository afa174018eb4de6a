//! The days and months of budgets, in UTC.

use crate::units::UnixMillis;

const DAY_MS: u64 = 24 * 60 * 60 * 1000;
/// Days from 0000-03-01 to 1970-01-01 in the proleptic Gregorian calendar.
const DAYS_TO_1970: u64 = 719_468;
/// Days in 400 years.
const ERA_DAYS: u64 = 146_097;

/// After what time a budget starts anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Period {
    /// At midnight UTC.
    Day,
    /// At midnight UTC before the first of a month.
    Month,
}

impl Period {
    /// The number of the period that `at` lies in, counted from January 1970.
    #[must_use]
    pub const fn index(self, at: UnixMillis) -> u64 {
        let day = at.0 / DAY_MS;
        match self {
            Self::Day => day,
            Self::Month => month_of_day(day),
        }
    }

    /// When the period of this number begins.
    #[must_use]
    pub const fn start(self, index: u64) -> UnixMillis {
        let day = match self {
            Self::Day => index,
            Self::Month => first_day_of_month(index),
        };
        UnixMillis(day.saturating_mul(DAY_MS))
    }

    /// When the period of this number ends and the next begins.
    #[must_use]
    pub const fn end(self, index: u64) -> UnixMillis {
        self.start(index.saturating_add(1))
    }
}

/// Months since January 1970. Years are taken to begin in March, so that a leap day is
/// the last of its year.
const fn month_of_day(day: u64) -> u64 {
    let days = day + DAYS_TO_1970;
    let era = days / ERA_DAYS;
    let in_era = days % ERA_DAYS;
    let year = (in_era - in_era / 1460 + in_era / 36_524 - in_era / 146_096) / 365;
    let in_year = in_era - (365 * year + year / 4 - year / 100);
    // Months from March have 31, 30, 31, 30, 31 days twice and on: 153 days in five.
    let month = (5 * in_year + 2) / 153;
    // March 0000 is month 2 of the year 0.
    (era * 400 + year) * 12 + month + 2 - 1970 * 12
}

/// Days since 1970-01-01 of the first of a month.
const fn first_day_of_month(index: u64) -> u64 {
    let months = index.saturating_add(1970 * 12 - 2);
    let (years, month) = (months / 12, months % 12);
    let (era, year) = (years / 400, years % 400);
    let in_era = 365 * year + year / 4 - year / 100 + (153 * month + 2) / 5;
    era.saturating_mul(ERA_DAYS).saturating_add(in_era) - DAYS_TO_1970
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    /// Day by day, as a calendar on paper goes.
    #[test]
    fn months_are_those_of_the_calendar() {
        let (mut day, mut month_index) = (0, 0);
        for year in 1970..2410u64 {
            let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
            let february = if is_leap { 29 } else { 28 };
            for days in [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31] {
                assert_eq!(Period::Month.start(month_index), UnixMillis(day * DAY_MS));
                let last = UnixMillis((day + days) * DAY_MS - 1);
                assert_eq!(Period::Month.index(UnixMillis(day * DAY_MS)), month_index);
                assert_eq!(Period::Month.index(last), month_index, "{year}");
                assert_eq!(Period::Month.end(month_index).0, last.0 + 1);
                day += days;
                month_index += 1;
            }
        }
    }

    #[test]
    fn days_begin_at_midnight() {
        let noon = UnixMillis(1_700_000_000_000); // 2023-11-14T22:13:20Z
        let day = Period::Day.index(noon);
        assert_eq!(Period::Day.start(day), UnixMillis(1_699_920_000_000));
        assert_eq!(Period::Day.end(day), UnixMillis(1_700_006_400_000));
    }
}
