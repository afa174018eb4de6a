//! The `usage` of the Messages API, as disjoint token counts.

use coo_llm_core::record::Tokens;

use crate::wire::count::{Count, Faults};
use crate::wire::lenient::Lenient;
use crate::wire::span::Raw;
use crate::wire::terms::{Terms, ToldTier};
use crate::wire::usage::{UsageFault, UsageOutcome};

#[cfg(test)]
mod tests;

/// Reads the JSON text of the `usage` of a whole answer.
///
/// `input_tokens` stand beside the cached ones, which are `cache_read_input_tokens` and
/// `cache_creation_input_tokens` (or the sum of `cache_creation`, by time to live);
/// and `terms` gets those of them that are kept for an hour, and the `service_tier`;
/// `output_tokens` contain `output_tokens_details.thinking_tokens`.
#[must_use]
pub fn read(json: &[u8], terms: &mut Terms) -> UsageOutcome {
    let mut usage = MessageUsage::default();
    usage.absorb(json);
    *terms = usage.terms();
    usage.outcome(true)
}

/// What a stream has said of its usage so far.
///
/// `message_start` carries the first counts and `message_delta` cumulative ones: a count
/// that is there replaces the one before, 0 too; one that is absent or `null` does not.
#[derive(Clone, Copy, Debug, Default)]
pub struct MessageUsage {
    input: Count,
    output: Count,
    cache_read: Count,
    cache_write: Count,
    cache_write_1h: Count,
    thinking: Count,
    tier: ToldTier,
    fault: Option<UsageFault>,
}

impl MessageUsage {
    /// Takes in the JSON text of a `usage`.
    pub fn absorb(&mut self, json: &[u8]) {
        let Ok(read) = serde_json::from_slice::<Lenient<UsageWire<'_>>>(json) else {
            self.fault.get_or_insert(UsageFault::Syntax);
            return;
        };
        if read.is_wrong_type {
            self.fault.get_or_insert(UsageFault::NotAnObject);
            return;
        }
        let wire = read.value;
        if wire.cache_creation.is_wrong_type || wire.output_tokens_details.is_wrong_type {
            self.fault.get_or_insert(UsageFault::NotAnObject);
        }
        let by_ttl = wire.cache_creation.value;
        let thinking = wire.output_tokens_details.value.thinking_tokens;
        self.input = wire.input_tokens.or(self.input);
        self.output = wire.output_tokens.or(self.output);
        self.cache_read = wire.cache_read_input_tokens.or(self.cache_read);
        self.cache_write = wire
            .cache_creation_input_tokens
            .or(sum(
                by_ttl.ephemeral_5m_input_tokens,
                by_ttl.ephemeral_1h_input_tokens,
            ))
            .or(self.cache_write);
        self.cache_write_1h = by_ttl.ephemeral_1h_input_tokens.or(self.cache_write_1h);
        self.thinking = thinking.or(self.thinking);
        if let Some(tier) = wire.service_tier.some() {
            self.tier = ToldTier::read(tier.as_bytes()).or(self.tier);
        }
    }

    /// How the counts so far are billed.
    #[must_use]
    pub const fn terms(&self) -> Terms {
        Terms {
            cache_write_1h: match self.cache_write_1h {
                Count::Known(count) => count,
                Count::Missing | Count::Bad(_) => 0,
            },
            tier: self.tier,
        }
    }

    /// The counts so far. Before the final usage has come (`is_final`), the output of a
    /// stream is not known: what `message_start` says of it is where it begins.
    #[must_use]
    pub fn outcome(&self, is_final: bool) -> UsageOutcome {
        let counts = [self.input, self.output, self.cache_read, self.cache_write];
        if counts.iter().all(|count| matches!(count, Count::Missing)) {
            return self
                .fault
                .map_or(UsageOutcome::Missing, UsageOutcome::unreadable);
        }
        let mut faults = Faults(self.fault);
        let mut tokens = Tokens::default();
        let is_input_known = matches!(self.input, Count::Known(_));
        if is_input_known {
            tokens.input = self.input.take(&mut faults);
            tokens.cached_input = self.cache_read.take(&mut faults);
            tokens.cache_write = self.cache_write.take(&mut faults);
            if self.cache_write_1h.take(&mut faults) > tokens.cache_write {
                faults.note(UsageFault::DetailsExceedWhole);
            }
        } else {
            faults.note(match self.input {
                Count::Bad(fault) => fault,
                _ => UsageFault::InputMissing,
            });
        }
        let mut is_output_known = is_final;
        if is_final {
            is_output_known = !matches!(self.output, Count::Bad(_));
            tokens.output = self.output.take(&mut faults);
        } else {
            faults.note(UsageFault::OutputUnfinished);
        }
        if is_output_known {
            let thinking = self.thinking.take(&mut faults);
            match tokens.output.checked_sub(thinking) {
                Some(text) => {
                    tokens.output = text;
                    tokens.reasoning = thinking;
                }
                None => faults.note(UsageFault::DetailsExceedWhole),
            }
        }
        faults.outcome(tokens, is_input_known, is_output_known)
    }
}

/// The sum of what is there; the first fault where one is none.
fn sum(a: Count, b: Count) -> Count {
    match (a, b) {
        (Count::Known(a), Count::Known(b)) => a
            .checked_add(b)
            .map_or(Count::Bad(UsageFault::TooLarge), Count::Known),
        (Count::Missing, other) | (other @ Count::Bad(_), _) => other,
        (known, Count::Missing) => known,
        (Count::Known(_), bad) => bad,
    }
}

#[derive(Debug, Default, serde::Deserialize)]
#[serde(default)]
struct UsageWire<'a> {
    input_tokens: Count,
    output_tokens: Count,
    cache_read_input_tokens: Count,
    cache_creation_input_tokens: Count,
    cache_creation: Lenient<ByTimeToLive>,
    output_tokens_details: Lenient<OutputDetails>,
    #[serde(borrow)]
    service_tier: Raw<'a>,
}

#[derive(Clone, Copy, Debug, Default, serde::Deserialize)]
#[serde(default)]
struct ByTimeToLive {
    ephemeral_5m_input_tokens: Count,
    ephemeral_1h_input_tokens: Count,
}

#[derive(Clone, Copy, Debug, Default, serde::Deserialize)]
#[serde(default)]
struct OutputDetails {
    thinking_tokens: Count,
}
