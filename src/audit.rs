//! `coo-llm audit verify`: whether the audit trail is what was written.

use crate::{config_file, exit, say};
use coo_llm_http::control::audit::{Anchor, FOLDER, Report, TrailError, verify};
use std::path::PathBuf;
use std::process::ExitCode;

/// What the command line says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Options {
    /// The trail's folder, or one file of it; else that of the configuration.
    pub(crate) file: Option<PathBuf>,
    /// The configuration.
    pub(crate) config: Option<PathBuf>,
    /// A row that was written down elsewhere.
    pub(crate) anchor: Option<Anchor>,
}

/// Checks the trail.
pub(crate) fn run(options: &Options) -> ExitCode {
    let path = match place(options) {
        Ok(path) => path,
        Err(code) => return code,
    };
    // A gateway may write meanwhile: what was half there the first time is whole the second.
    let found = verify(&path, options.anchor).or_else(|_| verify(&path, options.anchor));
    match found {
        Ok(report) => {
            tell(&path.display().to_string(), &report);
            exit::FINE
        }
        Err(TrailError::Broken(broken)) => {
            say::complain(format_args!("the audit trail is broken: {broken}"));
            exit::usage()
        }
        Err(error) => {
            say::complain(format_args!("the audit trail cannot be checked: {error}"));
            exit::usage()
        }
    }
}

fn place(options: &Options) -> Result<PathBuf, ExitCode> {
    if let Some(file) = &options.file {
        return Ok(file.clone());
    }
    let (source, document) = config_file::load(options.config.as_deref())
        .map_err(|problems| config_file::refuse(&problems))?;
    let folder = document
        .config
        .server
        .data_dir
        .map(|folder| folder.join(FOLDER));
    folder.ok_or_else(|| {
        say::complain(format_args!(
            "{source}: server.data_dir is none: there is no audit trail"
        ));
        exit::usage()
    })
}

fn tell(path: &str, report: &Report) {
    let Report {
        files,
        rows,
        first,
        head,
        is_anchored,
    } = report;
    say::answer(format_args!(
        "{path}: ok; files {files}, rows {rows}, from row {first}; last row {head}"
    ));
    if *first > 1 {
        say::answer("rows before the first were removed to make room");
    }
    if !is_anchored {
        say::answer(
            "without the trail's own anchor: rows that were cut off its end cannot be seen",
        );
    }
}
