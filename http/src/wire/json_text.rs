//! Text as a JSON string that is safe to show: in a log, a terminal, a table.

use std::fmt::Write as _;

/// Whether a character could end a line, move a cursor, or show text in another order than it
/// stands in.
#[must_use]
pub fn is_unsafe(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Appends the text as a JSON string, without any [unsafe](is_unsafe) character.
pub fn quote(out: &mut String, text: &str) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            c if is_unsafe(c) => {
                let _infallible = write!(out, "\\u{:04x}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn any_text_is_read_back_and_shows_nothing_unsafe(text in "\\PC*|[\u{0}-\u{2100}\"\\\\]*") {
            let mut out = String::new();
            quote(&mut out, &text);
            prop_assert!(!out.chars().any(is_unsafe));
            let read: String = serde_json::from_str(&out).expect("JSON");
            prop_assert_eq!(read, text);
        }
    }
}
