//! A moment as people write it: a day in UTC, or a time in UTC.

use crate::scalar::Wrong;
use coo_llm_core::UnixMillis;

/// What a wrong one is told.
const HINT: &str = "is not a moment in UTC, such as 2026-01-31 or 2026-01-31T12:00:00Z";

/// Reads `2026-01-31`, which is its first moment, or `2026-01-31T12:00:00Z`, from 1970 on.
///
/// # Errors
/// What is wrong with it, to stand behind it.
pub fn moment(text: &str) -> Result<UnixMillis, String> {
    read(text).ok_or_else(|| HINT.to_owned())
}

pub(crate) fn scalar(text: &str) -> Result<UnixMillis, Wrong> {
    read(text).ok_or_else(|| HINT.into())
}

fn read(text: &str) -> Option<UnixMillis> {
    let (day, time) = match text.split_once('T') {
        Some((day, time)) => (day, time.strip_suffix('Z')?),
        None => (text, "00:00:00"),
    };
    let [year, month, day] = numbers(day, '-', [4, 2, 2])?;
    let [hour, minute, second] = numbers(time, ':', [2, 2, 2])?;
    let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let days = match month {
        2 => 28 + u64::from(is_leap),
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => return None,
    };
    if year < 1970 || !(1..=days).contains(&day) || hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    // "days_from_civil" of Howard Hinnant's date algorithms, for years from 1970 on.
    let (year, month) = if month > 2 {
        (year, month - 3)
    } else {
        (year - 1, month + 9)
    };
    let (era, year) = (year / 400, year % 400);
    let day_of_year = (153 * month + 2) / 5 + day - 1;
    let day_of_era = year * 365 + year / 4 - year / 100 + day_of_year;
    let days = era * 146_097 + day_of_era - 719_468;
    let seconds = ((days * 24 + hour) * 60 + minute) * 60 + second;
    Some(UnixMillis(seconds * 1000))
}

/// Three numbers of so many digits each.
fn numbers(text: &str, between: char, digits: [usize; 3]) -> Option<[u64; 3]> {
    let mut parts = text.split(between);
    let mut next = |digits: usize| {
        let part = parts.next()?;
        let is_number = part.len() == digits && part.bytes().all(|b| b.is_ascii_digit());
        if is_number { part.parse().ok() } else { None }
    };
    let numbers = [next(digits[0])?, next(digits[1])?, next(digits[2])?];
    parts.next().is_none().then_some(numbers)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The seconds are those of `date -u -d TEXT +%s`.
    #[test]
    fn moments_are_those_of_date() {
        for (text, seconds) in [
            ("1970-01-01", 0),
            ("1970-01-01T00:00:01Z", 1),
            ("2000-02-29", 951_782_400),
            ("2024-12-31T23:59:59Z", 1_735_689_599),
            ("2026-11-24T12:08:00Z", 1_795_522_080),
            ("9999-12-31", 253_402_214_400),
        ] {
            assert_eq!(moment(text), Ok(UnixMillis(seconds * 1000)), "{text}");
        }
        for text in [
            "",
            "2026",
            "2026-1-1",
            "2026-02-29",
            "2100-02-29",
            "2026-13-01",
            "2026-00-01",
            "2026-01-00",
            "1969-12-31",
            "2026-01-01T24:00:00Z",
            "2026-01-01T00:00:00",
            "2026-01-01T00:00:00+01:00",
            "2026-01-01-01",
            "+026-01-01",
            "1795520880",
        ] {
            assert!(moment(text).is_err(), "{text}");
        }
    }
}
