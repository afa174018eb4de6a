//! `coo-llm export`: the history out of its file, for bills and archives.
//!
//! ```text
//! Archive (one moment of the file) --row by row--> csv | jsonl | parquet --> Output
//! ```
//! One row at a time is in memory; of Parquet, a group of rows.

mod csv;
mod jsonl;
mod moment;
mod output;
mod parquet;
mod progress;

use crate::{config_file, exit, say};
use coo_llm_core::NanoUsd;
use coo_llm_exporters::decimal::push_usd;
use coo_llm_exporters::history::{Archive, ArchiveRow, HistoryError, Latencies, Window};
pub(crate) use csv::push_text;
pub(crate) use moment::{rfc3339, second};
use output::Output;
use progress::Progress;
use std::fmt;
use std::io;
use std::path::PathBuf;
use std::process::ExitCode;

/// What was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Options {
    /// The first second, since 1970.
    pub(crate) from_s: u64,
    /// The first second after the last.
    pub(crate) to_s: u64,
    pub(crate) format: Format,
    pub(crate) config: Option<PathBuf>,
    /// `None` is stdout.
    pub(crate) output: Option<PathBuf>,
    /// Whether a file that is there is replaced.
    pub(crate) force: bool,
}

/// How rows are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    Csv,
    Jsonl,
    Parquet,
}

impl Format {
    /// By their names on the command line.
    pub(crate) const ALL: [(&'static str, Self); 3] = [
        ("csv", Self::Csv),
        ("jsonl", Self::Jsonl),
        ("parquet", Self::Parquet),
    ];
}

/// The names of a row's columns, in order.
const COLUMNS: [&str; 21] = [
    "time",
    "width_s",
    "provider",
    "model",
    "key",
    "client_id",
    "requests",
    "errors",
    "input",
    "cached_input",
    "cache_write",
    "output",
    "reasoning",
    "audio_input",
    "audio_output",
    "cost_usd",
    "unpriced",
    "avg_latency_ms",
    "p50_latency_ms",
    "p95_latency_ms",
    "p99_latency_ms",
];

/// Why an export ended early.
#[derive(Debug)]
pub(crate) enum Failure {
    History(HistoryError),
    /// The output takes no more.
    Output(io::Error),
    /// The writer of Parquet itself.
    Parquet(::parquet::errors::ParquetError),
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::History(error) => error.fmt(f),
            Self::Output(error) if error.kind() == io::ErrorKind::BrokenPipe => {
                f.write_str("who reads the output has gone: the export is not whole")
            }
            Self::Output(error) => write!(f, "the output cannot be written: {error}"),
            Self::Parquet(error) => write!(f, "the output cannot be written: {error}"),
        }
    }
}

impl From<HistoryError> for Failure {
    fn from(error: HistoryError) -> Self {
        Self::History(error)
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Output(error)
    }
}

/// Sums of what was written.
#[derive(Clone, Copy, Debug, Default)]
struct Done {
    rows: u64,
    requests: u64,
    cost: NanoUsd,
}

pub(crate) fn run(options: &Options) -> ExitCode {
    if options.from_s >= options.to_s {
        say::complain("--from must be before --to");
        return exit::usage();
    }
    let path = match config_file::history(options.config.as_deref()) {
        Ok(path) => path,
        Err(code) => return code,
    };
    let archive = match Archive::open(&path) {
        Ok(archive) => archive,
        Err(error) => {
            say::complain(error);
            return exit::cannot_start();
        }
    };
    let mut output = match Output::open(options) {
        Ok(output) => output,
        Err(output::Refused::Call(line)) => {
            say::complain(line);
            return exit::usage();
        }
        Err(output::Refused::System(line)) => {
            say::complain(line);
            return exit::cannot_start();
        }
    };
    let asked = Window {
        start_s: options.from_s,
        end_s: options.to_s,
    };
    let window = archive.window(asked);
    let written = write(&archive, window, options.format, &mut output);
    // The writer of Parquet wraps errors of the output in its own: the first one counts.
    let written = match output.take_error() {
        Some(error) => Err(Failure::Output(error)),
        None => written,
    };
    match written.and_then(|done| Ok((done, output.finish()?))) {
        Ok((done, ())) => {
            say::complain(summary(&done, window, asked));
            exit::FINE
        }
        Err(failure) => {
            say::complain(failure);
            exit::cannot_start()
        }
    }
}

fn write(
    archive: &Archive,
    window: Window,
    format: Format,
    output: &mut Output,
) -> Result<Done, Failure> {
    let mut done = Done::default();
    let progress = Progress::begin(window);
    let mut count = |row: &ArchiveRow<'_>| {
        let totals = &row.usage.totals;
        done.rows += 1;
        done.requests += totals.requests;
        done.cost += totals.cost;
        progress.is_at(row.start_s, done.rows);
    };
    match format {
        Format::Csv => {
            csv::header(output)?;
            archive.read(window, |row| {
                count(row);
                csv::row(row, output).map_err(Failure::Output)
            })?;
        }
        Format::Jsonl => archive.read(window, |row| {
            count(row);
            jsonl::row(row, output).map_err(Failure::Output)
        })?,
        Format::Parquet => {
            let mut sheet = parquet::Sheet::begin(output).map_err(Failure::Parquet)?;
            archive.read(window, |row| {
                count(row);
                sheet.row(row).map_err(Failure::Parquet)
            })?;
            sheet.finish().map_err(Failure::Parquet)?;
        }
    }
    Ok(done)
}

/// What was written, for people.
fn summary(done: &Done, window: Window, asked: Window) -> String {
    let mut cost = Vec::new();
    push_usd(&mut cost, done.cost);
    let moved = if window == asked {
        ""
    } else {
        " (the history's part of what was asked for, in whole buckets)"
    };
    format!(
        "{} rows, {} requests, {} USD, from {} to {}{moved}",
        done.rows,
        done.requests,
        String::from_utf8_lossy(&cost),
        rfc3339(window.start_s),
        rfc3339(window.end_s)
    )
}

/// The four latencies of a row in milliseconds; `None` where none is known.
fn latencies_ms(latencies: &Latencies) -> Option<[f64; 4]> {
    let quantile = |q| latencies.quantile_us(q);
    let us = [
        latencies.mean_us()?,
        quantile(0.5)?,
        quantile(0.95)?,
        quantile(0.99)?,
    ];
    // To the microsecond: then each format has the same number.
    Some(us.map(|us| us.round() / 1000.0))
}

/// The counts of a row, in the order of [`COLUMNS`]: those before the cost.
fn counts(row: &ArchiveRow<'_>) -> [u64; 9] {
    let totals = &row.usage.totals;
    let tokens = &totals.tokens;
    [
        totals.requests,
        totals.errors,
        tokens.input,
        tokens.cached_input,
        tokens.cache_write,
        tokens.output,
        tokens.reasoning,
        tokens.audio_input,
        tokens.audio_output,
    ]
}
