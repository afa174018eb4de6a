//! When a provider says that it may be asked again.

use http::HeaderMap;
use http::header::{DATE, RETRY_AFTER};
use std::time::{Duration, SystemTime};

/// The time that `retry-after-ms` (OpenAI's, in milliseconds) or `Retry-After` (RFC 9110,
/// 10.2.3: seconds or a date) asks for; `None` where neither can be read.
///
/// A date counts from the answer's own `Date`, where it has one, so that clocks need not
/// agree, else from `now`. One that has passed is zero.
#[must_use]
pub fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let text = |value: &http::HeaderValue| value.to_str().ok().map(|text| text.trim().to_owned());
    let milliseconds = headers.get("retry-after-ms").and_then(text);
    if let Some(time) = milliseconds.and_then(|text| seconds(&text, 1000.0)) {
        return Some(time);
    }
    let value = headers.get(RETRY_AFTER).and_then(text)?;
    if let Some(time) = seconds(&value, 1.0) {
        return Some(time);
    }
    let date = httpdate::parse_http_date(&value).ok()?;
    let theirs = headers.get(DATE).and_then(text);
    let theirs = theirs.and_then(|text| httpdate::parse_http_date(&text).ok());
    Some(
        date.duration_since(theirs.unwrap_or(now))
            .unwrap_or_default(),
    )
}

/// A decimal, as many of a second as `per_second` says; some providers send fractions.
fn seconds(text: &str, per_second: f64) -> Option<Duration> {
    let is_decimal = text.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    let number: f64 = is_decimal.then(|| text.parse().ok())??;
    Duration::try_from_secs_f64(number / per_second).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::{HeaderName, HeaderValue};

    fn read(pairs: &[(&'static str, &'static str)]) -> Option<u128> {
        let headers: HeaderMap = pairs
            .iter()
            .map(|(name, value)| {
                (
                    HeaderName::from_static(name),
                    HeaderValue::from_static(value),
                )
            })
            .collect();
        // 1994-11-06 08:49:37, the date of RFC 9110's examples.
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777);
        retry_after(&headers, now).map(|time| time.as_millis())
    }

    #[test]
    fn seconds_milliseconds_and_dates() {
        assert_eq!(read(&[("retry-after", "2")]), Some(2000));
        assert_eq!(read(&[("retry-after", "0.25")]), Some(250));
        assert_eq!(read(&[("retry-after-ms", "1500")]), Some(1500));
        let both = [("retry-after", "2"), ("retry-after-ms", "1500")];
        assert_eq!(read(&both), Some(1500));
        let odd = [("retry-after", "2"), ("retry-after-ms", "soon")];
        assert_eq!(read(&odd), Some(2000));
        let date = ("retry-after", "Sun, 06 Nov 1994 08:49:47 GMT");
        assert_eq!(read(&[date]), Some(10_000));
        let theirs = ("date", "Sun, 06 Nov 1994 08:49:40 GMT");
        assert_eq!(read(&[date, theirs]), Some(7000));
        let past = ("retry-after", "Sun, 06 Nov 1994 08:00:00 GMT");
        assert_eq!(read(&[past]), Some(0));
    }

    #[test]
    fn what_is_neither_says_nothing() {
        for value in ["", "-1", "soon", "1e9", "inf", "NaN", "1.2.3", "2 s"] {
            assert_eq!(read(&[("retry-after", value)]), None, "{value}");
        }
        assert_eq!(read(&[]), None);
        let endless = "99999999999999999999999999";
        assert_eq!(read(&[("retry-after", endless)]), None);
    }
}
