//! Runs a work under callgrind.

use std::path::Path;
use std::process::{Command, Output};

/// Turns of the two runs whose difference counts: what happens once, such as the growth of
/// a list, is in both.
const FEW: u64 = 16;
const MANY: u64 = 32;

/// Collection is on in this function of the works alone.
const COUNTED: &str = "*icount::counted*";

/// The names of the works.
///
/// # Errors
/// An executable that does not run.
pub(super) fn works(program: &Path) -> Result<Vec<String>, String> {
    let output = run(&mut Command::new(program))?;
    let names = String::from_utf8_lossy(&output.stdout);
    Ok(names.lines().map(ToOwned::to_owned).collect())
}

/// Instructions of one unit of a work.
///
/// # Errors
/// No valgrind, a work that fails, or nothing that was counted.
pub(super) fn count(program: &Path, work: &str) -> Result<f64, String> {
    let few = turns(program, work, FEW)?;
    let many = turns(program, work, MANY)?;
    match (many.0.checked_sub(few.0), many.1.checked_sub(few.1)) {
        (Some(instructions @ 1..), Some(units @ 1..)) => Ok(instructions as f64 / units as f64),
        _ => Err(format!(
            "{work}: {few:?} and {many:?} (instructions, units)"
        )),
    }
}

/// Instructions and units of so many turns.
fn turns(program: &Path, work: &str, turns: u64) -> Result<(u64, u64), String> {
    let file = program.with_extension(format!("{}.callgrind", std::process::id()));
    let mut command = Command::new("valgrind");
    command
        .args(["--tool=callgrind", "-q"])
        .arg(format!("--toggle-collect={COUNTED}"))
        .arg(format!("--callgrind-out-file={}", file.display()))
        .arg(program)
        .args([work, &turns.to_string()])
        // Nothing of the caller's, so that the stack begins in the same place.
        .env_clear();
    if let Some(path) = std::env::var_os("PATH") {
        command.env("PATH", path);
    }
    let output = run(&mut command)?;
    let text = std::fs::read_to_string(&file)
        .map_err(|error| format!("callgrind wrote no {}: {error}", file.display()))?;
    std::fs::remove_file(&file).map_err(|error| format!("{}: {error}", file.display()))?;
    let units = String::from_utf8_lossy(&output.stdout).trim().parse();
    let units = units.map_err(|_| format!("{work}: it printed no number of units"))?;
    Ok((
        total(&text).ok_or_else(|| format!("{work}: callgrind wrote no total"))?,
        units,
    ))
}

/// The total of a callgrind file.
fn total(file: &str) -> Option<u64> {
    let line = file.lines().find_map(|line| line.strip_prefix("totals:"));
    line?.trim().parse().ok()
}

fn run(command: &mut Command) -> Result<Output, String> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command
        .output()
        .map_err(|error| format!("{program} does not run: {error}"))?;
    if output.status.success() {
        return Ok(output);
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(format!("{program}: {}: {}", output.status, said.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_total_is_read() {
        let file = "events: Ir\nfn=(0)\n1 5\n\ntotals: 14090316\n";
        assert_eq!(total(file), Some(14_090_316));
        assert_eq!(total("events: Ir\n"), None);
    }
}
