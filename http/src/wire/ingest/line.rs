//! One record of another gateway, checked.

use super::fault::Fault;
use crate::wire::terms::ToldTier;
use coo_llm_core::record::{ErrorType, Tokens};
use coo_llm_core::{Micros, NanoUsd, UnixMillis};

/// The longest `id` and label: names of models have 60 bytes, ids of requests 40.
pub const TEXT_BYTES_MAX: usize = 256;
/// A number of a record is at most this, which is [`NUMBER_MAX`](coo_llm_core::shard::NUMBER_MAX):
/// what is accepted counts to the unit.
pub(super) const NUMBER_MAX: u64 = coo_llm_core::shard::NUMBER_MAX;
/// The end of the year 9999.
const TIME_MAX: u64 = 253_402_300_799_999;
/// From this length on a `key_id` that begins as OpenAI's keys do is one.
const SECRET_BYTES_MIN: usize = 20;

/// One record. Its texts are those of the parser that read it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Line<'a> {
    /// The idempotency key.
    pub id: &'a str,
    /// When the request ended.
    pub time: UnixMillis,
    /// The `provider` label.
    pub provider: &'a str,
    /// The `model` label.
    pub model: &'a str,
    /// The `key` label.
    pub key_id: &'a str,
    /// The `client_id` label.
    pub client_id: &'a str,
    /// The status that the client got, 100 to 599.
    pub status: u16,
    /// From arrival to the last byte.
    pub latency: Micros,
    /// From arrival to the first token of a stream.
    pub time_to_first_token: Option<Micros>,
    /// `input` and `cached_input` are the prompt, `output` the completion.
    pub tokens: Tokens,
    /// What it cost, where the line says so.
    pub cost: Option<NanoUsd>,
    /// The tier in which it is priced where the line does not say what it cost.
    pub tier: ToldTier,
    /// Why it failed; `None` where it did not.
    pub error: Option<ErrorType>,
}

/// The fields of a line as they stand there, each present, absent or of the wrong type.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Fields<'a> {
    pub(super) id: Option<&'a str>,
    pub(super) time: Option<u64>,
    pub(super) provider: Option<&'a str>,
    pub(super) model: Option<&'a str>,
    pub(super) key_id: Option<&'a str>,
    pub(super) client_id: Option<&'a str>,
    pub(super) status: Option<u64>,
    pub(super) latency_us: Option<u64>,
    pub(super) ttft_us: Option<u64>,
    pub(super) prompt_tokens: Option<u64>,
    pub(super) completion_tokens: Option<u64>,
    pub(super) cached_tokens: Option<u64>,
    pub(super) cost_nano: Option<u64>,
    pub(super) error_type: Option<&'a str>,
    pub(super) service_tier: Option<&'a str>,
}

impl<'a> Fields<'a> {
    /// `may_have_controls` says whether a text may have control characters at all: JSON has
    /// none but behind a backslash, and DEL.
    pub(super) fn checked(self, may_have_controls: bool) -> Result<Line<'a>, Fault> {
        let label = |text, field| label(text, field, may_have_controls);
        fn there<T>(value: Option<T>, field: &'static str) -> Result<T, Fault> {
            value.ok_or(Fault::Missing(field))
        }
        let id = text(there(self.id, "id")?, "id")?;
        let time = there(self.time, "time")?;
        if time > TIME_MAX {
            return Err(Fault::OutOfRange("time", "a time in unix milliseconds"));
        }
        let provider = label(there(self.provider, "provider")?, "provider")?;
        let model = label(there(self.model, "model")?, "model")?;
        let key_id = label(there(self.key_id, "key_id")?, "key_id")?;
        if key_id.starts_with("sk-") && key_id.len() >= SECRET_BYTES_MIN {
            return Err(Fault::Secret);
        }
        let client_id = label(there(self.client_id, "client_id")?, "client_id")?;
        let status = there(self.status, "status")?;
        let status = u16::try_from(status)
            .ok()
            .filter(|status| (100..=599).contains(status))
            .ok_or(Fault::OutOfRange("status", "a status of 100 to 599"))?;
        let latency = Micros(there(self.latency_us, "latency_ms")?);
        let prompt = there(self.prompt_tokens, "prompt_tokens")?;
        let output = there(self.completion_tokens, "completion_tokens")?;
        let cached_input = self.cached_tokens.unwrap_or(0);
        let input = prompt
            .checked_sub(cached_input)
            .ok_or(Fault::CachedAbovePrompt)?;
        Ok(Line {
            id,
            time: UnixMillis(time),
            provider,
            model,
            key_id,
            client_id,
            status,
            latency,
            time_to_first_token: self.ttft_us.map(Micros),
            tokens: Tokens {
                input,
                cached_input,
                output,
                ..Tokens::default()
            },
            cost: self.cost_nano.map(NanoUsd),
            tier: self
                .service_tier
                .map_or(ToldTier::Untold, ToldTier::of_word),
            error: error(status, self.error_type.filter(|text| !text.is_empty())),
        })
    }
}

fn text<'a>(text: &'a str, field: &'static str) -> Result<&'a str, Fault> {
    match text.len() {
        0 => Err(Fault::Empty(field)),
        1..=TEXT_BYTES_MAX => Ok(text),
        _ => Err(Fault::TextTooLong(field, TEXT_BYTES_MAX)),
    }
}

fn label<'a>(
    label: &'a str,
    field: &'static str,
    may_have_controls: bool,
) -> Result<&'a str, Fault> {
    let label = text(label, field)?;
    if !may_have_controls {
        return Ok(label);
    }
    // No early end, so that it is done many bytes at a time.
    let has_control = label
        .bytes()
        .fold(false, |any, byte| any | (byte < b' ') | (byte == 0x7f));
    if has_control {
        return Err(Fault::ControlCharacter(field));
    }
    Ok(label)
}

/// The closed list's word for what a line says; a word that is not of the list is one by
/// the status.
fn error(status: u16, word: Option<&str>) -> Option<ErrorType> {
    let by_status = match status {
        0..400 => None,
        408 | 504 => Some(ErrorType::Timeout),
        429 => Some(ErrorType::RateLimit),
        499 => Some(ErrorType::ClientAbort),
        400..500 => Some(ErrorType::Upstream4xx),
        _ => Some(ErrorType::Upstream5xx),
    };
    let Some(word) = word else { return by_status };
    ErrorType::ALL
        .iter()
        .find(|known| known.as_str() == word)
        .copied()
        // It failed, though its status says nothing of it, as a stream does that breaks off.
        .or(by_status)
        .or(Some(ErrorType::Upstream5xx))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_is_one_of_the_closed_list() {
        for (status, word, expected) in [
            (200, None, None),
            (302, None, None),
            (200, Some("timeout"), Some("timeout")),
            (200, Some("content_filter"), Some("upstream_5xx")),
            (429, None, Some("rate_limit")),
            (429, Some("budget"), Some("budget")),
            (429, Some("tokens"), Some("rate_limit")),
            (401, None, Some("upstream_4xx")),
            (401, Some("auth"), Some("auth")),
            (408, None, Some("timeout")),
            (499, None, Some("client_abort")),
            (500, Some("APIError"), Some("upstream_5xx")),
            (504, None, Some("timeout")),
        ] {
            let is = error(status, word).map(ErrorType::as_str);
            assert_eq!(is, expected, "{status} {word:?}");
        }
    }
}
