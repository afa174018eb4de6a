//! What can go wrong with the history's file.

use std::fmt;
use std::io;
use std::path::PathBuf;

/// Why the history cannot be opened, written or read.
#[derive(Debug)]
#[non_exhaustive]
pub enum HistoryError {
    /// The folder or a file in it cannot be used.
    Folder {
        /// Which.
        path: PathBuf,
        /// The system's reason.
        error: io::Error,
    },
    /// Another process has the history open.
    InUse {
        /// The history.
        path: PathBuf,
    },
    /// The file is damaged. Nothing was changed.
    Damaged {
        /// The history.
        path: PathBuf,
        /// What was found.
        detail: String,
    },
    /// The file is some other program's.
    Foreign {
        /// The file.
        path: PathBuf,
    },
    /// A later version wrote the file.
    TooNew {
        /// The history.
        path: PathBuf,
        /// Its version.
        version: i32,
    },
    /// A query asks for more than [`POINTS_MAX`](super::POINTS_MAX) points.
    TooManyPoints {
        /// How many it asks for, at least.
        points: u64,
    },
    /// SQLite refused something else, such as to write on a full disk.
    Store {
        /// The history.
        path: PathBuf,
        /// Its reason.
        error: rusqlite::Error,
    },
}

impl fmt::Display for HistoryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Folder { path, error } => write!(f, "{}: {error}", path.display()),
            Self::InUse { path } => write!(
                f,
                "the history {} is in use by another process; give each its own storage.history.path",
                path.display()
            ),
            Self::Damaged { path, detail } => {
                let path = path.display();
                write!(
                    f,
                    "the history {path} is damaged ({detail}) and was left as it is; to save what can \
                     be read: sqlite3 {path} .recover | sqlite3 recovered.db; to begin a new one: \
                     move {path}, {path}-wal and {path}-shm away"
                )
            }
            Self::Foreign { path } => write!(
                f,
                "{} is not a history of coo-llm and was left as it is; write another storage.history.path",
                path.display()
            ),
            Self::TooNew { path, version } => write!(
                f,
                "the history {} has format {version} of a later version of coo-llm; this one reads format {}",
                path.display(),
                super::schema::VERSION
            ),
            Self::TooManyPoints { points } => write!(
                f,
                "a query of {points} points or more is over {}; ask for a larger step or less time",
                super::POINTS_MAX
            ),
            Self::Store { path, error } => write!(f, "the history {}: {error}", path.display()),
        }
    }
}

impl std::error::Error for HistoryError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Folder { error, .. } => Some(error),
            Self::Store { error, .. } => Some(error),
            _ => None,
        }
    }
}

impl HistoryError {
    /// Tells damage from what may pass.
    pub(super) fn of(path: &std::path::Path, error: rusqlite::Error) -> Self {
        let path = path.to_owned();
        let is_damage = match &error {
            rusqlite::Error::FromSqlConversionFailure(..)
            | rusqlite::Error::UserFunctionError(_)
            | rusqlite::Error::InvalidColumnType(..)
            | rusqlite::Error::IntegralValueOutOfRange(..) => true,
            error => matches!(
                error.sqlite_error_code(),
                Some(rusqlite::ErrorCode::DatabaseCorrupt | rusqlite::ErrorCode::NotADatabase)
            ),
        };
        if is_damage {
            let detail = error.to_string();
            Self::Damaged { path, detail }
        } else {
            Self::Store { path, error }
        }
    }
}
