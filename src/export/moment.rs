//! Moments on the command line: unix seconds, RFC 3339, or a date, which begins in UTC.

use crate::logging::Rfc3339;

/// What a moment may look like.
const HINT: &str = "is not a moment: write unix seconds, RFC 3339 with its zone \
     (2026-01-31T12:00:00Z, 2026-01-31T12:00:00+01:00), or a date, which begins in UTC (2026-01-31)";

/// A second since 1970 as `2026-01-31T12:00:00Z`.
pub(crate) fn rfc3339(second: u64) -> String {
    let mut text = Rfc3339(second.saturating_mul(1000)).to_string();
    // Without the milliseconds.
    text.replace_range(text.len() - 5.., "Z");
    text
}

/// Reads one, in seconds since 1970.
///
/// # Errors
/// What to write.
pub(crate) fn second(text: &str) -> Result<u64, String> {
    read(text).ok_or_else(|| HINT.to_owned())
}

fn read(text: &str) -> Option<u64> {
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        // Milliseconds by mistake would be the year 50,000.
        return text.parse().ok().filter(|second| *second < 253_402_300_800);
    }
    let (local, east_s) = match text
        .len()
        .checked_sub(6)
        .map(|at| text.split_at_checked(at))
    {
        Some(Some((local, zone))) if zone.starts_with(['+', '-']) && text.contains('T') => {
            (local, offset(zone)?)
        }
        _ => (
            text.strip_suffix('Z')
                .filter(|t| t.contains('T'))
                .unwrap_or(text),
            0,
        ),
    };
    let has_zone = local.len() < text.len();
    let utc = match (local.contains('T'), has_zone) {
        (true, true) => format!("{}Z", whole(local)?),
        (false, false) => local.to_owned(),
        _ => return None,
    };
    let local_s = coo_llm_config::moment(&utc).ok()?.0 / 1000;
    local_s.checked_add_signed(-east_s)
}

/// Seconds that a zone such as `+01:30` is east of UTC.
fn offset(zone: &str) -> Option<i64> {
    let (hours, minutes) = zone.get(1..)?.split_once(':')?;
    let number = |text: &str, max| {
        let is_number = text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_digit());
        let n = if is_number { text.parse().ok() } else { None };
        n.filter(|n: &i64| *n <= max)
    };
    let east = number(hours, 23)? * 3600 + number(minutes, 59)? * 60;
    Some(if zone.starts_with('-') { -east } else { east })
}

/// Without a fraction of a second: buckets have whole ones.
fn whole(local: &str) -> Option<&str> {
    match local.split_once('.') {
        None => Some(local),
        Some((whole, fraction)) => {
            let is_number = !fraction.is_empty() && fraction.bytes().all(|b| b.is_ascii_digit());
            is_number.then_some(whole)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The seconds are those of `date -u -d TEXT +%s`.
    #[test]
    fn moments_have_a_zone() {
        for (text, want) in [
            ("0", 0),
            ("1795522080", 1_795_522_080),
            ("2026-11-24", 1_795_478_400),
            ("2026-11-24T12:08:00Z", 1_795_522_080),
            ("2026-11-24T12:08:00.250Z", 1_795_522_080),
            ("2026-11-24T13:08:00+01:00", 1_795_522_080),
            ("2026-11-24T06:38:00-05:30", 1_795_522_080),
            ("2026-11-24T12:08:00-00:00", 1_795_522_080),
        ] {
            assert_eq!(second(text), Ok(want), "{text}");
        }
        assert_eq!(rfc3339(1_795_522_080), "2026-11-24T12:08:00Z");
        for text in [
            "",
            "yesterday",
            "-5",
            "1795522080000",
            "2026-11-24T12:08:00",
            "2026-11-24 12:08:00",
            "2026-11-24Z",
            "2026-11-24+01:00",
            "2026-11-24T12:08:00+1:00",
            "2026-11-24T12:08:00+24:00",
            "2026-11-24T12:08:00.Z",
            "1970-01-01T00:00:00+01:00",
        ] {
            assert!(second(text).is_err(), "{text}");
        }
    }
}
