//! A Python environment with the pinned packages of `python/requirements.txt`.
//!
//! Made once under the target folder; made anew when the requirements change.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

/// The pinned packages.
const REQUIREMENTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/python/requirements.txt");

/// Written last, with the requirements that the environment was made from.
const DONE: &str = "coo-llm-requirements.txt";

/// The folder of the environment.
fn folder() -> PathBuf {
    let test = std::env::current_exe().expect("this test runs from a file");
    // <target>/<profile>/deps/<test>
    let target = test
        .ancestors()
        .nth(3)
        .expect("cargo puts tests into its target folder");
    target.join("python")
}

/// The interpreter of the environment.
///
/// # Panics
/// If it cannot be made: `python3` with `venv`, and PyPI, are needed.
#[must_use]
pub fn interpreter() -> PathBuf {
    let folder = folder();
    let wanted = fs::read_to_string(REQUIREMENTS).expect("the requirements are in the repository");
    // One test at a time makes it; the lock goes when the file is closed.
    let lock = File::create(folder.with_extension("lock")).expect("the target folder is writable");
    lock.lock().expect("the file system has locks");
    let python = folder.join("bin/python");
    if fs::read_to_string(folder.join(DONE)).is_ok_and(|have| have == wanted) {
        return python;
    }
    run(Command::new("python3")
        .args(["-m", "venv", "--clear"])
        .arg(&folder));
    let pip = [
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
        "--requirement",
    ];
    run(Command::new(&python).args(pip).arg(REQUIREMENTS));
    fs::write(folder.join(DONE), wanted).expect("the environment is writable");
    python
}

/// The path of a script in `tests/python`.
#[must_use]
pub fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("python")
        .join(name)
}

fn run(command: &mut Command) {
    let status = command.status();
    let status = status.unwrap_or_else(|error| unreachable!("{command:?}: {error}"));
    assert!(status.success(), "{command:?} ended with {status}");
}
