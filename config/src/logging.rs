//! `logging`: level, file, and where Prometheus finds the metrics.

use crate::reader::Section;
use crate::scalar::{boolean, endpoint, integer, non_empty};
use std::path::PathBuf;

/// The `logging` section.
#[derive(Clone, Debug, PartialEq)]
pub struct Logging {
    /// The least severe level that is written.
    pub level: LogLevel,
    /// The log file; where it is not enabled, lines go to stderr.
    pub file: LogFile,
    /// The metrics endpoint.
    pub prometheus: Prometheus,
}

/// A level; the later, the more is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum LogLevel {
    /// Only what needs someone to act.
    Error,
    /// And what someone should look at.
    Warn,
    /// And what happens.
    Info,
    /// And why.
    Debug,
    /// And everything.
    Trace,
}

/// The log file.
#[derive(Clone, Debug, PartialEq)]
pub struct LogFile {
    /// Whether lines go to the file instead of stderr.
    pub enabled: bool,
    /// The file; older ones are `<path>.1` (newest) to `<path>.<max_backups>`.
    pub path: PathBuf,
    /// Size at which a new file starts, in MiB.
    pub max_size_mb: u64,
    /// How many older files are kept.
    pub max_backups: u32,
}

/// The metrics endpoint.
#[derive(Clone, Debug, PartialEq)]
pub struct Prometheus {
    /// Whether it is served.
    pub enabled: bool,
    /// Its path.
    pub endpoint: String,
}

impl Default for Logging {
    fn default() -> Self {
        Self {
            level: LogLevel::Info,
            file: LogFile::default(),
            prometheus: Prometheus::default(),
        }
    }
}

impl Default for LogFile {
    fn default() -> Self {
        Self {
            enabled: false,
            path: "/var/log/coo-llm/app.log".into(),
            max_size_mb: 100,
            max_backups: 5,
        }
    }
}

impl Default for Prometheus {
    fn default() -> Self {
        Self {
            enabled: true,
            endpoint: "/metrics".into(),
        }
    }
}

impl Logging {
    pub(crate) fn read(s: &Section<'_>) -> Self {
        Self {
            level: s.choice(
                "level",
                LogLevel::Info,
                &[
                    ("error", LogLevel::Error),
                    ("warn", LogLevel::Warn),
                    ("info", LogLevel::Info),
                    ("debug", LogLevel::Debug),
                    ("trace", LogLevel::Trace),
                ],
            ),
            file: s.section("file", LogFile::read),
            prometheus: s.section("prometheus", Prometheus::read),
        }
    }
}

impl LogFile {
    fn read(s: &Section<'_>) -> Self {
        let default = Self::default();
        let backups = s.optional("max_backups", integer(0, 1000));
        Self {
            // Who writes a `file` section wants a file, unless it says otherwise.
            enabled: s.value("enabled", true, boolean),
            path: s
                .optional("path", non_empty)
                .map_or(default.path, PathBuf::from),
            max_size_mb: s.value("max_size_mb", default.max_size_mb, integer(1, 1 << 20)),
            max_backups: backups
                .and_then(|n| u32::try_from(n).ok())
                .unwrap_or(default.max_backups),
        }
    }
}

impl Prometheus {
    fn read(s: &Section<'_>) -> Self {
        let default = Self::default();
        Self {
            enabled: s.value("enabled", default.enabled, boolean),
            endpoint: s.value("endpoint", default.endpoint, endpoint),
        }
    }
}
