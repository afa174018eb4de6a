//! What can be wrong with a configuration, and where.

use std::fmt;

/// A position in the file, both counted from 1; columns in characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The line.
    pub line: usize,
    /// The column.
    pub column: usize,
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Where, as a YAML path such as `llm_providers[0].pricing.input_per_million`; empty for the file itself.
    pub path: String,
    /// Where in the file; `None` where the file could not be read at all.
    pub place: Option<Place>,
    /// What is wrong and what to do about it, in one line. Holds no secret.
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(Place { line, column }) = self.place {
            write!(f, "{line}:{column}: ")?;
        }
        if !self.path.is_empty() {
            write!(f, "{}: ", self.path)?;
        }
        f.write_str(&self.message)
    }
}

/// All that is wrong with one file, in the file's order; never empty.
///
/// Displays as one line a problem: `file:line:column: path: message`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problems {
    /// The name of the file, as it was given.
    pub file: String,
    /// The problems.
    pub list: Vec<Problem>,
}

impl Problems {
    /// The printed lines, one a problem.
    pub fn lines(&self) -> impl Iterator<Item = String> {
        self.list.iter().map(|problem| match problem.place {
            Some(_) => format!("{}:{problem}", self.file),
            None => format!("{}: {problem}", self.file),
        })
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, line) in self.lines().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            f.write_str(&line)?;
        }
        Ok(())
    }
}

impl std::error::Error for Problems {}
