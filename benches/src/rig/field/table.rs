//! The rows of one cell, as `RESULTS.md` has them.

use super::{CHUNKS, Cell, EVENTS, Sample, Shape};
use crate::stats::{median, spread};

/// Microseconds of processor time an answer; none where there is no processor time, or no answer.
pub(super) fn cpu_us(sample: &Sample) -> Option<f64> {
    let answers = Some(sample.run.requests).filter(|answers| *answers > 0)?;
    Some(sample.cpu?.as_secs_f64() * 1e6 / answers as f64)
}

fn each(samples: &[Sample], value: impl Fn(&Sample) -> Option<f64>) -> Vec<f64> {
    samples.iter().filter_map(value).collect()
}

fn shown(values: &[f64], digits: usize) -> String {
    if values.is_empty() {
        return "-".to_owned();
    }
    spread(values, digits)
}

fn middle(values: &[f64], digits: usize) -> String {
    if values.is_empty() {
        return "-".to_owned();
    }
    format!("{:.digits$}", median(values))
}

/// Prints it; the first row is the one that the others are compared with.
pub(super) fn print(cell: Cell, rows: &[(&str, Vec<Sample>)]) {
    let Cell { shape, connections } = cell;
    let what = match shape {
        Shape::Json => "JSON".to_owned(),
        Shape::Stream => format!("streams of {CHUNKS} chunks, {EVENTS} events"),
    };
    println!(
        "| {what}, {connections} connections | answers/s | ours / it | CPU us an answer | \
         answers a CPU second | p50 ms | p99 ms | p99.9 ms | longest ms | RSS MB | runs |\n\
         | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |"
    );
    let ours = rows.first().map(|(_, samples)| samples.as_slice());
    for (name, samples) in rows {
        let pairs = each(samples, |sample| {
            let same = ours?.iter().find(|ours| ours.round == sample.round)?;
            Some(same.run.rps / sample.run.rps).filter(|ratio| ratio.is_finite())
        });
        let answered = |sample: &Sample| sample.run.requests > 0;
        let ms = |at: usize| {
            each(samples, |sample| {
                answered(sample).then(|| sample.run.latency_us[at] / 1e3)
            })
        };
        let cpu = each(samples, cpu_us);
        let a_second: Vec<f64> = cpu.iter().map(|us| 1e6 / us).collect();
        let resident = each(samples, |sample| {
            sample.resident_bytes.map(|bytes| bytes as f64 / 1e6)
        });
        println!(
            "| {name} | {} | {} | {} | {} | {} | {} | {} | {} | {} | {} |",
            shown(&each(samples, |sample| Some(sample.run.rps)), 0),
            shown(&pairs, 2),
            shown(&cpu, 1),
            middle(&a_second, 0),
            middle(&ms(0), 2),
            middle(&ms(1), 2),
            middle(&ms(2), 2),
            middle(&ms(3), 1),
            middle(&resident, 0),
            samples.len()
        );
    }
    println!();
}
