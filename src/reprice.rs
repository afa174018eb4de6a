//! `coo-llm reprice`: what requests of the past would have cost at other prices.
//!
//! Records are lines of the ingest format, or the history. A line goes out as it came in but for
//! its `cost_usd`; the sums go to stderr, so that the lines can be piped on. Of the history there
//! is a report, and on demand it gets the new costs.

mod line;
mod store;
mod summary;

use crate::gateway::price_file;
use crate::{config_file, exit, say};
use coo_llm_config::DatedPrices;
use coo_llm_core::UnixMillis;
use coo_llm_exporters::history::{HistoryError, Window};
use coo_llm_exporters::reprice::{Repricing, UsageRow};
use line::Line;
use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, Read as _, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
pub(crate) use store::Wish;

/// The longest line that is read: 250 times a usual one.
const LINE_BYTES_MAX: u64 = 64 * 1024;
/// Lines that cannot be used and are told one by one.
const FAULTS_TOLD_MAX: u64 = 20;

/// What was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Options {
    pub(crate) table: PathBuf,
    /// Records from this moment on.
    pub(crate) from: Option<UnixMillis>,
    /// Records before this moment.
    pub(crate) to: Option<UnixMillis>,
    /// Where the records are; `-` is stdin, `None` the history.
    pub(crate) input: Option<PathBuf>,
    /// The configuration that names the history.
    pub(crate) config: Option<PathBuf>,
    /// What to do with the history.
    pub(crate) wish: Wish,
}

/// What became of the lines.
#[derive(Debug, Default)]
struct Done {
    sums: Repricing,
    outside: u64,
    rejected: u64,
}

pub(crate) fn run(options: &Options) -> ExitCode {
    let prices = match load(&options.table) {
        Ok(prices) => prices,
        Err(line) => {
            say::complain(line);
            return exit::usage();
        }
    };
    let Some(input) = &options.input else {
        return reprice_history(options, &prices);
    };
    let mut out = BufWriter::new(io::stdout().lock());
    let done = if input == Path::new("-") {
        reprice(io::stdin().lock(), &mut out, options, &prices)
    } else {
        match File::open(input) {
            Ok(file) => reprice(BufReader::new(file), &mut out, options, &prices),
            Err(error) => Err(error),
        }
    };
    let done = done.and_then(|done| out.flush().map(|()| done));
    match done {
        Ok(done) => {
            say::complain(summary::of(&done));
            if done.rejected == 0 {
                exit::FINE
            } else {
                exit::usage()
            }
        }
        Err(error) => {
            say::complain(format_args!("{}: {error}", input.display()));
            exit::usage()
        }
    }
}

fn reprice_history(options: &Options, prices: &DatedPrices) -> ExitCode {
    let path = match config_file::history(options.config.as_deref()) {
        Ok(path) => path,
        Err(code) => return code,
    };
    // Buckets have whole seconds.
    let second = |moment: Option<UnixMillis>| moment.map(|moment| moment.0 / 1000);
    let asked = Window {
        start_s: second(options.from).unwrap_or(0),
        end_s: second(options.to).unwrap_or(u64::MAX),
    };
    let mut told = Ok(());
    let done = store::run(&path, asked, prices, options.wish, |report| {
        let mut out = BufWriter::new(io::stdout().lock());
        told = report.write(&mut out).and_then(|()| out.flush());
        say::complain(report.summary());
    });
    match done {
        Ok(()) => {
            if options.wish.write {
                say::complain(format_args!(
                    "the history has these costs now: {}",
                    path.display()
                ));
            }
        }
        Err(store::Failure::History(error @ HistoryError::InUse { .. })) => {
            say::complain(format_args!("{error}; stop the gateway first"));
            return exit::cannot_start();
        }
        Err(store::Failure::History(error)) => {
            say::complain(error);
            return exit::cannot_start();
        }
        Err(store::Failure::Unclear(requests)) => {
            say::complain(format_args!(
                "nothing was written: {requests} requests have no new cost; with --leave-unclear they keep theirs"
            ));
            return exit::usage();
        }
    }
    match told {
        Ok(()) => exit::FINE,
        Err(error) => {
            say::complain(format_args!("the report cannot be written: {error}"));
            exit::cannot_start()
        }
    }
}

/// A file of LiteLLM's format holds always; any other is a table by date.
fn load(path: &Path) -> Result<DatedPrices, String> {
    let is_json = path.extension().is_some_and(|end| end == "json");
    if is_json {
        let table = price_file::read(path);
        let table = table.map_err(|error| format!("{}: {error}", path.display()))?;
        return Ok(DatedPrices::always(table));
    }
    let read = |path: &Path| price_file::read(path).map_err(|error| error.to_string());
    DatedPrices::load(path, &read).map_err(|problems| {
        let mut lines = problems.lines();
        let first = lines.next().unwrap_or_default();
        match lines.count() {
            0 => first,
            more => format!("{first} (and {more} more)"),
        }
    })
}

fn reprice(
    mut input: impl BufRead,
    out: &mut impl Write,
    options: &Options,
    prices: &DatedPrices,
) -> io::Result<Done> {
    let mut done = Done::default();
    let mut bytes = Vec::new();
    for number in 1u64.. {
        bytes.clear();
        if (&mut input)
            .take(LINE_BYTES_MAX)
            .read_until(b'\n', &mut bytes)?
            == 0
        {
            break;
        }
        let is_whole = bytes.last() == Some(&b'\n');
        if !is_whole && bytes.len() as u64 == LINE_BYTES_MAX {
            reject(
                &mut done,
                number,
                &format!("is longer than {LINE_BYTES_MAX} bytes"),
            );
            skip_line(&mut input)?;
            continue;
        }
        let text = bytes.trim_ascii();
        if text.is_empty() {
            continue;
        }
        let line = match Line::read(text) {
            Ok(line) => line,
            Err(why) => {
                reject(&mut done, number, &why);
                continue;
            }
        };
        let time = line.time;
        if options.from.is_some_and(|from| time < from) || options.to.is_some_and(|to| time >= to) {
            done.outside += 1;
            continue;
        }
        let list = prices.find(time, &line.provider, &line.model);
        let row = UsageRow {
            provider: &line.provider,
            model: &line.model,
            bill: line.bill,
            old: line.cost,
        };
        let new = done.sums.add(&row, list.as_deref());
        line.write(new, out)?;
    }
    Ok(done)
}

fn reject(done: &mut Done, number: u64, why: &str) {
    done.rejected += 1;
    if done.rejected <= FAULTS_TOLD_MAX {
        say::complain(format_args!("line {number}: {why}"));
    }
}

fn skip_line(input: &mut impl BufRead) -> io::Result<()> {
    loop {
        let (used, is_end) = {
            let bytes = input.fill_buf()?;
            match bytes.iter().position(|byte| *byte == b'\n') {
                Some(at) => (at + 1, true),
                None => (bytes.len(), bytes.is_empty()),
            }
        };
        input.consume(used);
        if is_end {
            return Ok(());
        }
    }
}

#[cfg(test)]
mod tests;
