//! A body that comes in pieces, as whole lines.

use memchr::memchr;

/// The longest line. A record has about 250 bytes; the rest is for fields that are not
/// read. It bounds what a request holds between two pieces of its body.
pub const LINE_BYTES_MAX: usize = 64 * 1024;

/// A line without its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Text<'a> {
    /// All of it.
    Whole(&'a [u8]),
    /// It was longer than [`LINE_BYTES_MAX`] and was let go.
    TooLong,
}

/// The lines of a body. Ends are LF or CRLF; blank lines count and are not given out.
#[derive(Debug, Default)]
pub struct Lines {
    /// The begin of a line whose end has not come.
    begun: Vec<u8>,
    /// `begun` was given out and goes at the next call.
    is_given: bool,
    /// The line is too long, and its end has not come.
    is_skipping: bool,
    /// Lines that ended.
    ended: u64,
}

impl Lines {
    /// The next whole line of `piece` with its number from 1, and takes it out of `piece`;
    /// `None` when the rest of `piece` is kept for the next one.
    ///
    /// # Cost
    /// A line that lies within a piece is not copied.
    pub fn next<'s, 'p: 's>(&'s mut self, piece: &mut &'p [u8]) -> Option<(u64, Text<'s>)> {
        self.let_go();
        loop {
            let whole = *piece;
            let Some(end) = memchr(b'\n', whole) else {
                self.keep(whole);
                *piece = &[];
                return None;
            };
            *piece = &whole[end + 1..];
            self.ended += 1;
            let head = &whole[..end];
            let is_too_long = self.is_skipping || self.begun.len() + end > LINE_BYTES_MAX;
            if is_too_long {
                self.is_skipping = false;
                self.begun.clear();
                return Some((self.ended, Text::TooLong));
            }
            if self.begun.is_empty() {
                let text = trimmed(head);
                if !text.is_empty() {
                    return Some((self.ended, Text::Whole(text)));
                }
            } else {
                self.begun.extend_from_slice(head);
                if !trimmed(&self.begun).is_empty() {
                    self.is_given = true;
                    return Some((self.ended, Text::Whole(trimmed(&self.begun))));
                }
                self.begun.clear();
            }
        }
    }

    /// What came behind the last line feed, if it is not blank. Nothing may come after it.
    pub fn last(&mut self) -> Option<(u64, Text<'_>)> {
        self.let_go();
        let number = self.ended + 1;
        if self.is_skipping {
            self.is_skipping = false;
            return Some((number, Text::TooLong));
        }
        self.is_given = true;
        let text = trimmed(&self.begun);
        (!text.is_empty()).then_some((number, Text::Whole(text)))
    }

    fn let_go(&mut self) {
        if self.is_given {
            self.begun.clear();
            self.is_given = false;
        }
    }

    fn keep(&mut self, tail: &[u8]) {
        if self.is_skipping || self.begun.len() + tail.len() > LINE_BYTES_MAX {
            self.is_skipping = true;
            self.begun = Vec::new();
        } else {
            self.begun.extend_from_slice(tail);
        }
    }
}

/// Without the white space of JSON around it, which takes the CR of a CRLF too.
fn trimmed(text: &[u8]) -> &[u8] {
    let is_space = |byte: &u8| matches!(byte, b' ' | b'\t' | b'\r');
    let Some(from) = text.iter().position(|byte| !is_space(byte)) else {
        return &[];
    };
    let to = text.iter().rposition(|byte| !is_space(byte));
    &text[from..=to.unwrap_or(from)]
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn all(pieces: &[&[u8]]) -> Vec<(u64, Option<Vec<u8>>)> {
        let mut lines = Lines::default();
        let mut out = Vec::new();
        let owned = |text: Text<'_>| match text {
            Text::Whole(text) => Some(text.to_vec()),
            Text::TooLong => None,
        };
        for piece in pieces {
            let mut piece = *piece;
            while let Some((number, text)) = lines.next(&mut piece) {
                out.push((number, owned(text)));
            }
            assert!(piece.is_empty());
        }
        out.extend(lines.last().map(|(number, text)| (number, owned(text))));
        out
    }

    fn line(number: u64, text: &str) -> (u64, Option<Vec<u8>>) {
        (number, Some(text.as_bytes().to_vec()))
    }

    #[test]
    fn blank_lines_count_and_the_last_needs_no_end() {
        let body = b"\n{1}\r\n \t\r\n{2}\n\n{3}";
        let expected = vec![line(2, "{1}"), line(4, "{2}"), line(6, "{3}")];
        assert_eq!(all(&[body]), expected);
        assert_eq!(all(&[b"", b"\n\r\n", b"  "]), vec![]);
        assert_eq!(all(&[b"{1}\r"]), vec![line(1, "{1}")]);
    }

    #[test]
    fn a_long_line_is_let_go_and_the_next_one_is_not() {
        let long = vec![b'x'; LINE_BYTES_MAX + 1];
        let body = [b"{1}\n".as_slice(), &long, b"\n{3}\n"].concat();
        let expected = vec![line(1, "{1}"), (2, None), line(3, "{3}")];
        for size in [7, 1000, LINE_BYTES_MAX, body.len()] {
            let pieces: Vec<&[u8]> = body.chunks(size).collect();
            assert_eq!(all(&pieces), expected, "pieces of {size}");
        }
        let whole = [&long[1..], b"\n"].concat();
        assert_eq!(all(&[&whole]), vec![(1, Some(long[1..].to_vec()))]);
        assert_eq!(all(&[&long]), vec![(1, None)]);
        let mut lines = Lines::default();
        for piece in long.chunks(1000) {
            assert!(lines.next(&mut { piece }).is_none());
            assert!(lines.begun.capacity() <= 2 * LINE_BYTES_MAX);
        }
    }

    proptest! {
        #[test]
        fn lines_are_the_same_however_a_body_is_cut(
            body in "[a{\n\r ]{0,60}",
            places in proptest::collection::vec(any::<u16>(), 0..8),
        ) {
            let pieces = crate::wire::arbitrary_json::cut(body.as_bytes(), &places);
            prop_assert_eq!(all(&pieces), all(&[body.as_bytes()]));
            let plain: Vec<_> = body
                .split('\n')
                .enumerate()
                .map(|(at, text)| (at as u64 + 1, text.trim_matches([' ', '\t', '\r'])))
                .filter(|(_, text)| !text.is_empty())
                .map(|(number, text)| line(number, text))
                .collect();
            prop_assert_eq!(all(&[body.as_bytes()]), plain);
        }
    }
}
