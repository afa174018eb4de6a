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
use super::anthropic::chat_stream::ChatStream;
use super::anthropic::event::Event;
use super::anthropic::stop_reason::finish_reason;
use super::anthropic::usage::MessageUsage;
use super::dialect::UsageDialect;
use super::gemini;
use super::span::Span;
use super::terms::Terms;
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
    /// How it is billed, by what was said last.
    pub terms: Terms,
    /// Whether any content, reasoning, refusal, tool call or text was not empty.
    pub has_token: bool,
    /// Non-empty deltas, counted for each choice. Where no usage comes this is the
    /// estimate of the output: most providers send a token a delta, some send more.
    pub deltas: u64,
    /// The last finish reason.
    pub finish_reason: Option<FinishReason>,
    /// Whether there was an error object, or an event of type `error`.
    pub has_error: bool,
    /// Whether the last event came: `[DONE]`, or what the dialect has in its place.
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
    speech: Speech,
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

/// What the events are, with what must be remembered from one to the next.
#[derive(Debug)]
enum Speech {
    OpenAi,
    Anthropic {
        usage: MessageUsage,
        /// Where the client shall get OpenAI's events for these.
        chat: Option<Box<ChatStream>>,
    },
    Gemini,
}

/// What the client gets of an event.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Verdict {
    Keep,
    Drop,
    /// All but these bytes, by their offset in the event.
    Cut(Span),
    /// This in its place.
    Replace(Vec<u8>),
}

impl SseUsage {
    /// A parser at the start of a stream of OpenAI's.
    #[must_use]
    pub fn new(mode: SseMode) -> Self {
        Self::speaking(Speech::OpenAi, mode)
    }

    /// A parser of a stream in that dialect, which passes as it is.
    #[must_use]
    pub fn of(dialect: UsageDialect) -> Self {
        let speech = match dialect {
            UsageDialect::OpenAi => Speech::OpenAi,
            UsageDialect::Anthropic => Speech::Anthropic {
                usage: MessageUsage::default(),
                chat: None,
            },
            UsageDialect::Gemini => Speech::Gemini,
        };
        Self::speaking(speech, SseMode::Observe)
    }

    /// A parser of a stream of Anthropic's that forwards what `chat` makes of it.
    ///
    /// An event that cannot be read, or is above [`EVENT_BYTES_MAX`], is left out.
    #[must_use]
    pub fn translating(chat: ChatStream) -> Self {
        let speech = Speech::Anthropic {
            usage: MessageUsage::default(),
            chat: Some(Box::new(chat)),
        };
        Self::speaking(speech, SseMode::Observe)
    }

    fn speaking(speech: Speech, mode: SseMode) -> Self {
        Self {
            mode,
            speech,
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
        let forward = if self.passes_as_it_is() {
            self.walk(&chunk, &mut Output::discard());
            chunk
        } else {
            let mut out = Output::collect();
            self.walk(&chunk, &mut out);
            out.into_bytes(&chunk)
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
        if !self.passes_as_it_is() {
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

    fn translates(&self) -> bool {
        matches!(&self.speech, Speech::Anthropic { chat: Some(_), .. })
    }

    fn passes_as_it_is(&self) -> bool {
        self.mode == SseMode::Observe && !self.translates()
    }

    /// What becomes of an event that is not read.
    fn unread(&self) -> Verdict {
        if self.translates() {
            Verdict::Drop
        } else {
            Verdict::Keep
        }
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
                let verdict = self.unread();
                out.apply_carried(&self.carry, verdict.clone());
                self.carry.clear();
                self.is_last_dropped = verdict == Verdict::Drop;
                out.apply(chunk, from, end, verdict);
                self.is_skipping = false;
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
            out.apply_carried(&self.carry, self.unread());
            self.carry = Vec::new();
        }
        if self.is_skipping {
            out.apply(chunk, from, chunk.len(), self.unread());
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
            (None, _) => self.unread(),
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
                match verdict {
                    Verdict::Cut(_) => Verdict::Keep,
                    verdict => verdict,
                }
            }
        };
        self.is_last_dropped = matches!(verdict, Verdict::Drop | Verdict::Replace(_));
        verdict
    }

    fn data(&mut self, data: &[u8]) -> Verdict {
        self.facts.events += 1;
        if data.trim_ascii() == b"[DONE]" {
            self.facts.is_done = true;
            return self.unread();
        }
        match &mut self.speech {
            Speech::OpenAi => self.chunk(data),
            Speech::Anthropic { usage, chat } => {
                let Some(event) = Event::read(data) else {
                    self.facts.unreadable_events += 1;
                    return self.unread();
                };
                self.facts.note_anthropic(&event, usage);
                let Some(chat) = chat else {
                    return Verdict::Keep;
                };
                let mut out = Vec::new();
                chat.event(&event, &self.facts.usage, &mut out);
                if out.is_empty() {
                    Verdict::Drop
                } else {
                    Verdict::Replace(out)
                }
            }
            Speech::Gemini => {
                match gemini::chunk::ChunkFacts::read(data) {
                    Some(chunk) => self.facts.note_gemini(&chunk),
                    None => self.facts.unreadable_events += 1,
                }
                Verdict::Keep
            }
        }
    }

    /// Takes in a chunk of OpenAI's.
    fn chunk(&mut self, data: &[u8]) -> Verdict {
        let Some(chunk) = ChunkFacts::read(data) else {
            self.facts.unreadable_events += 1;
            return Verdict::Keep;
        };
        self.facts.deltas += u64::from(chunk.deltas);
        self.facts.has_token |= chunk.deltas > 0;
        self.facts.has_error |= chunk.has_error;
        self.facts.finish_reason = chunk.finish_reason.or(self.facts.finish_reason);
        self.facts.terms.tier = chunk.tier.or(self.facts.terms.tier);
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

impl SseFacts {
    /// Takes in an event of Anthropic's.
    fn note_anthropic(&mut self, event: &Event<'_>, usage: &mut MessageUsage) {
        let is_filled = event.is_filled_delta();
        self.deltas += u64::from(is_filled);
        self.has_token |= is_filled;
        match event {
            Event::Start { usage: first, .. } => {
                if let Some(json) = first.some() {
                    usage.absorb(json.as_bytes());
                    self.usage = usage.outcome(false);
                    self.terms = usage.terms();
                }
            }
            Event::MessageDelta {
                stop_reason,
                usage: last,
            } => {
                let reason = stop_reason.text().and_then(finish_reason);
                self.finish_reason = reason.or(self.finish_reason);
                if let Some(json) = last.some() {
                    usage.absorb(json.as_bytes());
                    self.usage = usage.outcome(true);
                    self.terms = usage.terms();
                }
            }
            Event::Stop => self.is_done = true,
            Event::Error { .. } => self.has_error = true,
            _ => {}
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
