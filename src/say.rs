//! What the program says to the person who called it.

use std::fmt::Display;
use std::io::{self, Write as _};

/// A line of the answer, on stdout. Whether someone still reads it, as after
/// `| head`, does not change what the command does.
pub(crate) fn answer(line: impl Display) {
    let _reader_may_be_gone = writeln!(io::stdout(), "{line}");
}

/// A line about what went wrong, on stderr.
pub(crate) fn complain(line: impl Display) {
    let _reader_may_be_gone = writeln!(io::stderr(), "coo-llm: {line}");
}
