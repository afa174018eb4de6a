//! Everything on against everything off, in pairs.
#![expect(
    clippy::print_stdout,
    reason = "a mode of proxy-rig prints the rows of RESULTS.md"
)]

use super::cores::{self, LOAD};
use super::gateway::{Duties, Gateway, RunsOn, Setup};
use super::upstream::Upstream;
use super::wrk::{CONNECTIONS, Wrk};
use super::{Outcome, icount, load, load_average, process};
use crate::stats::{median, spread};
use std::path::{Path, PathBuf};

/// Name, model, duties and whether it records.
const SUBJECTS: [(&str, &str, Duties, bool); 3] = [
    (
        "off: no recording, prices, limits or budget",
        "m-none",
        Duties::None,
        false,
    ),
    ("recording and prices", "m-prcs", Duties::Prices, true),
    (
        "on: recording, prices, limits of client and key, budget",
        "m-alls",
        Duties::All,
        true,
    ),
];
/// Requests of which instructions are counted.
const FEW: u64 = 100;
const MANY: u64 = 500;
/// Requests whose count must be exact.
const EXACT: u64 = 2_000;

/// Throughput and processor time in pairs, and the instructions of each.
///
/// # Errors
/// Where a gateway does not start or does not count exactly.
pub fn run([with, without]: &[PathBuf; 2], rounds: usize, seconds: u32) -> Outcome<()> {
    println!("load average at the start: {}", load_average());
    cores::move_here(LOAD)?;
    let upstream = Upstream::start()?;
    let binary = |records: bool| -> &Path { if records { with } else { without } };
    let mut gateways = Vec::new();
    for (name, model, duties, records) in SUBJECTS {
        let setup = Setup {
            duties,
            ..Setup::usual(model)
        };
        let gateway = Gateway::start(binary(records), &upstream.addr, &setup)?;
        load::exact(gateway.addr, model, EXACT)?;
        let wanted = if records { EXACT } else { 0 };
        let counted = gateway.counted(wanted)?.requests;
        if counted != wanted {
            return Err(format!("{name}: counted {counted} of {EXACT} requests"));
        }
        gateways.push((gateway, Wrk::new(model)?));
    }
    let mut rps: [Vec<f64>; 3] = Default::default();
    let mut cpu_us: [Vec<f64>; 3] = Default::default();
    let mut random = fastrand::Rng::new();
    // The first round warms up and is not kept.
    for round in 0..=rounds {
        let mut order = [0, 1, 2];
        random.shuffle(&mut order);
        for at in order {
            let (gateway, wrk) = &gateways[at];
            let pid = gateway.process.pid();
            let before = process::cpu_ns(pid)?;
            let run = wrk.run(gateway.addr, seconds)?;
            let took = process::cpu_ns(pid)? - before;
            if round > 0 {
                rps[at].push(run.rps);
                cpu_us[at].push(took as f64 / 1e3 / run.requests as f64);
            }
        }
    }
    drop(gateways);
    let after = load_average();
    let mut instructions = Vec::new();
    for (_, model, duties, records) in SUBJECTS {
        let setup = Setup {
            duties,
            // Valgrind knows no io_uring.
            on: RunsOn {
                driver: "epoll",
                ..RunsOn::AUTO
            },
            ..Setup::usual(model)
        };
        let counts = [(); 2]
            .map(|()| icount::a_request(binary(records), &upstream, &setup, FEW, MANY, None));
        let [one, two] = counts;
        instructions.push(median(&[one?, two?]));
    }
    println!(
        "| {rounds} rounds of {seconds} s, {CONNECTIONS} connections | requests/s / off | \
         CPU / off | CPU us a request | instructions a request | instructions / off |\n\
         | --- | --- | --- | --- | --- | --- |"
    );
    let pairs = |of: &[Vec<f64>; 3], at: usize| -> Vec<f64> {
        of[at].iter().zip(&of[0]).map(|(a, b)| a / b).collect()
    };
    for (at, (name, ..)) in SUBJECTS.into_iter().enumerate() {
        println!(
            "| {name} | {} | {} | {} | {:.0} | {:.4} |",
            spread(&pairs(&rps, at), 3),
            spread(&pairs(&cpu_us, at), 3),
            spread(&cpu_us[at], 1),
            instructions[at],
            instructions[at] / instructions[0]
        );
    }
    println!(
        "load average after the rounds: {after}, at the end: {}",
        load_average()
    );
    Ok(())
}
