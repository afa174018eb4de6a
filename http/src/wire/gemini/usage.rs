//! `usageMetadata`, as disjoint token counts.

use coo_llm_core::record::Tokens;

use crate::wire::count::{Count, Faults};
use crate::wire::lenient::Lenient;
use crate::wire::span::Raw;
use crate::wire::terms::{Terms, ToldTier};
use crate::wire::usage::{UsageFault, UsageOutcome};

#[cfg(test)]
mod tests;

/// Reads the JSON text of a `usageMetadata`.
///
/// - `cachedContentTokenCount` is inside of `promptTokenCount`; `thoughtsTokenCount` is
///   beside `candidatesTokenCount`, and `toolUsePromptTokenCount` beside the prompt.
/// - Audio is told by the `modality` of the details; cached audio counts as cached.
/// - The tier is `serviceTier`, or Vertex's `trafficType`; `terms` keeps what it had where
///   there is neither.
/// - Protobuf leaves out a count that is 0, so one that is absent is what the total
///   leaves for it, or 0.
#[must_use]
pub fn read(json: &[u8], terms: &mut Terms) -> UsageOutcome {
    match serde_json::from_slice::<Lenient<UsageWire<'_>>>(json) {
        Err(_) => UsageOutcome::unreadable(UsageFault::Syntax),
        Ok(read) if read.is_wrong_type => UsageOutcome::unreadable(UsageFault::NotAnObject),
        Ok(read) => {
            terms.tier = read.value.tier().or(terms.tier);
            read.value.outcome()
        }
    }
}

#[derive(Debug, Default, serde::Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct UsageWire<'a> {
    prompt_token_count: Count,
    candidates_token_count: Count,
    /// Vertex's name for the candidates in its live API.
    response_token_count: Count,
    total_token_count: Count,
    cached_content_token_count: Count,
    thoughts_token_count: Count,
    tool_use_prompt_token_count: Count,
    prompt_tokens_details: Option<Vec<Lenient<Detail>>>,
    cache_tokens_details: Option<Vec<Lenient<Detail>>>,
    candidates_tokens_details: Option<Vec<Lenient<Detail>>>,
    tool_use_prompt_tokens_details: Option<Vec<Lenient<Detail>>>,
    #[serde(borrow)]
    service_tier: Raw<'a>,
    #[serde(borrow)]
    traffic_type: Raw<'a>,
}

#[derive(Debug, Default, serde::Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Detail {
    modality: Option<String>,
    token_count: Count,
}

impl UsageWire<'_> {
    fn tier(&self) -> ToldTier {
        let read = |raw: Raw<'_>, read: fn(&[u8]) -> ToldTier| {
            raw.some()
                .map_or(ToldTier::Untold, |json| read(json.as_bytes()))
        };
        read(self.service_tier, ToldTier::read).or(read(self.traffic_type, ToldTier::read_traffic))
    }

    fn outcome(&self) -> UsageOutcome {
        let mut faults = Faults::default();
        let candidates = self.candidates_token_count.or(self.response_token_count);
        let prompt = self.prompt_token_count;
        let counts = [prompt, candidates, self.total_token_count];
        if counts.iter().all(|count| matches!(count, Count::Missing)) {
            return UsageOutcome::Missing;
        }
        let thoughts = self.thoughts_token_count.take(&mut faults);
        let tool_use = self.tool_use_prompt_token_count.take(&mut faults);
        let beside = thoughts.saturating_add(tool_use);
        let (prompt, candidates) = match (prompt, candidates, self.total_token_count) {
            (Count::Missing, Count::Missing, Count::Known(total)) => {
                (rest(total, beside), Count::Known(0))
            }
            (Count::Missing, Count::Known(out), Count::Known(total)) => {
                (rest(total, out.saturating_add(beside)), candidates)
            }
            (Count::Known(input), Count::Missing, Count::Known(total)) => {
                // Some models leave the thoughts out of the total.
                (
                    prompt,
                    Count::Known(total.saturating_sub(input.saturating_add(beside))),
                )
            }
            (prompt, candidates, _) => (prompt.or(Count::Known(0)), candidates.or(Count::Known(0))),
        };
        let is_input_known = matches!(prompt, Count::Known(_));
        let is_output_known = matches!(candidates, Count::Known(_));
        let mut tokens = Tokens {
            input: prompt.take(&mut faults),
            output: candidates.take(&mut faults),
            ..Tokens::default()
        };
        if is_input_known {
            self.split_input(&mut tokens, tool_use, &mut faults);
        }
        if is_output_known {
            let audio = audio(self.candidates_tokens_details.as_deref(), &mut faults);
            match tokens.output.checked_sub(audio) {
                Some(text) => {
                    tokens.output = text;
                    tokens.audio_output = audio;
                }
                None => faults.note(UsageFault::DetailsExceedWhole),
            }
            tokens.reasoning = thoughts;
        }
        faults.outcome(tokens, is_input_known, is_output_known)
    }

    /// Takes the details out of `tokens.input`, which holds the prompt.
    fn split_input(&self, tokens: &mut Tokens, tool_use: u64, faults: &mut Faults) {
        let cached = self.cached_content_token_count.take(faults);
        let heard = audio(self.prompt_tokens_details.as_deref(), faults);
        let cached_audio = audio(self.cache_tokens_details.as_deref(), faults);
        let tool_audio = audio(self.tool_use_prompt_tokens_details.as_deref(), faults);
        let fresh_audio = heard.saturating_sub(cached_audio.min(cached));
        let Some(text) = tokens
            .input
            .checked_sub(cached.saturating_add(fresh_audio))
            .and_then(|text| text.checked_add(tool_use.checked_sub(tool_audio)?))
        else {
            faults.note(UsageFault::DetailsExceedWhole);
            tokens.input = tokens.input.saturating_add(tool_use);
            return;
        };
        tokens.input = text;
        tokens.cached_input = cached;
        tokens.audio_input = fresh_audio.saturating_add(tool_audio);
    }
}

/// The tokens of audio among details.
fn audio(details: Option<&[Lenient<Detail>]>, faults: &mut Faults) -> u64 {
    let mut sum = 0_u64;
    for detail in details.unwrap_or_default() {
        if detail.is_wrong_type {
            faults.note(UsageFault::NotAnObject);
        }
        if detail.value.modality.as_deref() == Some("AUDIO") {
            sum = sum.saturating_add(detail.value.token_count.take(faults));
        }
    }
    sum
}

/// What the parts leave of the total.
fn rest(total: u64, parts: u64) -> Count {
    match total.checked_sub(parts) {
        Some(rest) => Count::Known(rest),
        None => Count::Bad(UsageFault::DetailsExceedWhole),
    }
}
