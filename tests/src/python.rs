//! Python environments with pinned packages: of `python/requirements.txt`, of
//! `python/prices/requirements.txt` and `python/openapi/requirements.txt`, whose packages want
//! other versions of some, and of `python/export/requirements.txt`, which one test needs.
//!
//! Each is made once under the target folder, and made anew when its requirements change.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

/// The pinned packages.
const REQUIREMENTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/python/requirements.txt");
/// The pinned packages of those who know prices.
const PRICES: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/python/prices/requirements.txt"
);
/// The pinned packages of those who ask what an OpenAPI document says.
const OPENAPI: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/python/openapi/requirements.txt"
);

/// The pinned reader of exports.
const EXPORT: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/python/export/requirements.txt"
);

/// Written last, with the requirements that the environment was made from.
const DONE: &str = "coo-llm-requirements.txt";

/// The folder of an environment.
fn folder(name: &str) -> PathBuf {
    let test = std::env::current_exe().expect("this test runs from a file");
    // <target>/<profile>/deps/<test>
    let target = test
        .ancestors()
        .nth(3)
        .expect("cargo puts tests into its target folder");
    target.join(name)
}

/// The interpreter of the environment for tests of the gateway.
///
/// # Panics
/// If it cannot be made: `python3` with `venv`, and PyPI, are needed.
#[must_use]
pub fn interpreter() -> PathBuf {
    environment("python", REQUIREMENTS)
}

/// The interpreter of the environment that has LiteLLM and genai-prices.
///
/// # Panics
/// As [`interpreter`].
#[must_use]
pub fn prices_interpreter() -> PathBuf {
    environment("python-prices", PRICES)
}

/// The interpreter of the environment that has schemathesis.
///
/// # Panics
/// As [`interpreter`].
#[must_use]
pub fn openapi_interpreter() -> PathBuf {
    environment("python-openapi", OPENAPI)
}

/// The interpreter of the environment that has DuckDB.
///
/// # Panics
/// As [`interpreter`].
#[must_use]
pub fn export_interpreter() -> PathBuf {
    environment("python-export", EXPORT)
}

fn environment(name: &str, requirements: &str) -> PathBuf {
    let folder = folder(name);
    let wanted = fs::read_to_string(requirements).expect("the requirements are in the repository");
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
    run(Command::new(&python).args(pip).arg(requirements));
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
