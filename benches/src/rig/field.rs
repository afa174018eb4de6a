//! Ours beside what others would put there: the same upstream, the same core, in one run.
//!
//! ```text
//! wrk --> ours | nginx | Envoy | LiteLLM | Portkey --> upstream     (direct: wrk --> upstream)
//! ```
//! Who is measured when is drawn anew each round, and ratios are of one round.
#![expect(
    clippy::print_stdout,
    reason = "a mode of proxy-rig prints the rows of RESULTS.md"
)]

mod exactness;
mod pace;
mod subject;
mod table;

use super::cores::{self, LOAD};
use super::gateway::{Gateway, RunsOn, Setup};
use super::upstream::{Streams, Upstream};
use super::wrk::{Run, Wrk};
use super::{Outcome, chat_body, load_average, stream_body};
use exactness::Exactness;
use std::path::Path;
use std::time::Duration;
use subject::Subject;

/// Open connections of a cell.
const CONNECTIONS: [u32; 2] = [32, 512];
/// Content chunks of a stream.
pub const CHUNKS: u32 = 50;
/// Events of it: the role, the content, the reason to end, the usage, `[DONE]`.
pub const EVENTS: u32 = CHUNKS + 4;
/// Rounds in which LLM gateways take part: they need far longer for as many answers.
const SLOW_ROUNDS: usize = 2;
/// Seconds of a run of theirs, with few connections and with many.
const SLOW_SECONDS: [u32; 2] = [3, 8];

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// An answer of one JSON body.
    Json,
    /// A stream of [`CHUNKS`] chunks.
    Stream,
}

/// What is asked for, over how many connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cell {
    shape: Shape,
    connections: u32,
}

const CELLS: [Cell; 4] = [
    cell(Shape::Json, CONNECTIONS[0]),
    cell(Shape::Json, CONNECTIONS[1]),
    cell(Shape::Stream, CONNECTIONS[0]),
    cell(Shape::Stream, CONNECTIONS[1]),
];

const fn cell(shape: Shape, connections: u32) -> Cell {
    Cell { shape, connections }
}

/// One run of one subject in one cell.
#[derive(Clone, Copy, Debug)]
pub struct Sample {
    round: usize,
    run: Run,
    /// Processor time that its processes took; none where nothing is between.
    cpu: Option<Duration>,
    resident_bytes: Option<u64>,
}

/// Measures all of them and prints the rows.
///
/// # Errors
/// Where ours is not exact, or anything but an LLM gateway or Envoy does not start: those are
/// named in the result as missing.
pub fn run(binary: &Path, on: RunsOn<'_>, rounds: usize, seconds: u32) -> Outcome<()> {
    println!("load average at the start: {}", load_average());
    cores::move_here(LOAD)?;
    let mut upstream = Upstream::start()?;
    let setup = Setup {
        on,
        ..Setup::usual(subject::OURS)
    };
    let ours = Gateway::start(binary, &upstream.addr, &setup)?;
    let started = subject::Started::start(&upstream)?;
    let subjects = started.subjects(&ours, &upstream)?;
    let mut exact = Exactness::new(subject::OURS);
    exact.check_whole(&mut upstream, &ours)?;
    let mut random = fastrand::Rng::new();
    let mut samples = Vec::new();
    let mut failures: Vec<(usize, usize, String)> = Vec::new();
    // Round 0 warms up and is not kept.
    for round in 0..=rounds {
        for (at, cell) in CELLS.into_iter().enumerate() {
            upstream.stream_by(match cell.shape {
                Shape::Json => Streams::USUAL,
                Shape::Stream => Streams::of(CHUNKS),
            })?;
            let mut order: Vec<usize> = (0..subjects.len()).collect();
            random.shuffle(&mut order);
            for who in order {
                let subject = &subjects[who];
                // The backlog of a warm-up with many connections would last longer than the runs.
                let is_many = cell.connections == CONNECTIONS[1];
                if subject.is_slow && (round > SLOW_ROUNDS || round == 0 && is_many) {
                    continue;
                }
                if !subject.is_slow && round == 0 && !is_many {
                    continue;
                }
                let seconds = match round {
                    0 => 1,
                    _ if subject.is_slow => SLOW_SECONDS[at % 2],
                    _ => seconds,
                };
                if failures.iter().any(|(a, w, _)| (*a, *w) == (at, who)) {
                    continue;
                }
                let sample = match measure(subject, cell, round, seconds) {
                    Ok(sample) => sample,
                    // One that others made may fail; it is named, and the rest goes on.
                    Err(why) if subject.is_slow => {
                        failures.push((at, who, why));
                        continue;
                    }
                    Err(why) => return Err(why),
                };
                if subject.model == subject::OURS {
                    exact.ran(sample.run.requests, cell.connections);
                    exact.check_bounds(&mut upstream, &ours)?;
                }
                if round > 0 {
                    samples.push((at, who, sample));
                }
            }
        }
    }
    println!("load average after the rounds: {}\n", load_average());
    for (at, cell) in CELLS.into_iter().enumerate() {
        let of = |who| -> Vec<Sample> {
            let mine = samples.iter().filter(|(a, w, _)| (*a, *w) == (at, who));
            mine.map(|(.., sample)| *sample).collect()
        };
        let rows: Vec<(&str, Vec<Sample>)> = subjects
            .iter()
            .enumerate()
            .map(|(who, subject)| (subject.name, of(who)))
            .collect();
        table::print(cell, &rows);
        for (.., why) in failures.iter().filter(|(a, ..)| *a == at) {
            println!("failed: {why}\n");
        }
    }
    chunks(&subjects, &mut upstream, &ours, &mut exact, seconds)?;
    pace::run(&subjects, &mut upstream, &ours, &mut exact)?;
    upstream.stream_by(Streams::USUAL)?;
    exact.check_whole(&mut upstream, &ours)?;
    println!("{exact}\nload average at the end: {}", load_average());
    started.missing()?;
    if failures.is_empty() {
        return Ok(());
    }
    Err(format!("{} cells failed, see above", failures.len()))
}

fn measure(subject: &Subject<'_>, cell: Cell, round: usize, seconds: u32) -> Outcome<Sample> {
    let (body, addr) = match cell.shape {
        Shape::Json => (chat_body(subject.model), subject.json),
        Shape::Stream => (stream_body(subject.model), subject.streams),
    };
    let wrk = Wrk::of(&body, subject.headers, cell.connections)?;
    let before = subject.cpu()?;
    let run = wrk.try_run(addr, seconds);
    let run = run.map_err(|why| format!("{}: {why}", subject.name));
    let after = subject.cpu()?;
    // Also after a failure: the next one has the core for itself.
    subject.rest()?;
    let run = run?;
    Ok(Sample {
        round,
        run,
        cpu: after
            .zip(before)
            .map(|(after, before)| after.saturating_sub(before)),
        resident_bytes: subject.resident_bytes(),
    })
}

/// What one more chunk costs: streams of many against streams of few.
fn chunks(
    subjects: &[Subject<'_>],
    upstream: &mut Upstream,
    ours: &Gateway,
    exact: &mut Exactness,
    seconds: u32,
) -> Outcome<()> {
    const MANY: u32 = 10 * CHUNKS;
    const ROUNDS: usize = 3;
    let cell = CELLS[2];
    println!(
        "\n| CPU us a further chunk, as fast as they come | median [min .. max] |\n| --- | --- |"
    );
    for subject in subjects.iter().filter(|s| !s.is_slow && s.pid.is_some()) {
        let mut marginal = Vec::new();
        for round in 1..=ROUNDS {
            let mut cpu_us = [0.0; 2];
            for (cost, chunks) in cpu_us.iter_mut().zip([CHUNKS, MANY]) {
                upstream.stream_by(Streams::of(chunks))?;
                let sample = measure(subject, cell, round, seconds)?;
                if subject.model == subject::OURS {
                    exact.ran(sample.run.requests, cell.connections);
                    exact.check_bounds(upstream, ours)?;
                }
                *cost = table::cpu_us(&sample).unwrap_or(f64::NAN);
            }
            marginal.push((cpu_us[1] - cpu_us[0]) / f64::from(MANY - CHUNKS));
        }
        println!(
            "| {} | {} |",
            subject.name,
            crate::stats::spread(&marginal, 3)
        );
    }
    Ok(())
}
