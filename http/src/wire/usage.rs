//! The `usage` of OpenAI's dialect, as disjoint token counts.

use coo_llm_core::record::Tokens;

use super::count::{Count, Faults};
use super::lenient::Lenient;

mod quick;
#[cfg(test)]
mod tests;

/// What an upstream says about the tokens of a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum UsageOutcome {
    /// The counts, disjoint. An explicit 0 is such a count.
    Reported(Tokens),
    /// No usage: absent, `null`, or an object without any count.
    #[default]
    Missing,
    /// A usage that breaks the protocol, with what can be kept of it.
    Malformed {
        /// The counts that are sure, else 0. Details that do not fit into their
        /// whole are dropped, and the whole stays in `input` or `output`.
        sure: Tokens,
        /// Whether the sum of the input in `sure` is what the upstream reported.
        is_input_known: bool,
        /// Whether the sum of the output in `sure` is what the upstream reported.
        is_output_known: bool,
        /// What is wrong, or the first thing that is.
        fault: UsageFault,
    },
}

/// What is wrong with a usage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum UsageFault {
    /// Not JSON, or a member stands there twice.
    Syntax,
    /// Something else than an object where an object belongs.
    NotAnObject,
    /// Something else than a number where a count belongs.
    NotANumber,
    /// A count below 0.
    Negative,
    /// A count with a fraction.
    Fractional,
    /// A count that does not fit into 64 bits, or a float above 2^53.
    TooLarge,
    /// Details add up to more than their whole.
    DetailsExceedWhole,
    /// There is output, but neither input nor a total.
    InputMissing,
    /// The stream ended before the final count of its output.
    OutputUnfinished,
    /// The usage is longer than [`USAGE_BYTES_MAX`](super::json_usage::USAGE_BYTES_MAX).
    Oversized,
}

impl UsageOutcome {
    /// Reads the JSON text of a `usage` value: chat and text completions and
    /// embeddings (`prompt_tokens`, `completion_tokens`, `total_tokens`), or the
    /// Responses API (`input_tokens`, `output_tokens`).
    ///
    /// - Cached, cache-write and audio tokens are taken out of the input; reasoning
    ///   and audio tokens out of the output. `cached_tokens` may also stand beside
    ///   the counts, as `cached_tokens` or `prompt_cache_hit_tokens` (DeepSeek).
    /// - Where output is absent it is `total - input`, or 0 without a total
    ///   (embeddings). Where only a total stands, it is input.
    /// - xAI counts reasoning beside `completion_tokens` and not inside. This is told
    ///   by the total alone: it is input + output + reasoning.
    /// - `7.0` is 7, as JSON Schema has it.
    #[must_use]
    pub fn read(json: &[u8]) -> Self {
        match quick::read(json) {
            Some(wire) => wire.outcome(),
            None => Self::read_any(json),
        }
    }

    /// The same of whatever stands there.
    fn read_any(json: &[u8]) -> Self {
        let wire = match serde_json::from_slice::<Lenient<UsageWire>>(json) {
            Err(_) => return Self::unreadable(UsageFault::Syntax),
            Ok(Lenient {
                is_wrong_type: true,
                ..
            }) => {
                return Self::unreadable(UsageFault::NotAnObject);
            }
            Ok(Lenient { value, .. }) => value,
        };
        wire.outcome()
    }

    /// The outcome where nothing of a usage can be kept.
    #[must_use]
    pub const fn unreadable(fault: UsageFault) -> Self {
        Self::Malformed {
            sure: NO_TOKENS,
            is_input_known: false,
            is_output_known: false,
            fault,
        }
    }

    /// The reported or the sure counts; `None` where nothing is known.
    #[must_use]
    pub const fn tokens(&self) -> Option<Tokens> {
        match self {
            Self::Reported(tokens) => Some(*tokens),
            Self::Malformed {
                is_input_known: false,
                is_output_known: false,
                ..
            }
            | Self::Missing => None,
            Self::Malformed { sure, .. } => Some(*sure),
        }
    }
}

pub(super) const NO_TOKENS: Tokens = Tokens {
    input: 0,
    output: 0,
    cached_input: 0,
    cache_write: 0,
    reasoning: 0,
    audio_input: 0,
    audio_output: 0,
};

#[derive(Debug, Default, serde::Deserialize)]
#[serde(default)]
struct UsageWire {
    prompt_tokens: Count,
    completion_tokens: Count,
    input_tokens: Count,
    output_tokens: Count,
    total_tokens: Count,
    cached_tokens: Count,
    prompt_cache_hit_tokens: Count,
    prompt_tokens_details: Lenient<InputDetails>,
    input_tokens_details: Lenient<InputDetails>,
    completion_tokens_details: Lenient<OutputDetails>,
    output_tokens_details: Lenient<OutputDetails>,
}

#[derive(Clone, Copy, Debug, Default, serde::Deserialize)]
#[serde(default)]
struct InputDetails {
    cached_tokens: Count,
    cache_write_tokens: Count,
    audio_tokens: Count,
}

#[derive(Clone, Copy, Debug, Default, serde::Deserialize)]
#[serde(default)]
struct OutputDetails {
    reasoning_tokens: Count,
    audio_tokens: Count,
}

impl UsageWire {
    fn outcome(&self) -> UsageOutcome {
        let mut faults = Faults::default();
        let input_count = self.prompt_tokens.or(self.input_tokens);
        let output_count = self.completion_tokens.or(self.output_tokens);
        let (input_sum, output_sum) = match (input_count, output_count, self.total_tokens) {
            (Count::Missing, Count::Missing, Count::Missing) => return UsageOutcome::Missing,
            (Count::Missing, Count::Missing, total) => (total, Count::Known(0)),
            (Count::Known(input), Count::Missing, Count::Known(total)) => {
                (input_count, rest(total, input))
            }
            (Count::Known(_), Count::Missing, _) => (input_count, Count::Known(0)),
            (Count::Missing, Count::Known(output), Count::Known(total)) => {
                (rest(total, output), output_count)
            }
            (Count::Missing, output, _) => (Count::Bad(UsageFault::InputMissing), output),
            (input, output, _) => (input, output),
        };

        let mut tokens = Tokens::default();
        let is_input_known = matches!(input_sum, Count::Known(_));
        let is_output_known = matches!(output_sum, Count::Known(_));
        tokens.input = input_sum.take(&mut faults);
        tokens.output = output_sum.take(&mut faults);
        if is_input_known {
            self.split_input(&mut tokens, &mut faults);
        }
        if is_output_known {
            self.split_output(&mut tokens, &mut faults);
        }
        faults.outcome(tokens, is_input_known, is_output_known)
    }

    /// Takes the details out of `tokens.input`, which holds the whole input.
    fn split_input(&self, tokens: &mut Tokens, faults: &mut Faults) {
        let mut details = self.prompt_tokens_details.value;
        let other = self.input_tokens_details.value;
        if self.prompt_tokens_details.is_wrong_type || self.input_tokens_details.is_wrong_type {
            faults.note(UsageFault::NotAnObject);
        }
        details.cached_tokens = details
            .cached_tokens
            .or(other.cached_tokens)
            .or(self.cached_tokens)
            .or(self.prompt_cache_hit_tokens);
        let cached = details.cached_tokens.take(faults);
        let cache_write = details
            .cache_write_tokens
            .or(other.cache_write_tokens)
            .take(faults);
        let audio = details.audio_tokens.or(other.audio_tokens).take(faults);
        let parts = cached.saturating_add(cache_write).saturating_add(audio);
        let Some(text) = tokens.input.checked_sub(parts) else {
            return faults.note(UsageFault::DetailsExceedWhole);
        };
        tokens.input = text;
        tokens.cached_input = cached;
        tokens.cache_write = cache_write;
        tokens.audio_input = audio;
    }

    /// Takes the details out of `tokens.output`, which holds the whole output.
    fn split_output(&self, tokens: &mut Tokens, faults: &mut Faults) {
        let details = self.completion_tokens_details.value;
        let other = self.output_tokens_details.value;
        if self.completion_tokens_details.is_wrong_type || self.output_tokens_details.is_wrong_type
        {
            faults.note(UsageFault::NotAnObject);
        }
        let reasoning = details
            .reasoning_tokens
            .or(other.reasoning_tokens)
            .take(faults);
        let audio = details.audio_tokens.or(other.audio_tokens).take(faults);
        let mut whole = tokens.output;
        if self.is_reasoning_outside(reasoning) {
            whole = whole.saturating_add(reasoning);
        }
        let Some(text) = whole.checked_sub(reasoning.saturating_add(audio)) else {
            return faults.note(UsageFault::DetailsExceedWhole);
        };
        tokens.output = text;
        tokens.reasoning = reasoning;
        tokens.audio_output = audio;
    }

    /// Whether the total says that reasoning stands beside the output (xAI).
    fn is_reasoning_outside(&self, reasoning: u64) -> bool {
        let input = self.prompt_tokens.or(self.input_tokens);
        let output = self.completion_tokens.or(self.output_tokens);
        match (input, output, self.total_tokens) {
            (Count::Known(input), Count::Known(output), Count::Known(total)) if reasoning > 0 => {
                let sum = input
                    .checked_add(output)
                    .and_then(|sum| sum.checked_add(reasoning));
                sum == Some(total)
            }
            _ => false,
        }
    }
}

/// What a part leaves of the total.
fn rest(total: u64, part: u64) -> Count {
    match total.checked_sub(part) {
        Some(rest) => Count::Known(rest),
        None => Count::Bad(UsageFault::DetailsExceedWhole),
    }
}
