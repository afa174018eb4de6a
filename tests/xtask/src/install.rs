//! Installs the programs that the tests run.

use std::process::{Command, Stdio};

/// (a program that shows that it is there, the Debian package that brings it).
const PROGRAMS: [(&str, &str); 10] = [
    ("prometheus", "prometheus"),
    ("sqlite3", "sqlite3"),
    ("pg_ctlcluster", "postgresql"),
    ("redis-server", "redis-server"),
    ("promtool", "prometheus"),
    ("python3", "python3"),
    ("curl", "curl"),
    ("valgrind", "valgrind"),
    ("influxd", "influxdb"),
    ("victoria-metrics", "victoria-metrics"),
];

/// Debian keeps venv in a package of its own, where `ensurepip` is the part that is missing.
const VENV_PACKAGE: &str = "python3-venv";

/// Brings in what is missing, with apt-get, as root or through sudo.
///
/// # Errors
/// One line that says what is missing and could not be installed.
pub(crate) fn run() -> Result<(), String> {
    let mut packages: Vec<&str> = PROGRAMS
        .iter()
        .filter(|(program, _)| !is_there(program))
        .map(|(_, package)| *package)
        .collect();
    if !quiet_success(Command::new("python3").args(["-c", "import ensurepip, venv"])) {
        packages.push(VENV_PACKAGE);
    }
    packages.sort_unstable();
    packages.dedup();
    if packages.is_empty() {
        println!("nothing is missing");
        return Ok(());
    }
    let list = packages.join(" ");
    println!("installing {list}");
    if !is_there("apt-get") {
        return Err(format!("missing and no apt-get to install it: {list}"));
    }
    let updated = apt(&["update", "-qq"])?;
    let mut arguments = vec!["install", "--yes", "-qq", "--no-install-recommends"];
    arguments.extend(&packages);
    if updated && apt(&arguments)? {
        return Ok(());
    }
    Err(format!(
        "apt-get did not install {list}; its messages are above"
    ))
}

fn apt(arguments: &[&str]) -> Result<bool, String> {
    let root = Command::new("id").arg("-u").output();
    let root = root.is_ok_and(|output| output.stdout.trim_ascii() == b"0");
    // RUNLEVEL=1 keeps Debian's scripts from starting the services they install.
    let mut command = Command::new(if root { "env" } else { "sudo" });
    command.args(["DEBIAN_FRONTEND=noninteractive", "RUNLEVEL=1", "apt-get"]);
    command.args(arguments).stdin(Stdio::null());
    let status = command.status();
    let who = if root { "env" } else { "sudo" };
    let status = status.map_err(|error| format!("{who} does not run: {error}"))?;
    Ok(status.success())
}

fn is_there(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|dir| dir.join(program).is_file())
}

fn quiet_success(command: &mut Command) -> bool {
    let status = command.stdout(Stdio::null()).stderr(Stdio::null()).status();
    status.is_ok_and(|status| status.success())
}
