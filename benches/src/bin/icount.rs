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

use coo_llm_benches::backend::{Backend, Writer, check};
use coo_llm_benches::ours::{By, Ours};
use coo_llm_benches::pick::{self, PICKS, Pick};
use coo_llm_benches::set::S;
use coo_llm_core::histogram::LATENCY;
use std::hint::black_box;
use std::process::ExitCode;

/// Picks in a turn: 16 turns see each once.
const TURN: usize = PICKS / 16;

/// Does so many turns and returns the units.
type Work = fn(u64) -> u64;

/// The works of which a baseline is kept: `benches/icount.toml`.
const WORKS: [(&str, Work); 6] = [
    ("record_ids", |turns| {
        records(|| Ours::new(&S, By::Id), turns)
    }),
    ("record_gateway", |turns| {
        records(|| Ours::new(&S, By::IdWhole), turns)
    }),
    ("record_labels", |turns| {
        records(|| Ours::new(&S, By::Label), turns)
    }),
    ("histogram_cell", cells),
    ("merge_series", |turns| {
        readings(turns, |ours, _| {
            ours.meter.read(|snapshot| {
                black_box(snapshot);
            });
            S.counter_series() + S.histogram_series()
        })
    }),
    ("scrape_line", |turns| {
        readings(turns, |ours, page| {
            ours.scrape(page);
            page.iter().filter(|byte| **byte == b'\n').count()
        })
    }),
];

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
fn records<B: Backend>(make: impl FnOnce() -> B, turns: u64) -> u64 {
    let backend = make();
    let picks = pick::zipf(&S);
    check(&backend, &S, &picks);
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
    let mut works = WORKS.iter();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => works.for_each(|(name, _)| println!("{name}")),
        [name, turns] => {
            let work = works.find(|(work, _)| *work == name);
            let (Some((_, work)), Ok(turns)) = (work, turns.parse()) else {
                eprintln!("icount: no work {name}, or {turns} is no number");
                return ExitCode::FAILURE;
            };
            println!("{}", work(turns));
        }
        _ => {
            eprintln!("usage: icount [WORK TURNS]");
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}
