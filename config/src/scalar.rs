//! Texts of single values: durations, money, addresses, names. Each parser takes
//! the text and returns the value or why not; no message repeats the text, since
//! it may have come from the environment.

use coo_llm_core::NanoUsd;
use coo_llm_core::price::{PriceError, TokenPrice};
use std::net::SocketAddr;
use std::time::Duration;

/// Why a text is not the value: completes the sentence "`text` ...".
pub(crate) type Wrong = String;

/// Units of a duration and their length in milliseconds. A year is 365 days.
const UNITS_MS: [(&str, u64); 7] = [
    ("ms", 1),
    ("s", 1_000),
    ("m", 60_000),
    ("h", 3_600_000),
    ("d", 86_400_000),
    ("w", 7 * 86_400_000),
    ("y", 365 * 86_400_000),
];

/// `10s`, `500ms`, `24h`, `30d`, `2y`: a whole number and a unit.
pub(crate) fn duration(text: &str) -> Result<Duration, Wrong> {
    let wrong =
        || "is not a duration; write a whole number and a unit (ms, s, m, h, d, w, y), such as 10s";
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let Some((_, unit_ms)) = UNITS_MS.iter().find(|(name, _)| *name == unit) else {
        return Err(wrong().into());
    };
    if number.is_empty() {
        return Err(wrong().into());
    }
    let ms = number
        .parse::<u64>()
        .ok()
        .and_then(|n| n.checked_mul(*unit_ms));
    match ms {
        // A century: far above any sensible value, far below overflow in arithmetic on it.
        Some(ms) if ms <= 100 * 365 * 86_400_000 => Ok(Duration::from_millis(ms)),
        _ => Err("is too long; the longest duration is 100y".into()),
    }
}

/// A duration above zero.
pub(crate) fn positive_duration(text: &str) -> Result<Duration, Wrong> {
    match duration(text)? {
        Duration::ZERO => Err("must be above zero, such as 10s".into()),
        more => Ok(more),
    }
}

/// `true` or `false`.
pub(crate) fn boolean(text: &str) -> Result<bool, Wrong> {
    match text {
        "true" => Ok(true),
        "false" => Ok(false),
        _ => Err("is neither true nor false".into()),
    }
}

/// A whole number within bounds.
pub(crate) fn integer(min: u64, max: u64) -> impl Fn(&str) -> Result<u64, Wrong> {
    move |text| {
        let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        match text.parse::<u64>() {
            Ok(n) if digits && (min..=max).contains(&n) => Ok(n),
            _ if max == u64::MAX => Err(format!("is not a whole number of {min} or more")),
            _ => Err(format!("is not a whole number from {min} to {max}")),
        }
    }
}

/// A fraction within bounds: a statistical parameter, never money.
pub(crate) fn fraction(max: f64) -> impl Fn(&str) -> Result<f64, Wrong> {
    move |text| match text.parse::<f64>() {
        Ok(n) if (0.0..=max).contains(&n) => Ok(n),
        _ => Err(format!("is not a number from 0 to {max}")),
    }
}

/// USD per million tokens, exact.
pub(crate) fn usd_per_million(text: &str) -> Result<TokenPrice, Wrong> {
    TokenPrice::parse_usd_per_million(text).map_err(|error| {
        match error {
            PriceError::Negative(_) => "is below zero; a price is USD per million tokens",
            PriceError::TooFine(_) => {
                "is too fine; a price has at most 9 decimals per million tokens"
            }
            PriceError::TooLarge(_) => "is too large; a price is USD per million tokens",
            _ => "is not a decimal number; write USD per million tokens, such as 2.50",
        }
        .into()
    })
}

/// An amount of USD above zero, exact to the nano-USD: digits with an optional fraction.
pub(crate) fn usd(text: &str) -> Result<NanoUsd, Wrong> {
    let (whole, decimals) = text.split_once('.').unwrap_or((text, ""));
    let is_digits = |part: &str| part.bytes().all(|b| b.is_ascii_digit());
    if whole.is_empty() || !is_digits(whole) || !is_digits(decimals) || text.ends_with('.') {
        return Err("is not an amount of USD; write a decimal number such as 100.00".into());
    }
    let decimals = decimals.trim_end_matches('0');
    if decimals.len() > 9 {
        return Err("is finer than a nano-USD; write at most 9 decimals".into());
    }
    match format!("{whole}{decimals:0<9}").parse::<u64>() {
        Ok(0) => Err("must be above zero".into()),
        Ok(nano) => Ok(NanoUsd(nano)),
        Err(_) => Err("is too large; the largest amount is 18446744073 USD".into()),
    }
}

/// An address to listen on: IP and port.
pub(crate) fn listen_address(text: &str) -> Result<SocketAddr, Wrong> {
    text.parse().map_err(|_| {
        "is not an address to listen on; write an IP address and a port, such as 127.0.0.1:2906"
            .into()
    })
}

/// The id of a provider or client: `[A-Za-z0-9._-]+`, up to 64 characters.
pub(crate) fn id(text: &str) -> Result<String, Wrong> {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
    if text.is_empty() || text.len() > 64 || !text.bytes().all(allowed) {
        return Err("is not an id; use 1 to 64 letters, digits, `.`, `_` and `-`".into());
    }
    // Both stand for something else as label values in /metrics.
    if text == "none" || text == "other" {
        return Err("is reserved; choose another id".into());
    }
    Ok(text.into())
}

/// The name of a model: up to 256 visible characters without spaces.
pub(crate) fn model(text: &str) -> Result<String, Wrong> {
    if text.is_empty()
        || text.len() > 256
        || text.chars().any(|c| c.is_whitespace() || c.is_control())
    {
        return Err("is not a model name; use 1 to 256 characters without spaces".into());
    }
    Ok(text.into())
}

/// Any text but an empty one.
pub(crate) fn non_empty(text: &str) -> Result<String, Wrong> {
    if text.trim().is_empty() {
        return Err("is empty".into());
    }
    Ok(text.into())
}

/// An `http://` or `https://` URL with a host, without user, query or fragment; a final `/` is cut off.
pub(crate) fn base_url(text: &str) -> Result<String, Wrong> {
    let Some(rest) = text
        .strip_prefix("https://")
        .or_else(|| text.strip_prefix("http://"))
    else {
        return Err(
            "is not a URL; write http:// or https://, such as https://api.openai.com/v1".into(),
        );
    };
    let authority = rest.split('/').next().unwrap_or_default();
    if authority.contains('@') {
        return Err("holds a user or password; credentials belong into `api_keys`".into());
    }
    if text.contains(['?', '#']) {
        return Err("has a query or fragment; remove it".into());
    }
    let bad_char = |c: char| {
        !c.is_ascii_graphic() || matches!(c, '\\' | '"' | '<' | '>' | '^' | '`' | '{' | '|' | '}')
    };
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        _ => (authority, None),
    };
    let bad_port = port.is_some_and(|p| p.parse::<u16>().map_or(true, |n| n == 0));
    // Only a bracketed IPv6 address may hold a colon.
    let bad_host = match host.strip_prefix('[').and_then(|h| h.strip_suffix(']')) {
        Some(ip) => ip.parse::<std::net::Ipv6Addr>().is_err(),
        None => host.is_empty() || host.contains([':', '[', ']', '%']),
    };
    if bad_host || bad_port || text.contains(bad_char) {
        return Err(
            "is not a URL; write scheme, host and path, such as https://api.openai.com/v1".into(),
        );
    }
    Ok(text.trim_end_matches('/').into())
}

/// A web origin: scheme, host and port, as browsers send it in `Origin`.
pub(crate) fn origin(text: &str) -> Result<String, Wrong> {
    let wrong =
        "is not an origin; write scheme, host and port alone, such as https://dash.example.com";
    let parsed = base_url(text).map_err(|_| wrong)?;
    let authority = parsed.split_once("://").map_or("", |(_, rest)| rest);
    if parsed != text || authority.contains('/') || text.bytes().any(|b| b.is_ascii_uppercase()) {
        return Err(wrong.into());
    }
    Ok(parsed)
}

/// A metric name prefix, by the rules of Prometheus names.
pub(crate) fn metric_namespace(text: &str) -> Result<String, Wrong> {
    let valid = !text.is_empty()
        && text.len() <= 64
        && !text.starts_with(|c: char| c.is_ascii_digit())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    if valid {
        Ok(text.into())
    } else {
        Err(
            "is not a metric prefix; use up to 64 letters, digits and `_`, not a digit first"
                .into(),
        )
    }
}

/// The path of the metrics endpoint.
pub(crate) fn endpoint(text: &str) -> Result<String, Wrong> {
    let valid = text.starts_with('/')
        && text.len() > 1
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"/._-".contains(&b));
    if !valid {
        return Err("is not a path; write one that starts with `/`, such as /metrics".into());
    }
    let first = text[1..].split('/').next().unwrap_or_default();
    if ["v1", "api", "admin", "ui", "ingest", "health", "ready"].contains(&first) {
        return Err("is taken by another endpoint; choose another path, such as /metrics".into());
    }
    Ok(text.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        for (text, ms) in [
            ("0s", 0),
            ("500ms", 500),
            ("10s", 10_000),
            ("5m", 300_000),
            ("24h", 86_400_000),
            ("30d", 2_592_000_000),
            ("1w", 604_800_000),
            ("2y", 63_072_000_000),
        ] {
            assert_eq!(duration(text), Ok(Duration::from_millis(ms)), "{text}");
        }
        for text in [
            "",
            "10",
            "s",
            "10 s",
            "-1s",
            "1.5s",
            "10sec",
            "1h30m",
            "101y",
            "99999999999999999999s",
            "1é",
        ] {
            assert!(duration(text).is_err(), "{text}");
        }
        assert!(positive_duration("0ms").is_err());
    }

    #[test]
    fn amounts_are_exact() {
        for (text, nano) in [
            ("100.00", 100_000_000_000),
            ("0.1", 100_000_000),
            ("0.000000001", 1),
            ("0.1000000000000", 100_000_000),
            ("18446744073.709551615", u64::MAX),
        ] {
            assert_eq!(usd(text), Ok(NanoUsd(nano)), "{text}");
        }
        for text in [
            "",
            "0",
            "0.0",
            ".5",
            "5.",
            "-1",
            "1e3",
            "1,5",
            "0.0000000001",
            "18446744073.709551616",
            "NaN",
        ] {
            assert!(usd(text).is_err(), "{text}");
        }
    }

    #[test]
    fn base_urls() {
        for (text, want) in [
            ("https://api.openai.com/v1", "https://api.openai.com/v1"),
            ("http://127.0.0.1:8080/", "http://127.0.0.1:8080"),
            ("http://[::1]:8080/v1//", "http://[::1]:8080/v1"),
            ("http://[::1]", "http://[::1]"),
        ] {
            assert_eq!(base_url(text).as_deref(), Ok(want), "{text}");
        }
        for text in [
            "",
            "api.openai.com",
            "ftp://x",
            "https://",
            "https:///v1",
            "http://a b",
            "http://x:99999",
            "http://x:0",
            "http://x:",
            "http://u:p@x",
            "http://x/?a",
            "http://x/#a",
            "http://[::g]",
            "http://a:b:1",
        ] {
            assert!(base_url(text).is_err(), "{text}");
        }
    }

    #[test]
    fn origins() {
        for text in ["https://dash.example.com", "http://127.0.0.1:3000"] {
            assert_eq!(origin(text).as_deref(), Ok(text));
        }
        for text in [
            "*",
            "null",
            "dash.example.com",
            "https://x/",
            "https://x/y",
            "https://X",
        ] {
            assert!(origin(text).is_err(), "{text}");
        }
    }

    #[test]
    fn names() {
        assert_eq!(id("a.B-c_9").as_deref(), Ok("a.B-c_9"));
        for text in [
            "",
            "none",
            "other",
            "a b",
            "a:b",
            "ä",
            "a/b",
            &"x".repeat(65),
        ] {
            assert!(id(text).is_err(), "{text}");
        }
        assert!(model("llama3:8b").is_ok());
        assert!(model("a b").is_err());
        assert!(endpoint("/metrics").is_ok());
        for text in ["metrics", "/", "/v1", "/admin/x", "/health", "/a b"] {
            assert!(endpoint(text).is_err(), "{text}");
        }
        assert!(metric_namespace("coo_llm").is_ok());
        assert!(metric_namespace("9x").is_err());
    }

    #[test]
    fn numbers_within_bounds() {
        let port = integer(1, 10);
        assert_eq!((port("1"), port("10")), (Ok(1), Ok(10)));
        for text in ["0", "11", "+1", "-1", "1.0", "", "x"] {
            assert!(port(text).is_err(), "{text}");
        }
        assert_eq!(fraction(1.0)("0.25"), Ok(0.25));
        for text in ["NaN", "inf", "-0.1", "1.1", ""] {
            assert!(fraction(1.0)(text).is_err(), "{text}");
        }
    }
}
