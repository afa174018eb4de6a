//! Reads an event stream as it passes: usage, first token, finish reason, errors.
//!
//! Framing follows the WHATWG HTML standard, 9.2.5 (event stream syntax): lines end
//! with LF, CRLF or CR, an empty line ends an event, a BOM may come first.

mod chunk;
mod output;

use bytes::Bytes;
use memchr::memchr2;

use self::chunk::ChunkFacts;
pub use self::chunk::FinishReason;
use self::output::Output;
use super::span::Span;
use super::usage::UsageOutcome;

#[cfg(test)]
mod tests;

/// Bytes of one event that are kept until its end has come. Chunks of text have 200 to
/// 400; an image or audio delta can have more. Above it the event passes unread.
pub const EVENT_BYTES_MAX: usize = 256 * 1024;

/// Whether the stream goes to the client as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SseMode {
    /// Every byte passes at once.
    Observe,
    /// The gateway asked for usage and the client did not: the client shall see the
    /// stream that it would have got.
    ///
    /// The event with `"choices":[]` and a usage is taken out, and so is the
    /// `"usage":null` that OpenAI then puts into every other chunk. Bytes wait for
    /// the end of their event. A provider that sends either of them unasked is
    /// trimmed too; that cannot be told apart.
    HideUsage,
}

/// What became of a chunk of the stream.
#[derive(Clone, Debug)]
pub struct SseStep {
    /// What goes to the client now; may be empty in [`SseMode::HideUsage`].
    ///
    /// It is a slice of what came in unless something was removed or an event had
    /// begun in an earlier chunk.
    pub forward: Bytes,
    /// Whether the first token of the stream was in this step: true at most once.
    pub has_first_token: bool,
}

/// What a stream said about itself, so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SseFacts {
    /// The last usage that came; some providers send a cumulative one in each chunk.
    /// `null` and absent change nothing.
    pub usage: UsageOutcome,
    /// Whether any content, reasoning, refusal, tool call or text was not empty.
    pub has_token: bool,
    /// Non-empty deltas, counted for each choice. Where no usage comes this is the
    /// estimate of the output: most providers send a token a delta, some send more.
    pub deltas: u64,
    /// The last finish reason.
    pub finish_reason: Option<FinishReason>,
    /// Whether there was an error object, or an event of type `error`.
    pub has_error: bool,
    /// Whether `[DONE]` came.
    pub is_done: bool,
    /// Events with data, `[DONE]` included.
    pub events: u64,
    /// Events that are not JSON objects, or above [`EVENT_BYTES_MAX`].
    pub unreadable_events: u64,
    /// Whether the stream ended inside of an event.
    pub is_truncated: bool,
}

/// A push parser over an event stream in chunks of any size.
///
/// # Cost
/// One parse an event, and no copy of it when it lies in one chunk. At most
/// [`EVENT_BYTES_MAX`] are kept.
#[derive(Debug)]
pub struct SseUsage {
    mode: SseMode,
    facts: SseFacts,
    /// The begin of an event whose end has not come.
    carry: Vec<u8>,
    /// Data of an event that has more than one `data` line.
    joined: Vec<u8>,
    /// Whether the current line has bytes already.
    is_in_line: bool,
    /// Whether the last byte was a CR: a LF now belongs to it.
    is_after_cr: bool,
    /// Whether the current event is above the bound and passes unread.
    is_skipping: bool,
    /// Whether the last event was taken out, and with it the LF that may follow.
    is_last_dropped: bool,
    is_at_start: bool,
}

/// What the client gets of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Keep,
    Drop,
    /// All but these bytes, by their offset in the event.
    Cut(Span),
}

impl SseUsage {
    /// A parser at the start of a stream.
    #[must_use]
    pub fn new(mode: SseMode) -> Self {
        Self {
            mode,
            facts: SseFacts::default(),
            carry: Vec::new(),
            joined: Vec::new(),
            is_in_line: false,
            is_after_cr: false,
            is_skipping: false,
            is_last_dropped: false,
            is_at_start: true,
        }
    }

    /// Reads the next bytes of the stream.
    pub fn push(&mut self, chunk: Bytes) -> SseStep {
        let had_token = self.facts.has_token;
        let forward = match self.mode {
            SseMode::Observe => {
                self.walk(&chunk, &mut Output::discard());
                chunk
            }
            SseMode::HideUsage => {
                let mut out = Output::collect();
                self.walk(&chunk, &mut out);
                out.into_bytes(&chunk)
            }
        };
        SseStep {
            forward,
            has_first_token: !had_token && self.facts.has_token,
        }
    }

    /// Reads what is left at the end of the stream; call it once.
    ///
    /// Some servers leave out the last empty line, so an event that is whole but for
    /// that counts. Anything else that is left is forwarded as it is.
    pub fn finish(&mut self) -> SseStep {
        let had_token = self.facts.has_token;
        let event = std::mem::take(&mut self.carry);
        let unreadable_before = self.facts.unreadable_events;
        let verdict = if event.is_empty() {
            Verdict::Keep
        } else {
            self.event(&event)
        };
        if self.is_skipping || self.facts.unreadable_events > unreadable_before {
            self.facts.is_truncated = true;
        }
        let mut out = Output::collect();
        if self.mode == SseMode::HideUsage {
            out.apply_carried(&event, verdict);
        }
        SseStep {
            forward: out.into_bytes(&Bytes::new()),
            has_first_token: !had_token && self.facts.has_token,
        }
    }

    /// What is known so far.
    #[must_use]
    pub fn facts(&self) -> &SseFacts {
        &self.facts
    }

    fn walk(&mut self, chunk: &[u8], out: &mut Output) {
        let mut from = 0;
        if self.is_after_cr && self.carry.is_empty() && !self.is_skipping {
            // The event before ended with a CR, which may be half of a CRLF.
            if chunk.first() == Some(&b'\n') {
                from = 1;
                if !self.is_last_dropped {
                    out.keep(chunk, 0, 1);
                }
            }
            self.is_after_cr &= chunk.is_empty();
        }
        while let Some(end) = self.event_end(chunk, from) {
            let event_bytes = self.carry.len() + (end - from);
            if self.is_skipping || event_bytes > EVENT_BYTES_MAX {
                out.carried(&self.carry);
                self.carry.clear();
                out.keep(chunk, from, end);
                self.is_skipping = false;
                self.is_last_dropped = false;
                self.is_at_start = false;
                self.facts.events += 1;
                self.facts.unreadable_events += 1;
            } else if self.carry.is_empty() {
                let verdict = self.event(&chunk[from..end]);
                out.apply(chunk, from, end, verdict);
            } else {
                let mut event = std::mem::take(&mut self.carry);
                event.extend_from_slice(&chunk[from..end]);
                let verdict = self.event(&event);
                out.apply_carried(&event, verdict);
                event.clear();
                self.carry = event;
            }
            from = end;
        }
        let rest = &chunk[from..];
        if !self.is_skipping && self.carry.len() + rest.len() > EVENT_BYTES_MAX {
            self.is_skipping = true;
            out.carried(&self.carry);
            self.carry = Vec::new();
        }
        if self.is_skipping {
            out.keep(chunk, from, chunk.len());
        } else {
            self.carry.extend_from_slice(rest);
        }
    }

    /// The end of the current event in `chunk`, from where its bytes begin or go on.
    fn event_end(&mut self, chunk: &[u8], from: usize) -> Option<usize> {
        let mut at = from;
        loop {
            if self.is_after_cr {
                let next = chunk.get(at)?;
                self.is_after_cr = false;
                at += usize::from(*next == b'\n');
            }
            let Some(found) = memchr2(b'\n', b'\r', &chunk[at..]) else {
                self.is_in_line |= at < chunk.len();
                return None;
            };
            let is_empty = found == 0 && !self.is_in_line;
            at += found + 1;
            self.is_in_line = false;
            self.is_after_cr = chunk[at - 1] == b'\r';
            if is_empty {
                if self.is_after_cr && chunk.get(at).is_some() {
                    self.is_after_cr = false;
                    at += usize::from(chunk[at] == b'\n');
                }
                return Some(at);
            }
        }
    }

    /// Takes in a whole event and decides what the client gets of it.
    fn event(&mut self, event: &[u8]) -> Verdict {
        let text = match event.strip_prefix(b"\xEF\xBB\xBF") {
            Some(text) if self.is_at_start => text,
            _ => event,
        };
        self.is_at_start = false;
        self.joined.clear();
        let mut data: Option<&[u8]> = None;
        let mut data_lines = 0_u32;
        for line in lines(text) {
            if let Some(value) = field(line, b"data") {
                data_lines += 1;
                if let Some(before) = data.filter(|_| data_lines == 2) {
                    self.joined.extend_from_slice(before);
                }
                if data_lines >= 2 {
                    self.joined.push(b'\n');
                    self.joined.extend_from_slice(value);
                }
                data = Some(value);
            } else if field(line, b"event") == Some(b"error") {
                self.facts.has_error = true;
            }
        }
        let verdict = match (data, data_lines) {
            (None, _) => Verdict::Keep,
            (Some(data), 1) => {
                let offset = data.as_ptr().addr() - event.as_ptr().addr();
                match self.data(data) {
                    Verdict::Cut(span) => Verdict::Cut(Span {
                        start: span.start + offset,
                        end: span.end + offset,
                    }),
                    verdict => verdict,
                }
            }
            _ => {
                let joined = std::mem::take(&mut self.joined);
                let verdict = self.data(&joined);
                self.joined = joined;
                // Offsets in the joined data are none in the event, so it stays whole.
                if verdict == Verdict::Drop {
                    Verdict::Drop
                } else {
                    Verdict::Keep
                }
            }
        };
        self.is_last_dropped = verdict == Verdict::Drop;
        verdict
    }

    fn data(&mut self, data: &[u8]) -> Verdict {
        self.facts.events += 1;
        if data.trim_ascii() == b"[DONE]" {
            self.facts.is_done = true;
            return Verdict::Keep;
        }
        let Some(chunk) = ChunkFacts::read(data) else {
            self.facts.unreadable_events += 1;
            return Verdict::Keep;
        };
        self.facts.deltas += u64::from(chunk.deltas);
        self.facts.has_token |= chunk.deltas > 0;
        self.facts.has_error |= chunk.has_error;
        self.facts.finish_reason = chunk.finish_reason.or(self.facts.finish_reason);
        let usage = chunk.usage.map(|json| UsageOutcome::read(json.as_bytes()));
        if let Some(usage) = usage.filter(|usage| *usage != UsageOutcome::Missing) {
            self.facts.usage = usage;
        }
        if chunk.has_no_choices && chunk.usage.is_some() && !chunk.has_error {
            Verdict::Drop
        } else {
            chunk.null_usage.map_or(Verdict::Keep, Verdict::Cut)
        }
    }
}

/// The lines of an event, without their ends.
fn lines(mut text: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        if text.is_empty() {
            return None;
        }
        let end = memchr2(b'\n', b'\r', text).unwrap_or(text.len());
        let line = &text[..end];
        // The LF of a CRLF reads as one more, empty line, which has no field.
        text = text.get(end + 1..).unwrap_or_default();
        Some(line)
    })
}

/// The value of a line `name:value`, `name: value` or `name`, if it has that name.
fn field<'a>(line: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    match line.strip_prefix(name)? {
        empty @ [] => Some(empty),
        [b':', b' ', value @ ..] | [b':', value @ ..] => Some(value),
        _ => None,
    }
}
