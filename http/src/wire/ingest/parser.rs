//! One line to one record, by simd-json.
//!
//! simd-json checks UTF-8 and syntax of a line in blocks of 64 bytes and leaves a tape
//! of its values. Strings are unescaped in place, so a line is copied to a buffer of the
//! parser's own, with the padding that the blocks read over. Integers come from the tape.
//! A fraction would come as a double, and money in a double is not exact: its text is
//! read from the line itself, where simd-json's list of structural characters has it.

use super::decimal::{DecimalFault, Round, scaled};
use super::fault::Fault;
use super::line::{Fields, Line, NUMBER_MAX};
use memchr::memchr2;
use simd_json::{Buffers, INPUT_PADDING, Node, StaticNode, Tape, fill_tape_padded};
use std::fmt;

/// The depth of objects and arrays in each other; what is not read may nest too. It is
/// that of `serde_json`.
const DEPTH_MAX: usize = 127;
/// The one control character that a JSON text may have as it is.
const DEL: u8 = 0x7f;

/// Reads lines, one after the other, and keeps its buffers from one to the next.
pub struct Parser {
    /// The line and its padding.
    scratch: Vec<u8>,
    buffers: Buffers,
    tape: Tape<'static>,
}

impl fmt::Debug for Parser {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Parser").finish_non_exhaustive()
    }
}

impl Default for Parser {
    fn default() -> Self {
        Self {
            scratch: Vec::new(),
            buffers: Buffers::with_max_depth(0, DEPTH_MAX),
            tape: Tape(Vec::new()),
        }
    }
}

impl Parser {
    /// Reads one line, without its end.
    ///
    /// # Errors
    /// [`Fault`], the first one in the order of the line where a value is wrong, and of
    /// INTERFACE.md's list where a field is missing.
    ///
    /// # Cost
    /// One copy of the line; no allocation once the buffers are as large as the lines.
    pub fn parse<'a>(&'a mut self, line: &[u8]) -> Result<Line<'a>, Fault> {
        let Self {
            scratch,
            buffers,
            tape: kept,
        } = self;
        scratch.clear();
        scratch.extend_from_slice(line);
        scratch.resize(line.len() + INPUT_PADDING, b' ');
        let mut tape = std::mem::replace(kept, Tape(Vec::new())).reset();
        let filled = fill_tape_padded(scratch, line.len(), buffers, &mut tape);
        let read = match filled {
            Ok(()) => read(&tape.0, buffers.structural_indexes(), line),
            Err(_) => Err(unreadable(line)),
        };
        *kept = tape.reset();
        let may_have_controls = || memchr2(b'\\', DEL, line).is_some();
        read.and_then(|fields| fields.checked(may_have_controls()))
    }
}

/// What is wrong with a line that simd-json does not take, by a slower reader that can say.
#[cold]
fn unreadable(line: &[u8]) -> Fault {
    if std::str::from_utf8(line).is_err() {
        return Fault::NotUtf8;
    }
    let error = serde_json::from_slice::<serde::de::IgnoredAny>(line).err();
    Fault::NotJson(error.map(|error| error.column()))
}

/// A value, as far as a field may have it.
#[derive(Clone, Copy)]
enum Value<'t, 'l> {
    Null,
    Text(&'t str),
    Whole(u64),
    /// A number that is no `u64`, as it is written.
    Written(&'l [u8]),
    Other,
}

/// The fields of the object on the tape.
fn read<'t>(nodes: &[Node<'t>], structurals: &[u32], line: &[u8]) -> Result<Fields<'t>, Fault> {
    let Some((Node::Object { len, .. }, mut nodes)) = nodes.split_first() else {
        return Err(Fault::NotAnObject);
    };
    let mut fields = Fields::default();
    let mut seen = Seen(0);
    // Where the list of structural characters is: behind the bracket of the object, then
    // at a member's key, its colon, its value and the comma behind it.
    let mut place = 1;
    for _ in 0..*len {
        let [Node::String(key), value, rest @ ..] = nodes else {
            return Err(Fault::NotJson(None));
        };
        place += 2;
        let mut inner = 0;
        let value = match value {
            Node::String(text) => Value::Text(text),
            Node::Static(StaticNode::U64(whole)) => Value::Whole(*whole),
            Node::Static(StaticNode::I64(_) | StaticNode::F64(_)) => {
                Value::Written(number_at(line, structurals, place))
            }
            Node::Static(StaticNode::Null) => Value::Null,
            Node::Static(StaticNode::Bool(_)) => Value::Other,
            Node::Object { count, .. } | Node::Array { count, .. } => {
                inner = *count;
                place = closing(line, structurals, place);
                Value::Other
            }
        };
        place += 2;
        nodes = rest.get(inner..).unwrap_or_default();
        take(&mut fields, &mut seen, key, value)?;
    }
    Ok(fields)
}

/// The number that begins at this place of the list.
fn number_at<'l>(line: &'l [u8], structurals: &[u32], place: usize) -> &'l [u8] {
    let at = structurals.get(place).map_or(line.len(), |at| *at as usize);
    let text = line.get(at..).unwrap_or_default();
    let is_of_it =
        |byte: &u8| byte.is_ascii_digit() || matches!(byte, b'-' | b'+' | b'.' | b'e' | b'E');
    let end = text.iter().position(|byte| !is_of_it(byte));
    &text[..end.unwrap_or(text.len())]
}

/// The place in the list of the bracket that closes the one at `place`.
#[cold]
fn closing(line: &[u8], structurals: &[u32], mut place: usize) -> usize {
    let mut depth = 0usize;
    while let Some(byte) = structurals.get(place).and_then(|at| line.get(*at as usize)) {
        match byte {
            b'{' | b'[' => depth += 1,
            b'}' | b']' => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth == 0 {
            break;
        }
        place += 1;
    }
    place
}

/// Which fields were there.
struct Seen(u16);

impl Seen {
    fn first(&mut self, bit: u32, field: &'static str) -> Result<(), Fault> {
        if self.0 & 1 << bit != 0 {
            return Err(Fault::Twice(field));
        }
        self.0 |= 1 << bit;
        Ok(())
    }
}

/// Puts a member where it belongs; one that has no place is not read.
fn take<'t>(
    fields: &mut Fields<'t>,
    seen: &mut Seen,
    key: &str,
    value: Value<'t, '_>,
) -> Result<(), Fault> {
    let text = |field| match value {
        Value::Text(text) => Ok(Some(text)),
        Value::Null => Ok(None),
        _ => Err(Fault::NotAString(field)),
    };
    match key {
        "id" => {
            seen.first(0, "id")?;
            fields.id = text("id")?;
        }
        "time" => {
            seen.first(1, "time")?;
            fields.time = number(value, "time", &COUNT)?;
        }
        "provider" => {
            seen.first(2, "provider")?;
            fields.provider = text("provider")?;
        }
        "model" => {
            seen.first(3, "model")?;
            fields.model = text("model")?;
        }
        "key_id" => {
            seen.first(4, "key_id")?;
            fields.key_id = text("key_id")?;
        }
        "client_id" => {
            seen.first(5, "client_id")?;
            fields.client_id = text("client_id")?;
        }
        "status" => {
            seen.first(6, "status")?;
            fields.status = number(value, "status", &COUNT)?;
        }
        "latency_ms" => {
            seen.first(7, "latency_ms")?;
            fields.latency_us = number(value, "latency_ms", &MILLIS)?;
        }
        "ttft_ms" => {
            seen.first(8, "ttft_ms")?;
            fields.ttft_us = number(value, "ttft_ms", &MILLIS)?;
        }
        "prompt_tokens" => {
            seen.first(9, "prompt_tokens")?;
            fields.prompt_tokens = number(value, "prompt_tokens", &TOKENS)?;
        }
        "completion_tokens" => {
            seen.first(10, "completion_tokens")?;
            fields.completion_tokens = number(value, "completion_tokens", &TOKENS)?;
        }
        "cached_tokens" => {
            seen.first(11, "cached_tokens")?;
            fields.cached_tokens = number(value, "cached_tokens", &TOKENS)?;
        }
        "cost_usd" => {
            seen.first(12, "cost_usd")?;
            // Decimals as strings are how money is often sent, so that no reader makes a
            // double of it.
            let value = match value {
                Value::Text(text) => Value::Written(text.as_bytes()),
                value => value,
            };
            fields.cost_nano = number(value, "cost_usd", &USD)?;
        }
        "error_type" => {
            seen.first(13, "error_type")?;
            fields.error_type = text("error_type")?;
        }
        "service_tier" => {
            seen.first(14, "service_tier")?;
            fields.service_tier = text("service_tier")?;
        }
        _ => {}
    }
    Ok(())
}

/// How a number becomes an integer.
struct Measure {
    /// Decimal places that are kept.
    scale: u32,
    /// 10^`scale`.
    factor: u64,
    round: Round,
    max: u64,
    /// What a number above `max` is not.
    range: &'static str,
}

const COUNT: Measure = Measure {
    scale: 0,
    factor: 1,
    round: Round::Whole,
    max: u64::MAX,
    range: "below 2^64",
};
const TOKENS: Measure = Measure {
    max: NUMBER_MAX,
    range: "a number of tokens below 2^40",
    ..COUNT
};
const MILLIS: Measure = Measure {
    scale: 3,
    factor: 1_000,
    round: Round::Up,
    max: NUMBER_MAX,
    range: "a time in milliseconds of at most 12 days",
};
const USD: Measure = Measure {
    scale: 9,
    factor: 1_000_000_000,
    round: Round::HalfUp,
    max: NUMBER_MAX,
    range: "an amount in USD of at most 1099",
};

#[inline]
fn number(
    value: Value<'_, '_>,
    field: &'static str,
    measure: &Measure,
) -> Result<Option<u64>, Fault> {
    let text = match value {
        Value::Whole(whole) => {
            let scaled = whole.checked_mul(measure.factor);
            let scaled = scaled.filter(|scaled| *scaled <= measure.max);
            return scaled
                .map(Some)
                .ok_or(Fault::OutOfRange(field, measure.range));
        }
        Value::Written(text) => text,
        Value::Null => return Ok(None),
        Value::Text(_) | Value::Other => return Err(Fault::NotANumber(field)),
    };
    match scaled(text, measure.scale, measure.round, measure.max) {
        Ok(value) => Ok(Some(value)),
        Err(DecimalFault::NotANumber) => Err(Fault::NotANumber(field)),
        Err(DecimalFault::Negative) => Err(Fault::Negative(field)),
        Err(DecimalFault::NotWhole) => Err(Fault::NotWhole(field)),
        Err(DecimalFault::TooLarge) => Err(Fault::OutOfRange(field, measure.range)),
    }
}
