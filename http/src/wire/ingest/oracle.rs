//! What a line means by `serde_json` and arithmetic on text: slow and obvious, and the
//! judge of the parser in tests and in the fuzzer.

use super::fault::Fault;
use super::line::{Fields, Line};
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::Value;
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::fmt;

/// The members of an object in their order, with those that are there twice.
struct Members<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

struct MembersVisitor;

impl<'de> Visitor<'de> for MembersVisitor {
    type Value = Members<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut members = Vec::new();
        while let Some(member) = map.next_entry::<String, &RawValue>()? {
            members.push((Cow::Owned(member.0), member.1));
        }
        Ok(Members(members))
    }
}

/// Reads a line and gives what it means to `judge`; `None` where it is no record.
pub(crate) fn read<R>(line: &[u8], judge: impl FnOnce(Option<Line<'_>>) -> R) -> R {
    let mut reader = serde_json::Deserializer::from_slice(line);
    let is_json = serde_json::from_slice::<Value>(line).is_ok();
    let members = reader.deserialize_map(MembersVisitor);
    let (true, Ok(Members(members))) = (is_json, members) else {
        return judge(None);
    };
    let mut texts: Vec<(&str, String)> = Vec::new();
    let mut numbers: Vec<(&str, u64)> = Vec::new();
    let mut names = Vec::new();
    for (name, raw) in &members {
        let (name, raw) = (name.as_ref(), raw.get());
        let texts_wanted = [
            "id",
            "provider",
            "model",
            "key_id",
            "client_id",
            "error_type",
            "service_tier",
        ];
        let measure = match name {
            "time" | "status" => Some((0, Rounding::None, u64::MAX)),
            "prompt_tokens" | "completion_tokens" | "cached_tokens" => {
                Some((0, Rounding::None, 1 << 40))
            }
            "latency_ms" | "ttft_ms" => Some((3, Rounding::Up, 1 << 40)),
            "cost_usd" => Some((9, Rounding::HalfUp, 1 << 40)),
            _ => None,
        };
        if texts_wanted.contains(&name) || measure.is_some() {
            if names.contains(&name) {
                return judge(None);
            }
            names.push(name);
        }
        if raw == "null" {
            continue;
        }
        if let Some((scale, rounding, max)) = measure {
            let inside = serde_json::from_str::<String>(raw).ok();
            let text = match &inside {
                Some(text) if name == "cost_usd" => text.as_str(),
                _ => raw,
            };
            match integer(text, scale, rounding).filter(|value| *value <= u128::from(max)) {
                Some(value) => numbers.push((name, value as u64)),
                None => return judge(None),
            }
        } else if texts_wanted.contains(&name) {
            match serde_json::from_str(raw) {
                Ok(text) => texts.push((name, text)),
                Err(_) => return judge(None),
            }
        }
    }
    let text = |name: &str| {
        let found = texts.iter().find(|(known, _)| *known == name);
        found.map(|(_, text)| text.as_str())
    };
    let number = |name: &str| {
        let found = numbers.iter().find(|(known, _)| *known == name);
        found.map(|(_, number)| *number)
    };
    let fields = Fields {
        id: text("id"),
        time: number("time"),
        provider: text("provider"),
        model: text("model"),
        key_id: text("key_id"),
        client_id: text("client_id"),
        status: number("status"),
        latency_us: number("latency_ms"),
        ttft_us: number("ttft_ms"),
        prompt_tokens: number("prompt_tokens"),
        completion_tokens: number("completion_tokens"),
        cached_tokens: number("cached_tokens"),
        cost_nano: number("cost_usd"),
        error_type: text("error_type"),
        service_tier: text("service_tier"),
    };
    judge(fields.checked(true).ok())
}

#[derive(Clone, Copy)]
enum Rounding {
    None,
    Up,
    HalfUp,
}

/// A decimal times 10^`scale`, by moving its point along a string of digits.
fn integer(text: &str, scale: i64, rounding: Rounding) -> Option<u128> {
    // A JSON number, and nothing else.
    serde_json::from_str::<serde_json::Number>(text)
        .map(drop)
        .or_else(|error| {
            if error.to_string().contains("out of range") {
                Ok(())
            } else {
                Err(error)
            }
        })
        .ok()?;
    if text.starts_with(|c: char| c.is_whitespace()) || text.ends_with(char::is_whitespace) {
        return None;
    }
    let (is_negative, text) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
    let is_down = exponent.starts_with('-');
    let exponent = exponent.trim_start_matches(['+', '-']).parse::<i64>();
    let exponent = exponent.unwrap_or(1 << 40).min(1 << 40);
    let exponent = if is_down { -exponent } else { exponent };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = format!("{whole}{fraction}");
    if digits.bytes().all(|digit| digit == b'0') {
        return Some(0);
    }
    if is_negative {
        return None;
    }
    let zeros = digits.len() - digits.trim_start_matches('0').len();
    let point = whole.len() as i64 + exponent + scale - zeros as i64;
    let digits = &digits[zeros..];
    if point > 30 {
        return None;
    }
    let (whole, behind) = match usize::try_from(point) {
        Ok(point) if point <= digits.len() => {
            (digits[..point].to_owned(), digits[point..].to_owned())
        }
        Ok(point) => (format!("{digits:0<point$}"), String::new()),
        Err(_) => (String::new(), format!("0{digits}")),
    };
    let value: u128 = if whole.is_empty() {
        0
    } else {
        whole.parse().ok()?
    };
    let rest = !behind.trim_end_matches('0').is_empty();
    match rounding {
        Rounding::None if rest => None,
        Rounding::None => Some(value),
        Rounding::Up => Some(value + u128::from(rest)),
        Rounding::HalfUp => Some(value + u128::from(behind.as_bytes().first() >= Some(&b'5'))),
    }
}

/// The parser says what [`read`] says.
pub(crate) fn compare(parser: &mut super::Parser, line: &[u8]) {
    let parsed = parser.parse(line);
    read(line, |meant| match (parsed, meant) {
        (Ok(parsed), Some(meant)) => assert_eq!(parsed, meant),
        (Err(fault), None) => {
            let is_utf8 = std::str::from_utf8(line).is_ok();
            assert_eq!(fault == Fault::NotUtf8, !is_utf8);
        }
        (parsed, meant) => {
            let text = String::from_utf8_lossy(line);
            assert_eq!(parsed.ok(), meant, "{text}");
        }
    });
}
