//! What must hold for any bytes: the bodies of the fuzz targets in `fuzz/`.
//!
//! The targets there are one line each; the same functions run on stable over the
//! seeds of `fuzz/seeds` and over random bytes. Each panics where a promise breaks.

use std::borrow::Cow;
use std::collections::BTreeMap;

use bytes::Bytes;
use http::Method;
use serde_json::Value;
use serde_json::value::RawValue;

use super::UsageDialect;
use super::anthropic::chat_request;
use super::anthropic::chat_stream::ChatStream;
use super::envelope::{Envelope, EnvelopeError};
use super::gemini::array::ArrayUsage;
use super::http1;
use super::ingest;
use super::json_usage::{
    self, JsonUsageScanner, MODEL_BYTES_MAX, ResponseFacts, TIER_BYTES_MAX, USAGE_BYTES_MAX,
};
use super::rewrite;
use super::sse::{SseFacts, SseMode, SseUsage};
use super::terms::{Terms, ToldTier};
use super::usage::{UsageFault, UsageOutcome};

#[cfg(test)]
mod tests;

/// Inputs up to this long are cut in two at every byte; longer ones at 64 places.
const EVERY_CUT_BYTES_MAX: usize = 512;

/// An envelope says what `serde_json` says, and a rewrite changes only what it should.
///
/// # Panics
/// If it does not hold.
pub fn check_envelope(data: &[u8]) {
    let meant = serde_json::from_slice::<Value>(data);
    let body = Bytes::copy_from_slice(data);
    let envelope = match Envelope::parse(&body) {
        Ok(envelope) => envelope,
        Err(EnvelopeError::Malformed { .. } | EnvelopeError::NotUtf8 { .. }) => {
            assert!(meant.is_err(), "valid JSON was refused");
            return;
        }
        Err(_) => return,
    };
    // `Value` refuses floats above f64 and nesting above 128; neither is our business.
    let Ok(meant) = meant else { return };
    assert_eq!(meant["model"].as_str(), Some(envelope.model.as_ref()));
    assert_eq!(meant["stream"].as_bool().unwrap_or(false), envelope.stream);
    assert_eq!(
        meant["stream_options"]["include_usage"].as_bool(),
        envelope.include_usage
    );

    let untouched = rewrite(&body, &envelope, Some(&envelope.model), false);
    assert_eq!(untouched.as_ptr(), body.as_ptr());
    let out = rewrite(&body, &envelope, Some("a\"\u{7}é"), true);
    let again = Envelope::parse(&out).expect("a rewrite leaves a sound envelope");
    assert_eq!(again.model, "a\"\u{7}é");
    assert_eq!(again.stream, envelope.stream);
    assert!(!again.can_ask_usage());
    if envelope.can_ask_usage() {
        assert_eq!(again.include_usage, Some(true));
    }
    let rest = |value: &Value| {
        let mut members = value.as_object().cloned().unwrap_or_default();
        members.remove("model");
        let options = members.remove("stream_options");
        let mut options = options
            .and_then(|o| o.as_object().cloned())
            .unwrap_or_default();
        options.remove("include_usage");
        (members, options)
    };
    let got: Value = serde_json::from_slice(&out).expect("a rewrite leaves JSON");
    assert_eq!(rest(&got), rest(&meant));
}

/// The scanner finds what a full parse finds, however the body is cut.
///
/// # Panics
/// If it does not hold.
pub fn check_json_usage(data: &[u8]) {
    check_json_usage_of(UsageDialect::OpenAi, data);
    check_json_usage_of(UsageDialect::Anthropic, data);
    check_json_usage_of(UsageDialect::Gemini, data);
}

fn check_json_usage_of(dialect: UsageDialect, data: &[u8]) {
    let scan = |pieces: &mut dyn Iterator<Item = &[u8]>| {
        let mut scanner = JsonUsageScanner::of(dialect);
        pieces.for_each(|piece| scanner.push(piece));
        scanner.finish()
    };
    let whole = scan(&mut [data].into_iter());
    if dialect == UsageDialect::OpenAi {
        assert_eq!(json_usage::scan(data), whole);
    }
    assert_eq!(scan(&mut data.chunks(1)), whole);
    for at in cuts(data) {
        let again = scan(&mut [&data[..at], &data[at..]].into_iter());
        assert_eq!(again, whole, "cut at {at}");
    }

    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let parsed = serde_json::from_str::<BTreeMap<Cow<'_, str>, &RawValue>>(text);
    let Ok(members) = parsed else { return };
    let member = |name: &str| members.get(name).map(|raw| raw.get());
    let mut terms = Terms::default();
    let usage = match member(dialect.usage_member()) {
        None => UsageOutcome::Missing,
        Some(json) if json.len() > USAGE_BYTES_MAX => {
            UsageOutcome::unreadable(UsageFault::Oversized)
        }
        Some(json) => dialect.read(json.as_bytes(), &mut terms),
    };
    if let Some(json) = dialect.tier_member().and_then(member) {
        terms.tier = match json.len() {
            ..=TIER_BYTES_MAX => ToldTier::read(json.as_bytes()),
            _ => ToldTier::Unknown,
        };
    }
    let expected = ResponseFacts {
        usage,
        terms,
        model: member(dialect.model_member())
            .filter(|json| json.len() <= MODEL_BYTES_MAX)
            .and_then(|json| serde_json::from_str(json).ok()),
        has_error: member("error").is_some_and(|json| json != "null"),
        is_whole: true,
    };
    assert_eq!(whole, expected);
}

/// A stream gives the same facts and output however it is cut; observed, it passes as
/// it is; hidden, it only ever loses bytes.
///
/// # Panics
/// If it does not hold.
pub fn check_sse(data: &[u8]) {
    let (observed, facts) = run_sse(SseMode::Observe, [data]);
    assert_eq!(observed, data);
    let (hidden, hidden_facts) = run_sse(SseMode::HideUsage, [data]);
    assert_eq!(hidden_facts, facts);
    assert!(is_subsequence(&hidden, data), "bytes were made up");
    for mode in [SseMode::Observe, SseMode::HideUsage] {
        let expected = if mode == SseMode::Observe {
            data
        } else {
            &hidden
        };
        let (out, again) = run_sse(mode, data.chunks(1));
        assert_eq!((out.as_slice(), again), (expected, facts), "bytewise");
        for at in cuts(data) {
            let (out, again) = run_sse(mode, [&data[..at], &data[at..]]);
            assert_eq!((out.as_slice(), again), (expected, facts), "cut at {at}");
        }
    }
}

/// A message's stream is told the same in OpenAI's words however it is cut, and what is
/// told can be read.
///
/// # Panics
/// If it does not hold.
pub fn check_message_stream(data: &[u8]) {
    let tell = |pieces: &mut dyn Iterator<Item = &[u8]>| {
        let mut sse = SseUsage::translating(ChatStream::new(0, true));
        let mut out = Vec::new();
        for piece in pieces {
            out.extend_from_slice(&sse.push(Bytes::copy_from_slice(piece)).forward);
        }
        out.extend_from_slice(&sse.finish().forward);
        (out, *sse.facts())
    };
    let whole = tell(&mut [data].into_iter());
    assert_eq!(tell(&mut data.chunks(1)), whole, "bytewise");
    for at in cuts(data) {
        let again = tell(&mut [&data[..at], &data[at..]].into_iter());
        assert_eq!(again, whole, "cut at {at}");
    }
    let (_, read) = run_sse(SseMode::Observe, [whole.0.as_slice()]);
    assert_eq!(read.unreadable_events, 0, "what is told can be read");
    assert!(!read.is_truncated);

    let mut observer = SseUsage::of(UsageDialect::Anthropic);
    let passed = observer.push(Bytes::copy_from_slice(data)).forward;
    assert_eq!(passed, data);
    observer.finish();
    assert_eq!(
        *observer.facts(),
        whole.1,
        "observed or told, the facts are one"
    );
}

/// A chat request is translated into JSON, or refused by the name of a member.
///
/// # Panics
/// If it does not hold.
pub fn check_chat_request(data: &[u8]) {
    match chat_request::translate(data, "m") {
        Ok(out) => {
            let read: Value = serde_json::from_slice(&out).expect("a translation is JSON");
            assert_eq!(read["model"], "m");
            assert!(read["max_tokens"].is_u64() && read["messages"].is_array());
        }
        Err(error) => assert!(error.message.starts_with(&error.param)),
    }
}

/// A stream that is an array gives the same facts however it is cut.
///
/// # Panics
/// If it does not hold.
pub fn check_gemini_array(data: &[u8]) {
    let run = |pieces: &mut dyn Iterator<Item = &[u8]>| {
        let mut array = ArrayUsage::default();
        pieces.for_each(|piece| {
            array.push(piece);
        });
        array.finish();
        *array.facts()
    };
    let whole = run(&mut [data].into_iter());
    assert_eq!(run(&mut data.chunks(1)), whole, "bytewise");
    for at in cuts(data) {
        let again = run(&mut [&data[..at], &data[at..]].into_iter());
        assert_eq!(again, whole, "cut at {at}");
    }
    // `Value` refuses what is no JSON; where it does not, every element counts.
    if let Ok(Value::Array(elements)) = serde_json::from_slice(data)
        && elements.iter().all(Value::is_object)
    {
        assert_eq!(whole.events, elements.len() as u64);
        assert!(!whole.is_truncated);
    }
}

/// A body of `/ingest/v1/records` has the same lines however it is cut, and each line
/// means what `serde_json` says.
///
/// # Panics
/// If it does not hold.
pub fn check_ingest(data: &[u8]) {
    let whole = run_lines(&[data]);
    for at in cuts(data) {
        assert_eq!(run_lines(&[&data[..at], &data[at..]]), whole, "cut at {at}");
    }
    let mut parser = ingest::Parser::default();
    for (_, line) in &whole {
        ingest::oracle::compare(&mut parser, line);
    }
    ingest::oracle::compare(&mut parser, data);
}

/// A provider's answer is heard the same however it is cut, and nothing of it is made up.
///
/// That hyper hears the same is held by the tests alone: its client is no part of the crate.
///
/// # Panics
/// If it does not hold.
pub fn check_http1(data: &[u8]) {
    let whole = http1::hear(&Method::POST, &[data]);
    let bytewise: Vec<&[u8]> = data.chunks(1).collect();
    assert_eq!(http1::hear(&Method::POST, &bytewise), whole, "bytewise");
    for at in cuts(data) {
        let again = http1::hear(&Method::POST, &[&data[..at], &data[at..]]);
        assert_eq!(again, whole, "cut at {at}");
    }
    if let Ok((_, _, body, rest)) = whole {
        assert!(is_subsequence(&body, data), "bytes were made up");
        assert!(data.ends_with(&rest));
    }
}

fn run_lines(pieces: &[&[u8]]) -> Vec<(u64, Vec<u8>)> {
    fn owned((number, text): (u64, ingest::Text<'_>)) -> (u64, Vec<u8>) {
        match text {
            ingest::Text::Whole(text) => (number, text.to_vec()),
            ingest::Text::TooLong => (number, Vec::new()),
        }
    }
    let mut lines = ingest::Lines::default();
    let mut out = Vec::new();
    for piece in pieces {
        let mut piece = *piece;
        while let Some(line) = lines.next(&mut piece) {
            out.push(owned(line));
        }
    }
    out.extend(lines.last().map(owned));
    out
}

fn run_sse<'a>(mode: SseMode, pieces: impl IntoIterator<Item = &'a [u8]>) -> (Vec<u8>, SseFacts) {
    let mut sse = SseUsage::new(mode);
    let mut out = Vec::new();
    for piece in pieces {
        out.extend_from_slice(&sse.push(Bytes::copy_from_slice(piece)).forward);
    }
    out.extend_from_slice(&sse.finish().forward);
    (out, *sse.facts())
}

fn cuts(data: &[u8]) -> impl Iterator<Item = usize> + use<> {
    let step = if data.len() <= EVERY_CUT_BYTES_MAX {
        1
    } else {
        data.len() / 64
    };
    (0..=data.len()).step_by(step)
}

fn is_subsequence(part: &[u8], whole: &[u8]) -> bool {
    let mut whole = whole.iter();
    part.iter().all(|byte| whole.any(|other| other == byte))
}
