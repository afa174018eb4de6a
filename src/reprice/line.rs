//! One record of the ingest format: read, priced anew, written.

use coo_llm_core::price::{Bill, ServiceTier, TokenPrice};
use coo_llm_core::record::Tokens;
use coo_llm_core::{NanoUsd, UnixMillis};
use coo_llm_exporters::decimal::push_usd;
use serde::Deserialize;
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::io::{self, Write};

/// The members that a price depends on. Those of the ingest format, and the kinds of
/// token that it leaves out: each is part of `prompt_tokens` or of `completion_tokens`.
#[derive(Debug, Deserialize)]
struct Members<'l> {
    time: u64,
    #[serde(borrow)]
    provider: Cow<'l, str>,
    #[serde(borrow)]
    model: Cow<'l, str>,
    #[serde(default)]
    status: Option<u16>,
    prompt_tokens: u64,
    completion_tokens: u64,
    #[serde(default)]
    cached_tokens: Option<u64>,
    #[serde(default)]
    cache_write_tokens: Option<u64>,
    /// Part of `cache_write_tokens`.
    #[serde(default)]
    cache_write_1h_tokens: Option<u64>,
    #[serde(default)]
    audio_input_tokens: Option<u64>,
    #[serde(default)]
    reasoning_tokens: Option<u64>,
    #[serde(default)]
    audio_output_tokens: Option<u64>,
    #[serde(borrow, default)]
    service_tier: Option<Cow<'l, str>>,
    #[serde(borrow, default)]
    cost_usd: Option<&'l RawValue>,
}

/// A record, checked.
#[derive(Debug)]
pub(super) struct Line<'l> {
    pub(super) time: UnixMillis,
    pub(super) provider: Cow<'l, str>,
    pub(super) model: Cow<'l, str>,
    /// `None` where a request succeeded and no tokens are told, or its tier has no name here.
    pub(super) bill: Option<Bill>,
    pub(super) cost: Option<NanoUsd>,
    text: &'l [u8],
    /// The value of `cost_usd` in it.
    written: Option<&'l str>,
}

impl<'l> Line<'l> {
    /// Reads a line.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(super) fn read(text: &'l [u8]) -> Result<Self, String> {
        let members: Members<'l> =
            serde_json::from_slice(text).map_err(|error| error.to_string())?;
        let count = |count: Option<u64>| count.unwrap_or(0);
        let part = |whole: u64, parts: &[u64], name: &str| {
            let rest = |rest: u64, part: &u64| rest.checked_sub(*part);
            let rest = parts.iter().try_fold(whole, rest);
            rest.ok_or_else(|| format!("the parts of {name} are more than {name}"))
        };
        let cached_input = count(members.cached_tokens);
        let cache_write = count(members.cache_write_tokens);
        let cache_write_1h = count(members.cache_write_1h_tokens);
        let audio_input = count(members.audio_input_tokens);
        let reasoning = count(members.reasoning_tokens);
        let audio_output = count(members.audio_output_tokens);
        part(cache_write, &[cache_write_1h], "cache_write_tokens")?;
        let inputs = [cached_input, cache_write, audio_input];
        let tokens = Tokens {
            input: part(members.prompt_tokens, &inputs, "prompt_tokens")?,
            output: part(
                members.completion_tokens,
                &[reasoning, audio_output],
                "completion_tokens",
            )?,
            cached_input,
            cache_write,
            reasoning,
            audio_input,
            audio_output,
        };
        let tier = members.service_tier.as_deref();
        let tier = tier.map_or(Some(ServiceTier::Standard), ServiceTier::parse);
        let has_failed = members.status.is_some_and(|status| status >= 400);
        let is_known = tokens.total() > 0 || has_failed;
        let written = members.cost_usd.map(RawValue::get);
        let cost = match written {
            None | Some("null") => None,
            Some(text) => Some(nano(text).map_err(|why| format!("cost_usd: {why}"))?),
        };
        Ok(Self {
            time: UnixMillis(members.time),
            provider: members.provider,
            model: members.model,
            bill: tier.filter(|_| is_known).map(|tier| Bill {
                tokens,
                cache_write_1h,
                tier,
            }),
            cost,
            text,
            written,
        })
    }

    /// Writes the line with another cost; `null` where it is not known.
    pub(super) fn write(&self, cost: Option<NanoUsd>, out: &mut impl Write) -> io::Result<()> {
        let mut value = Vec::with_capacity(32);
        match cost {
            Some(cost) => push_usd(&mut value, cost),
            None => value.extend_from_slice(b"null"),
        }
        let (before, after) = match self.written {
            Some(written) => {
                // A slice of the line: RawValue borrows.
                let from = written.as_ptr().addr() - self.text.as_ptr().addr();
                (&self.text[..from], &self.text[from + written.len()..])
            }
            None => {
                value.splice(0..0, *b",\"cost_usd\":");
                // It is an object with members, and ends with its brace.
                self.text.split_at(self.text.len() - 1)
            }
        };
        for piece in [before, &value, after, b"\n"] {
            out.write_all(piece)?;
        }
        Ok(())
    }
}

/// USD as a gateway wrote it, to the nearest nano-USD: many write a float, with its noise.
fn nano(text: &str) -> Result<NanoUsd, String> {
    let femto = TokenPrice::round_usd_per_token(text).map_err(|error| error.to_string())?;
    Ok(NanoUsd(femto.0.saturating_add(500_000) / 1_000_000))
}
