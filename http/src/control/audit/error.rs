//! Why the trail cannot be opened, and what is wrong with one.

use std::path::PathBuf;
use std::{fmt, io};

/// Where a trail is broken, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broken {
    /// The file, and the number of its line, from 1.
    pub place: Option<(PathBuf, u64)>,
    /// What is wrong there.
    pub what: String,
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some((path, line)) = &self.place {
            write!(f, "{}:{line}: ", path.display())?;
        }
        f.write_str(&self.what)
    }
}

/// Why a trail cannot be opened or checked.
#[derive(Debug)]
#[non_exhaustive]
pub enum TrailError {
    /// A file cannot be read or written.
    File(PathBuf, io::Error),
    /// Another process writes it.
    Taken(PathBuf),
    /// It was changed, or damaged.
    Broken(Broken),
}

impl fmt::Display for TrailError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path, error) => write!(f, "{}: {error}", path.display()),
            Self::Taken(path) => write!(
                f,
                "{}: another process writes this trail; give each its own server.data_dir",
                path.display()
            ),
            Self::Broken(broken) => write!(
                f,
                "the trail is broken: {broken}; move its folder away to begin a new one, and \
                 look into it with `coo-llm audit verify --file FOLDER`"
            ),
        }
    }
}

impl std::error::Error for TrailError {}

impl From<Broken> for TrailError {
    fn from(broken: Broken) -> Self {
        Self::Broken(broken)
    }
}
