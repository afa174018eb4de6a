//! `cargo xtask test`: the one command that installs what the tests need and runs all of them.
//! `cargo xtask icount`: instructions of the hot paths beside their baseline, a step of it too.
//! `cargo xtask mutants`: the longer one that shows that the loom models can fail.
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a command line tool talks to its user"
)]

mod icount;
mod install;
mod mutants;
mod step;
mod tally;

use std::process::ExitCode;

const USAGE: &str = "usage: cargo xtask test [STEP...] | icount [--bless | --peers] | mutants";

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let outcome = match args.split_first() {
        Some((command, steps)) if command == "test" => step::run_steps(steps),
        Some((command, how)) if command == "icount" => match icount::Mode::parse(how) {
            Some(mode) => icount::run(mode),
            None => Err(USAGE.to_owned()),
        },
        Some((command, [])) if command == "mutants" => mutants::run(step::root(), &step::target()),
        _ => {
            let names = step::names().join(", ");
            Err(format!("{USAGE}\nsteps: {names}"))
        }
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("xtask: {why}");
            ExitCode::FAILURE
        }
    }
}
