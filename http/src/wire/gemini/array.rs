//! Reads a stream that is one JSON array, whose elements come one by one.

use memchr::memchr2;

use super::chunk::ChunkFacts;
use crate::wire::dialect::UsageDialect;
use crate::wire::json_usage::quiet_bytes;
use crate::wire::sse::{EVENT_BYTES_MAX, SseFacts};
use crate::wire::usage::UsageOutcome;

#[cfg(test)]
mod tests;

/// A push parser over the array in pieces of any size. Its facts are those of an event
/// stream whose events are the elements.
///
/// # Cost
/// One pass to find the elements, one parse each, and a copy of each. At most
/// [`EVENT_BYTES_MAX`] are kept; a larger element passes unread.
#[derive(Debug, Default)]
pub struct ArrayUsage {
    state: State,
    /// Brackets that are open inside of the element.
    depth: u32,
    kept: Vec<u8>,
    is_skipping: bool,
    facts: SseFacts,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    Start,
    /// Between two elements.
    Between,
    Element,
    Text,
    TextEscape,
    /// The array is closed.
    Closed,
    /// Not an array of objects.
    Lost,
}

impl ArrayUsage {
    /// Reads the next bytes; whether the first token of the stream was in them.
    pub fn push(&mut self, chunk: &[u8]) -> bool {
        let had_token = self.facts.has_token;
        let mut at = 0;
        while at < chunk.len() {
            at = match self.state {
                State::Element => self.element(chunk, at),
                State::Text => self.text(chunk, at),
                State::TextEscape => {
                    self.state = State::Text;
                    self.keep(&chunk[at..=at]);
                    at + 1
                }
                State::Lost => break,
                State::Start | State::Between | State::Closed => self.outside(chunk, at),
            };
        }
        !had_token && self.facts.has_token
    }

    /// Notes the end of the stream; call it once.
    pub fn finish(&mut self) {
        self.facts.is_truncated = self.state != State::Closed;
    }

    /// What is known so far.
    #[must_use]
    pub fn facts(&self) -> &SseFacts {
        &self.facts
    }

    fn outside(&mut self, chunk: &[u8], at: usize) -> usize {
        self.state = match (self.state, chunk[at]) {
            (state, b' ' | b'\t' | b'\r' | b'\n') => state,
            (State::Start, b'[') | (State::Between, b',') => State::Between,
            (State::Between, b']') => State::Closed,
            // An error that comes instead of a stream is an object of its own.
            (State::Start | State::Between, b'{') => {
                self.kept.clear();
                self.is_skipping = false;
                self.depth = 1;
                self.keep(b"{");
                State::Element
            }
            _ => State::Lost,
        };
        at + 1
    }

    fn element(&mut self, chunk: &[u8], at: usize) -> usize {
        let stop = at + quiet_bytes(&chunk[at..]);
        let Some(&byte) = chunk.get(stop) else {
            self.keep(&chunk[at..]);
            return chunk.len();
        };
        self.keep(&chunk[at..=stop]);
        match byte {
            b'"' => self.state = State::Text,
            b'{' | b'[' => self.depth = self.depth.saturating_add(1),
            _ => {
                self.depth -= 1;
                if self.depth == 0 {
                    self.state = State::Between;
                    self.end();
                }
            }
        }
        stop + 1
    }

    fn text(&mut self, chunk: &[u8], at: usize) -> usize {
        let Some(found) = memchr2(b'"', b'\\', &chunk[at..]) else {
            self.keep(&chunk[at..]);
            return chunk.len();
        };
        let stop = at + found;
        self.keep(&chunk[at..=stop]);
        self.state = if chunk[stop] == b'"' {
            State::Element
        } else {
            State::TextEscape
        };
        stop + 1
    }

    fn keep(&mut self, bytes: &[u8]) {
        if self.is_skipping || self.kept.len() + bytes.len() > EVENT_BYTES_MAX {
            self.is_skipping = true;
            self.kept = Vec::new();
        } else {
            self.kept.extend_from_slice(bytes);
        }
    }

    fn end(&mut self) {
        self.facts.events += 1;
        match ChunkFacts::read(&self.kept).filter(|_| !self.is_skipping) {
            None => self.facts.unreadable_events += 1,
            Some(chunk) => self.facts.note_gemini(&chunk),
        }
    }
}

impl SseFacts {
    /// Takes in a chunk of Gemini's. Nothing like `[DONE]` ends its streams: the chunk
    /// with the reason of the end and the usage is the last.
    pub(in crate::wire) fn note_gemini(&mut self, chunk: &ChunkFacts<'_>) {
        self.deltas += u64::from(chunk.deltas);
        self.has_token |= chunk.deltas > 0;
        self.has_error |= chunk.has_error;
        self.finish_reason = chunk.finish_reason.or(self.finish_reason);
        let usage = chunk
            .usage
            .map(|json| UsageDialect::Gemini.read(json.as_bytes(), &mut self.terms));
        if let Some(usage) = usage.filter(|usage| *usage != UsageOutcome::Missing) {
            self.usage = usage;
            self.is_done |= chunk.finish_reason.is_some();
        }
    }
}
