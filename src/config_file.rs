//! Finds the configuration: the file that was named, `./coo-llm.yaml`, or the built-in defaults.

use crate::{exit, say};
use coo_llm_config::{Document, Problems};
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// The file that is read where none is named.
const DEFAULT_FILE: &str = "coo-llm.yaml";

/// The name of the source where there is no file.
pub(crate) const BUILTIN: &str = "built-in defaults";

/// Reads the configuration; with it comes the name of its source, for people.
///
/// # Errors
/// What is wrong with the file. Only a missing default file means the built-in defaults;
/// one that is there and cannot be read is a problem.
pub(crate) fn load(named: Option<&Path>) -> Result<(String, Document), Problems> {
    let path = named.unwrap_or(Path::new(DEFAULT_FILE));
    let is_missing =
        || matches!(path.symlink_metadata(), Err(e) if e.kind() == io::ErrorKind::NotFound);
    if named.is_none() && is_missing() {
        return Ok((BUILTIN.into(), Document::builtin()));
    }
    let document = Document::load(path)?;
    Ok((path.display().to_string(), document))
}

/// Where the configuration has its history, for commands that read it.
///
/// # Errors
/// The exit code, after a line that says why there is none.
pub(crate) fn history(named: Option<&Path>) -> Result<PathBuf, ExitCode> {
    let (source, document) = load(named).map_err(|problems| refuse(&problems))?;
    let history = document.config.storage.history;
    history.map(|history| history.path).ok_or_else(|| {
        say::complain(format_args!("{source}: storage.history is not enabled"));
        exit::usage()
    })
}

/// Says in one line what is wrong and where to see the rest.
pub(crate) fn refuse(problems: &Problems) -> ExitCode {
    let mut lines = problems.lines();
    let first = lines.next().unwrap_or_default();
    match lines.count() {
        0 => say::complain(first),
        more => say::complain(format_args!(
            "{first} (and {more} more; see coo-llm check-config --config {})",
            problems.file
        )),
    }
    exit::usage()
}
