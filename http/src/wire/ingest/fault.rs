//! Why a line is no record.

use std::fmt;

/// Why a line is no record. The texts are constants and numbers: nothing of what a client
/// sent comes back.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Longer than so many bytes.
    LineTooLong(usize),
    /// Not UTF-8.
    NotUtf8,
    /// Not JSON; the column, from 1, where that shows, if a reader can tell.
    NotJson(Option<usize>),
    /// JSON, but no object.
    NotAnObject,
    /// This field is not there.
    Missing(&'static str),
    /// This field is there twice.
    Twice(&'static str),
    /// This field is no string.
    NotAString(&'static str),
    /// This field is an empty string.
    Empty(&'static str),
    /// This field is longer than so many bytes.
    TextTooLong(&'static str, usize),
    /// This field has control characters.
    ControlCharacter(&'static str),
    /// This field is no number.
    NotANumber(&'static str),
    /// This field has to be whole.
    NotWhole(&'static str),
    /// This field is below zero.
    Negative(&'static str),
    /// This field is out of its range, which is written here.
    OutOfRange(&'static str, &'static str),
    /// More tokens came from the cache than there were.
    CachedAbovePrompt,
    /// `key_id` is a key itself.
    Secret,
    /// `time` is in the future.
    InTheFuture,
    /// The key that was sent may not write records of this client.
    OtherClient,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::LineTooLong(max) => write!(f, "is longer than {max} bytes"),
            Self::NotUtf8 => f.write_str("is not UTF-8"),
            Self::NotJson(Some(column)) => write!(f, "is not JSON, at column {column}"),
            Self::NotJson(None) => f.write_str("is not JSON that can be read"),
            Self::NotAnObject => f.write_str("is not a JSON object"),
            Self::Missing(field) => write!(f, "`{field}` is missing"),
            Self::Twice(field) => write!(f, "`{field}` is there twice"),
            Self::NotAString(field) => write!(f, "`{field}` is not a string"),
            Self::Empty(field) => write!(f, "`{field}` is empty; write none where there is none"),
            Self::TextTooLong(field, max) => write!(f, "`{field}` is longer than {max} bytes"),
            Self::ControlCharacter(field) => write!(f, "`{field}` has control characters"),
            Self::NotANumber(field) => write!(f, "`{field}` is not a number"),
            Self::NotWhole(field) => write!(f, "`{field}` is not a whole number"),
            Self::Negative(field) => write!(f, "`{field}` is below zero"),
            Self::OutOfRange(field, range) => write!(f, "`{field}` is not {range}"),
            Self::CachedAbovePrompt => f.write_str("`cached_tokens` is above `prompt_tokens`"),
            Self::Secret => f.write_str("`key_id` looks like a key; send a public id of it"),
            Self::InTheFuture => f.write_str("`time` is more than a day in the future"),
            Self::OtherClient => {
                f.write_str("`client_id` is not the client of the key that was sent")
            }
        }
    }
}

impl std::error::Error for Fault {}
