//! Finds the usage of a JSON response as its bytes pass, without keeping them.

use memchr::memchr2;

use super::dialect::UsageDialect;
use super::terms::{Terms, ToldTier};
use super::usage::{UsageFault, UsageOutcome};

#[cfg(test)]
mod tests;

/// Bytes of a `usage` value that are kept to be parsed. Real ones have 100 to 700.
pub const USAGE_BYTES_MAX: usize = 16 * 1024;

/// Room that is made at once, so that a usual usage is not moved as it grows.
const KEPT_BYTES_USUAL: usize = 512;

/// Bytes of a `model` value that are kept, quotes and escapes included.
pub const MODEL_BYTES_MAX: usize = 512;

/// Bytes of a `service_tier` value that are kept; a longer one is no word that is known.
pub const TIER_BYTES_MAX: usize = 64;

/// Bytes of a member name that are looked at: `usageMetadata` with each letter escaped
/// has 78.
const NAME_BYTES_MAX: usize = 80;

/// What a JSON response says about itself, at its top level.
///
/// Of a member that stands there twice the last one counts, as in most parsers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ResponseFacts {
    /// The tokens.
    pub usage: UsageOutcome,
    /// How they are billed.
    pub terms: Terms,
    /// The model that answered; `None` if absent, no string, or above [`MODEL_BYTES_MAX`].
    pub model: Option<String>,
    /// Whether there is an `error` that is not `null`.
    pub has_error: bool,
    /// Whether one whole JSON object passed and nothing but white space after it.
    ///
    /// The scanner follows strings and brackets and does not validate what it skips.
    pub is_whole: bool,
}

/// A push parser over the body of a JSON response in chunks of any size.
///
/// # Cost
/// One pass; strings at the speed of `memchr`, other values 32 bytes a step. It
/// allocates for `usage` and `model` only, at most [`USAGE_BYTES_MAX`].
#[derive(Debug)]
pub struct JsonUsageScanner {
    dialect: UsageDialect,
    state: State,
    /// Brackets that are open inside the current member's value.
    depth: u32,
    member: Member,
    name: [u8; NAME_BYTES_MAX],
    /// Length of the name; above [`NAME_BYTES_MAX`] it is none of ours.
    name_bytes: usize,
    kept: Vec<u8>,
    is_kept_full: bool,
    facts: ResponseFacts,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    Start,
    BeforeName,
    Name,
    NameEscape,
    BeforeColon,
    BeforeValue,
    Text,
    TextEscape,
    Scalar,
    Nested,
    NestedText,
    NestedTextEscape,
    AfterValue,
    /// The object is closed.
    Closed,
    /// Not an object, or not JSON: nothing more is to be learned.
    Lost,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Member {
    Usage,
    Model,
    Tier,
    Error,
    #[default]
    Other,
}

/// The facts of a whole body.
#[must_use]
pub fn scan(body: &[u8]) -> ResponseFacts {
    let mut scanner = JsonUsageScanner::default();
    scanner.push(body);
    scanner.finish()
}

impl Default for JsonUsageScanner {
    fn default() -> Self {
        Self::of(UsageDialect::default())
    }
}

impl JsonUsageScanner {
    /// A scanner of an answer in that dialect.
    #[must_use]
    pub fn of(dialect: UsageDialect) -> Self {
        Self {
            dialect,
            state: State::default(),
            depth: 0,
            member: Member::default(),
            name: [0; NAME_BYTES_MAX],
            name_bytes: 0,
            kept: Vec::new(),
            is_kept_full: false,
            facts: ResponseFacts::default(),
        }
    }

    /// Reads the next bytes of the body.
    pub fn push(&mut self, chunk: &[u8]) {
        let mut at = 0;
        while at < chunk.len() {
            at = match self.state {
                State::Text | State::NestedText | State::Name => self.text(chunk, at),
                State::Nested => self.nested(chunk, at),
                State::Scalar => self.scalar(chunk, at),
                State::TextEscape | State::NestedTextEscape | State::NameEscape => {
                    self.escaped(chunk, at)
                }
                State::Lost => return,
                _ => self.structure(chunk, at),
            };
        }
    }

    /// What was found; call it at the end of the body.
    #[must_use]
    pub fn finish(mut self) -> ResponseFacts {
        self.facts.is_whole = self.state == State::Closed;
        self.facts
    }

    /// White space and punctuation of the outer object.
    fn structure(&mut self, chunk: &[u8], at: usize) -> usize {
        let byte = chunk[at];
        if matches!(byte, b' ' | b'\t' | b'\n' | b'\r') {
            return at + 1;
        }
        self.state = match (self.state, byte) {
            (State::Start, b'{') => State::BeforeName,
            (State::BeforeName, b'"') => {
                self.name_bytes = 0;
                State::Name
            }
            (State::BeforeName | State::AfterValue, b'}') => State::Closed,
            (State::BeforeColon, b':') => State::BeforeValue,
            (State::AfterValue, b',') => State::BeforeName,
            (State::BeforeValue, _) => return self.value(chunk, at),
            _ => State::Lost,
        };
        at + 1
    }

    /// The first byte of a member's value.
    fn value(&mut self, chunk: &[u8], at: usize) -> usize {
        let first = chunk[at];
        self.kept.clear();
        self.is_kept_full = false;
        if self.member == Member::Error {
            self.facts.has_error = first != b'n';
        }
        self.state = match first {
            b'"' => State::Text,
            b'{' | b'[' => {
                self.depth = 1;
                State::Nested
            }
            b'}' | b']' | b',' | b':' => State::Lost,
            // A scalar's first byte is read again: it could be the whole of it.
            _ => {
                self.state = State::Scalar;
                return at;
            }
        };
        self.keep(&chunk[at..=at]);
        at + 1
    }

    /// Inside of a string: a name, a member's value, or deeper.
    fn text(&mut self, chunk: &[u8], at: usize) -> usize {
        let Some(found) = text_stop(&chunk[at..]) else {
            self.keep(&chunk[at..]);
            return chunk.len();
        };
        let stop = at + found;
        if chunk[stop] == b'\\' {
            self.keep(&chunk[at..=stop]);
            self.state = match self.state {
                State::Text => State::TextEscape,
                State::NestedText => State::NestedTextEscape,
                _ => State::NameEscape,
            };
            return stop + 1;
        }
        match self.state {
            State::NestedText => {
                self.keep(&chunk[at..=stop]);
                self.state = State::Nested;
            }
            State::Text => {
                self.keep(&chunk[at..=stop]);
                self.end_value();
            }
            _ => {
                self.keep(&chunk[at..stop]);
                self.end_name();
            }
        }
        stop + 1
    }

    /// The byte behind a backslash.
    fn escaped(&mut self, chunk: &[u8], at: usize) -> usize {
        self.keep(&chunk[at..=at]);
        self.state = match self.state {
            State::TextEscape => State::Text,
            State::NestedTextEscape => State::NestedText,
            _ => State::Name,
        };
        at + 1
    }

    /// Between the brackets of a member's value, with the strings there.
    fn nested(&mut self, chunk: &[u8], at: usize) -> usize {
        let mut next = at;
        // Most bytes that are not in strings stand alone; a list of numbers is long.
        let mut quiet_run = 0;
        while let Some(&byte) = chunk.get(next) {
            next += 1;
            match byte {
                b'"' => {
                    quiet_run = 0;
                    match text_end(&chunk[next..]) {
                        TextEnd::Behind(bytes) => next += bytes,
                        end => {
                            self.keep(&chunk[at..]);
                            self.state = match end {
                                TextEnd::Escape => State::NestedTextEscape,
                                _ => State::NestedText,
                            };
                            return chunk.len();
                        }
                    }
                }
                b'{' | b'[' => {
                    quiet_run = 0;
                    self.depth = self.depth.saturating_add(1);
                }
                b'}' | b']' => {
                    quiet_run = 0;
                    self.depth -= 1;
                    if self.depth == 0 {
                        self.keep(&chunk[at..next]);
                        self.end_value();
                        return next;
                    }
                }
                _ => {
                    quiet_run += 1;
                    if quiet_run > QUIET_RUN_SHORT {
                        next += quiet_bytes(&chunk[next..]);
                    }
                }
            }
        }
        self.keep(&chunk[at..]);
        chunk.len()
    }

    /// A number or a literal.
    fn scalar(&mut self, chunk: &[u8], at: usize) -> usize {
        let is_end = |byte: &u8| matches!(byte, b',' | b'}' | b' ' | b'\t' | b'\n' | b'\r');
        let Some(found) = chunk[at..].iter().position(is_end) else {
            self.keep(&chunk[at..]);
            return chunk.len();
        };
        self.keep(&chunk[at..at + found]);
        self.end_value();
        at + found
    }

    /// Keeps bytes of a name, or of a value that is wanted.
    fn keep(&mut self, bytes: &[u8]) {
        if matches!(self.state, State::Name | State::NameEscape) {
            if let Some(room) = self
                .name
                .get_mut(self.name_bytes..self.name_bytes + bytes.len())
            {
                room.copy_from_slice(bytes);
                self.name_bytes += bytes.len();
            } else {
                self.name_bytes = NAME_BYTES_MAX + 1;
            }
            return;
        }
        let bytes_max = match self.member {
            Member::Usage => USAGE_BYTES_MAX,
            Member::Model => MODEL_BYTES_MAX,
            Member::Tier => TIER_BYTES_MAX,
            Member::Error | Member::Other => return,
        };
        if self.kept.len() + bytes.len() > bytes_max {
            self.is_kept_full = true;
        }
        if !self.is_kept_full {
            if self.kept.capacity() == 0 {
                self.kept.reserve(KEPT_BYTES_USUAL);
            }
            self.kept.extend_from_slice(bytes);
        }
    }

    fn end_name(&mut self) {
        self.state = State::BeforeColon;
        let name = self.name.get(..self.name_bytes).unwrap_or_default();
        self.member = self.member_of(name);
        if self.member == Member::Other && name.contains(&b'\\') {
            let quoted = [b"\"", name, b"\""].concat();
            if let Ok(unescaped) = serde_json::from_slice::<String>(&quoted) {
                self.member = self.member_of(unescaped.as_bytes());
            }
        }
    }

    fn member_of(&self, name: &[u8]) -> Member {
        if name == self.dialect.usage_member().as_bytes() {
            Member::Usage
        } else if name == self.dialect.model_member().as_bytes() {
            Member::Model
        } else if self.dialect.tier_member().map(str::as_bytes) == Some(name) {
            Member::Tier
        } else if name == b"error" {
            Member::Error
        } else {
            Member::Other
        }
    }

    fn end_value(&mut self) {
        self.state = State::AfterValue;
        match self.member {
            Member::Usage if self.is_kept_full => {
                self.facts.usage = UsageOutcome::unreadable(UsageFault::Oversized);
            }
            Member::Usage => {
                self.facts.usage = self.dialect.read(&self.kept, &mut self.facts.terms);
            }
            Member::Model if self.is_kept_full => self.facts.model = None,
            Member::Model => self.facts.model = serde_json::from_slice(&self.kept).ok(),
            Member::Tier if self.is_kept_full => self.facts.terms.tier = ToldTier::Unknown,
            Member::Tier => self.facts.terms.tier = ToldTier::read(&self.kept),
            Member::Error | Member::Other => {}
        }
    }
}

/// Quiet bytes in a row that are looked at one by one.
const QUIET_RUN_SHORT: u32 = 8;
/// Words of a string that are looked at before `memchr` is worth its call.
const TEXT_WORDS_SHORT: usize = 3;

/// Where the first quote or backslash is.
pub(super) fn text_stop(bytes: &[u8]) -> Option<usize> {
    const ONES: u64 = u64::from_ne_bytes([0x01; 8]);
    const HIGH: u64 = u64::from_ne_bytes([0x80; 8]);
    // The lowest bit that is set is that of the first byte which is zero; above it there may
    // be others.
    let zeros = |word: u64| word.wrapping_sub(ONES) & !word & HIGH;
    let (words, rest) = bytes.as_chunks::<8>();
    for (at, word) in words.iter().take(TEXT_WORDS_SHORT).enumerate() {
        let word = u64::from_le_bytes(*word);
        let stops =
            zeros(word ^ (ONES * u64::from(b'"'))) | zeros(word ^ (ONES * u64::from(b'\\')));
        if stops != 0 {
            return Some(at * 8 + stops.trailing_zeros() as usize / 8);
        }
    }
    if words.len() > TEXT_WORDS_SHORT {
        let from = TEXT_WORDS_SHORT * 8;
        return memchr2(b'"', b'\\', &bytes[from..]).map(|found| from + found);
    }
    let is_stop = |byte: &u8| matches!(byte, b'"' | b'\\');
    let found = rest.iter().position(is_stop)?;
    Some(words.len() * 8 + found)
}

/// Where a string ends that has begun.
enum TextEnd {
    /// Its quote is the last of so many bytes.
    Behind(usize),
    /// Not here, and the last byte is a backslash that escapes what comes.
    Escape,
    /// Not here.
    Open,
}

fn text_end(bytes: &[u8]) -> TextEnd {
    let mut next = 0;
    while let Some(found) = text_stop(&bytes[next..]) {
        let stop = next + found;
        if bytes[stop] == b'"' {
            return TextEnd::Behind(stop + 1);
        }
        next = stop + 2;
        if next > bytes.len() {
            return TextEnd::Escape;
        }
    }
    TextEnd::Open
}

/// How many bytes come before the first quote or bracket.
pub(super) fn quiet_bytes(bytes: &[u8]) -> usize {
    // Bit 5 set makes `[` and `]` the same as `{` and `}`. No early exit inside of
    // a block, so that it compiles to vector instructions.
    let is_loud = |byte: u8| {
        let folded = byte | 0x20;
        (byte == b'"') | (folded == b'{') | (folded == b'}')
    };
    let (blocks, _) = bytes.as_chunks::<32>();
    let quiet = blocks
        .iter()
        .position(|block| block.iter().fold(false, |loud, byte| loud | is_loud(*byte)))
        .unwrap_or(blocks.len())
        * 32;
    bytes[quiet..]
        .iter()
        .position(|byte| is_loud(*byte))
        .map_or(bytes.len(), |found| quiet + found)
}
