//! Reads a usage that is written as providers write it: members with plain names, whole numbers
//! or `null` in them, and one level of details.
//!
//! It gives up on anything else, and the parser that takes everything is asked. What it does
//! read, it reads as that one does; a property test compares them.

use super::{InputDetails, OutputDetails, UsageWire};
use crate::wire::count::Count;
use crate::wire::json_usage::text_stop;
use crate::wire::lenient::Lenient;

/// Digits of a number that fits into 64 bits whatever they are.
const DIGITS_MAX: usize = 18;

/// The usage; `None` where something is not plain, a member stands there twice, or it is not JSON.
pub(super) fn read(json: &[u8]) -> Option<UsageWire> {
    let mut text = Text { left: json };
    let mut wire = UsageWire::default();
    let mut seen = Seen(0);
    text.object(|text, name| {
        let count = match name {
            b"prompt_tokens" => seen.first(0, &mut wire.prompt_tokens)?,
            b"completion_tokens" => seen.first(1, &mut wire.completion_tokens)?,
            b"input_tokens" => seen.first(2, &mut wire.input_tokens)?,
            b"output_tokens" => seen.first(3, &mut wire.output_tokens)?,
            b"total_tokens" => seen.first(4, &mut wire.total_tokens)?,
            b"cached_tokens" => seen.first(5, &mut wire.cached_tokens)?,
            b"prompt_cache_hit_tokens" => seen.first(6, &mut wire.prompt_cache_hit_tokens)?,
            b"prompt_tokens_details" => {
                let details = seen.first(7, &mut wire.prompt_tokens_details)?;
                return text.input_details(details);
            }
            b"input_tokens_details" => {
                let details = seen.first(8, &mut wire.input_tokens_details)?;
                return text.input_details(details);
            }
            b"completion_tokens_details" => {
                let details = seen.first(9, &mut wire.completion_tokens_details)?;
                return text.output_details(details);
            }
            b"output_tokens_details" => {
                let details = seen.first(10, &mut wire.output_tokens_details)?;
                return text.output_details(details);
            }
            _ => return text.other(name),
        };
        *count = text.count()?;
        Some(())
    })?;
    text.skip_space();
    text.left.is_empty().then_some(wire)
}

/// Which members were there.
struct Seen(u32);

impl Seen {
    /// The place of a member; `None` the second time.
    fn first<'a, T>(&mut self, bit: u32, place: &'a mut T) -> Option<&'a mut T> {
        let is_new = self.0 & (1 << bit) == 0;
        self.0 |= 1 << bit;
        is_new.then_some(place)
    }
}

/// What is still to be read.
struct Text<'a> {
    left: &'a [u8],
}

impl<'a> Text<'a> {
    fn skip_space(&mut self) {
        while let [b' ' | b'\t' | b'\n' | b'\r', rest @ ..] = self.left {
            self.left = rest;
        }
    }

    /// Takes this byte, behind white space.
    fn take(&mut self, byte: u8) -> Option<()> {
        self.skip_space();
        self.left = self.left.strip_prefix(&[byte])?;
        Some(())
    }

    /// An object, whose members are read by `member` from behind their colons.
    fn object(&mut self, mut member: impl FnMut(&mut Self, &'a [u8]) -> Option<()>) -> Option<()> {
        self.take(b'{')?;
        if self.take(b'}').is_some() {
            return Some(());
        }
        loop {
            let name = self.name()?;
            self.take(b':')?;
            member(self, name)?;
            if self.take(b',').is_some() {
                continue;
            }
            return self.take(b'}');
        }
    }

    /// A name without escapes.
    fn name(&mut self) -> Option<&'a [u8]> {
        self.take(b'"')?;
        let (name, rest) = self.left.split_at(text_stop(self.left)?);
        self.left = rest.strip_prefix(b"\"")?;
        Some(name)
    }

    /// What a member says that is not ours.
    fn other(&mut self, name: &[u8]) -> Option<()> {
        // The parser that takes everything refuses names that are no text.
        name.iter()
            .all(|byte| matches!(byte, b' '..=b'~'))
            .then_some(())?;
        self.count().map(drop)
    }

    /// A whole number that is not negative, or `null`.
    fn count(&mut self) -> Option<Count> {
        self.skip_space();
        if let Some(rest) = self.left.strip_prefix(b"null") {
            self.left = rest;
            return Some(Count::Missing);
        }
        let mut number = 0;
        let mut digits = 0;
        while let [digit @ b'0'..=b'9', rest @ ..] = self.left {
            number = number * 10 + u64::from(digit - b'0');
            digits += 1;
            if digits > DIGITS_MAX || (digits > 1 && number < 10) {
                return None; // It may not fit, or begins with a zero.
            }
            self.left = rest;
        }
        let is_whole = digits > 0 && !matches!(self.left, [b'.' | b'e' | b'E', ..]);
        is_whole.then_some(Count::Known(number))
    }

    fn is_null(&mut self) -> bool {
        self.skip_space();
        let rest = self.left.strip_prefix(b"null");
        self.left = rest.unwrap_or(self.left);
        rest.is_some()
    }

    fn input_details(&mut self, details: &mut Lenient<InputDetails>) -> Option<()> {
        if self.is_null() {
            return Some(());
        }
        let mut seen = Seen(0);
        let value = &mut details.value;
        self.object(|text, name| {
            let count = match name {
                b"cached_tokens" => seen.first(0, &mut value.cached_tokens)?,
                b"cache_write_tokens" => seen.first(1, &mut value.cache_write_tokens)?,
                b"audio_tokens" => seen.first(2, &mut value.audio_tokens)?,
                _ => return text.other(name),
            };
            *count = text.count()?;
            Some(())
        })
    }

    fn output_details(&mut self, details: &mut Lenient<OutputDetails>) -> Option<()> {
        if self.is_null() {
            return Some(());
        }
        let mut seen = Seen(0);
        let value = &mut details.value;
        self.object(|text, name| {
            let count = match name {
                b"reasoning_tokens" => seen.first(0, &mut value.reasoning_tokens)?,
                b"audio_tokens" => seen.first(1, &mut value.audio_tokens)?,
                _ => return text.other(name),
            };
            *count = text.count()?;
            Some(())
        })
    }
}
