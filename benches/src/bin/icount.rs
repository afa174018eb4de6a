//! The works whose instructions `cargo xtask icount` counts under callgrind.
//!
//! ```text
//! icount               the names of the works
//! icount WORK TURNS    does a work and prints how many units of it that was
//! ```
//! Only what [`counted`] calls is to be collected (`--toggle-collect`). Two runs with
//! different turns give what a unit costs once everything is warm: the difference of the
//! instructions by the difference of the units.
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a command line tool talks to its user"
)]

use coo_llm_benches::backend::{Backend, Visit, Writer, check};
use coo_llm_benches::ours::{By, Ours};
use coo_llm_benches::pick::{self, PICKS, Pick};
use coo_llm_benches::set::S;
use coo_llm_core::histogram::LATENCY;
use std::hint::black_box;
use std::process::ExitCode;

/// Picks in a turn: 16 turns see each once.
const TURN: usize = PICKS / 16;

/// Finds the wanted work, or names all.
struct Works {
    /// A name, and how many turns.
    wanted: Option<(String, u64)>,
    /// What it did.
    units: Option<u64>,
}

impl Works {
    /// A work that does so many turns and returns the units.
    fn work(&mut self, name: &str, work: impl FnOnce(u64) -> u64) {
        match &self.wanted {
            None => println!("{name}"),
            Some((wanted, turns)) if wanted == name => self.units = Some(work(*turns)),
            Some(_) => {}
        }
    }

    /// Those of which `benches/icount.toml` is the baseline, and those of the peers.
    fn all(&mut self) {
        self.one("record_ids", || Ours::new(&S, By::Id));
        self.one("record_gateway", || Ours::new(&S, By::IdWhole));
        self.one("record_pairs", || Ours::new(&S, By::IdPairs));
        self.one("record_labels", || Ours::new(&S, By::Label));
        self.work("histogram_cell", cells);
        self.work("merge_series", |turns| readings(turns, merge));
        self.work("scrape_line", |turns| readings(turns, scrape));
        #[cfg(feature = "peers")]
        {
            coo_llm_benches::peers::by_handle(&S, self);
            coo_llm_benches::peers::by_label(&S, self);
        }
    }
}

impl Visit for Works {
    fn one<B: Backend>(&mut self, name: &str, make: impl Fn() -> B) {
        self.work(name, |turns| records(&make(), turns));
    }
}

/// The only frame in which instructions count: callgrind finds it by this name.
#[inline(never)]
fn counted<R>(work: impl FnOnce() -> R) -> R {
    work()
}

/// The picks of a turn.
fn of_turn(picks: &[Pick], turn: u64) -> &[Pick] {
    let from = (turn as usize % (PICKS / TURN)) * TURN;
    &picks[from..from + TURN]
}

/// A unit is a record; what the backend asks for from time to time is part of it.
///
/// Each turn has a writer of its own, which sees the picks once before they count: a seed
/// of `Names` makes more or less of 1 % by which names collide, and the mean of many does not.
fn records<B: Backend>(backend: &B, turns: u64) -> u64 {
    let picks = pick::zipf(&S);
    check(backend, &S, &picks);
    for turn in 0..turns {
        let picks = of_turn(&picks, turn);
        let mut writer = backend.writer();
        picks.iter().for_each(|pick| writer.record(pick));
        counted(|| {
            for pick in picks {
                writer.record(black_box(pick));
            }
            backend.upkeep();
        });
    }
    turns * TURN as u64
}

/// A unit is a value that finds its cell in a histogram.
fn cells(turns: u64) -> u64 {
    let picks = pick::zipf(&S);
    for turn in 0..turns {
        let picks = of_turn(&picks, turn);
        counted(|| {
            for pick in picks {
                black_box(LATENCY.cell(black_box(u64::from(pick.latency))));
            }
        });
    }
    turns * TURN as u64
}

/// A unit is a series of the set.
fn merge(ours: &Ours, _page: &mut Vec<u8>) -> usize {
    ours.meter.read(|snapshot| {
        black_box(snapshot);
    });
    S.counter_series() + S.histogram_series()
}

/// A unit is a line of the page.
fn scrape(ours: &Ours, page: &mut Vec<u8>) -> usize {
    ours.scrape(page);
    page.iter().filter(|byte| **byte == b'\n').count()
}

/// Reads after every series was touched; a unit is what `read` returns.
fn readings(turns: u64, read: impl Fn(&Ours, &mut Vec<u8>) -> usize) -> u64 {
    let ours = Ours::new(&S, By::IdWhole);
    let picks = pick::cover(&S, 4);
    check(&ours, &S, &picks);
    let mut writer = ours.writer();
    let mut page = Vec::new();
    let mut units = 0;
    for _ in 0..turns {
        picks.iter().for_each(|pick| writer.record(pick));
        units += counted(|| read(&ours, &mut page)) as u64;
    }
    units
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let wanted = match &arguments[..] {
        [] => Ok(None),
        [name, turns] => turns
            .parse()
            .map(|turns| Some((name.clone(), turns)))
            .map_err(|_| ()),
        _ => Err(()),
    };
    let Ok(wanted) = wanted else {
        eprintln!("usage: icount [WORK TURNS]");
        return ExitCode::FAILURE;
    };
    let units = None;
    let mut works = Works { wanted, units };
    works.all();
    match (works.wanted, works.units) {
        (None, _) => {}
        (Some(_), Some(units)) => println!("{units}"),
        (Some((name, _)), None) => {
            eprintln!("icount: no work {name}");
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}
