//! `cargo xtask icount`: counts the instructions of the meter's hot paths under callgrind
//! and holds them to the baseline in `benches/icount.toml`.
//!
//! Instructions are the same from run to run, however busy the machine is; they depend on
//! the compiler and the target, which the baseline names.

mod baseline;
mod callgrind;

use crate::step;
use baseline::{Baseline, TOLERANCE, Verdict};
use std::path::Path;
use std::process::Command;

/// Where the baseline is, in the workspace.
const BASELINE: &str = "benches/icount.toml";

/// What to do with the counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Fail where one is above its baseline.
    Compare,
    /// Write them as the new baseline.
    Bless,
    /// Print them, those of other meters too.
    Peers,
}

impl Mode {
    /// The mode of the arguments after `icount`.
    pub(crate) fn parse(arguments: &[String]) -> Option<Self> {
        match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
            [] => Some(Self::Compare),
            ["--bless"] => Some(Self::Bless),
            ["--peers"] => Some(Self::Peers),
            _ => None,
        }
    }
}

/// Counts every work and does what the mode says.
///
/// # Errors
/// No valgrind, a build that fails, or in [`Mode::Compare`] a count that is too high.
pub(crate) fn run(mode: Mode) -> Result<(), String> {
    let program = build(mode)?;
    let mut counts = Vec::new();
    for work in callgrind::works(&program)? {
        let count = callgrind::count(&program, &work)?;
        if mode != Mode::Compare {
            println!("{work:<28} {count:>9.1}");
        }
        counts.push((work, count));
    }
    let now = Baseline {
        rustc: rustc()?,
        counts,
    };
    let path = step::root().join(BASELINE);
    match mode {
        Mode::Peers => Ok(()),
        Mode::Bless => {
            std::fs::write(&path, now.to_string())
                .map_err(|error| format!("{BASELINE}: {error}"))?;
            println!("wrote {BASELINE}");
            Ok(())
        }
        Mode::Compare => compare(&path, &now),
    }
}

/// Prints a line for each work and fails where one is above.
fn compare(path: &Path, now: &Baseline) -> Result<(), String> {
    let text = std::fs::read_to_string(path).map_err(|error| format!("{BASELINE}: {error}"))?;
    let baseline = Baseline::parse(&text).map_err(|why| format!("{BASELINE}: {why}"))?;
    println!(
        "{:<16} {:>9} {:>9}  difference, instructions a unit",
        "work", "baseline", "now"
    );
    let (mut failed, mut lower) = (Vec::new(), Vec::new());
    for (name, was, is) in baseline.pairs(now) {
        let shown = |count: Option<f64>| count.map_or("-".to_owned(), |n| format!("{n:.1}"));
        let verdict = Verdict::of(was, is);
        println!("{name:<16} {:>9} {:>9}  {verdict}", shown(was), shown(is));
        match verdict {
            Verdict::Within(_) => {}
            Verdict::Below(_) => lower.push(name),
            Verdict::Above(_) | Verdict::New | Verdict::Gone => failed.push(name),
        }
    }
    let bless = "`cargo xtask icount --bless`";
    if baseline.target() != now.target() {
        // Nothing that a change on this machine did, and nothing to bless from here.
        println!(
            "not judged: the baseline is of {}, this is {}",
            baseline.rustc, now.rustc
        );
        return Ok(());
    }
    if baseline.rustc != now.rustc {
        // rust-toolchain.toml names the compiler, so this is the change that moves it.
        return Err(format!(
            "the baseline is of {}, this is {}: where it is the toolchain that moved the counts, {bless} with that change",
            baseline.rustc, now.rustc
        ));
    }
    if !lower.is_empty() {
        println!(
            "more than {TOLERANCE} % below the baseline: {}. Keep it with {bless}.",
            lower.join(", ")
        );
    }
    if failed.is_empty() {
        return Ok(());
    }
    Err(format!(
        "not within {TOLERANCE} % of {BASELINE}: {}. If it is worth its price, {bless} and say why in the commit",
        failed.join(", ")
    ))
}

/// The executable of the works, in the profile that ships.
fn build(mode: Mode) -> Result<std::path::PathBuf, String> {
    let features = if mode == Mode::Peers {
        " --features peers"
    } else {
        ""
    };
    let mut command = step::cargo(&format!(
        "build --locked --release -p coo-llm-benches --bin icount --no-default-features{features}"
    ));
    let status = command
        .status()
        .map_err(|error| format!("cargo does not run: {error}"))?;
    if !status.success() {
        return Err("the works do not build".to_owned());
    }
    Ok(step::target().join("release/icount"))
}

/// Such as `1.95.0 x86_64-unknown-linux-gnu`.
fn rustc() -> Result<String, String> {
    let program = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let output = Command::new(program)
        .arg("-vV")
        .current_dir(step::root())
        .output()
        .map_err(|error| format!("rustc does not run: {error}"))?;
    let text = String::from_utf8_lossy(&output.stdout);
    let field = |name| text.lines().find_map(|line| line.strip_prefix(name));
    match (field("release: "), field("host: ")) {
        (Some(release), Some(host)) => Ok(format!("{release} {host}")),
        _ => Err("rustc -vV says no release and host".to_owned()),
    }
}
