//! The steps of `cargo xtask test`, each one command that anyone could type.

use crate::icount::{self, Mode};
use crate::install;
use crate::tally::Tally;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

/// Why a step failed, and the tests that it ran all the same.
struct Failure {
    tally: Tally,
    why: String,
}

impl From<String> for Failure {
    fn from(why: String) -> Self {
        let tally = Tally::default();
        Self { tally, why }
    }
}

/// A step: its name on the command line and what it does.
type Step = (&'static str, fn() -> Result<Tally, Failure>);

/// In order; the cheap ones first.
const STEPS: [Step; 10] = [
    ("install", || Ok(install::run().map(|()| Tally::default())?)),
    ("fmt", || run(cargo("fmt --all --check"))),
    ("clippy", clippy),
    ("doc", doc),
    ("edges", || {
        run(cargo("test --locked -p coo-llm-tests --test crate_edges"))
    }),
    ("unit", unit),
    ("loom", loom),
    ("icount", || {
        Ok(icount::run(Mode::Compare).map(|()| Tally::default())?)
    }),
    ("integration", integration),
    ("runtimes", runtimes),
];

/// The names of the steps, in order.
pub(crate) fn names() -> Vec<&'static str> {
    STEPS.iter().map(|(name, _)| *name).collect()
}

/// Runs the named steps, or all; goes on after a failure so that one run shows all of them.
///
/// # Errors
/// A name that is no step, or the names of the steps that failed.
pub(crate) fn run_steps(wanted: &[String]) -> Result<(), String> {
    if let Some(name) = wanted.iter().find(|name| !names().contains(&name.as_str())) {
        return Err(format!(
            "no step {name:?}; there are: {}",
            names().join(", ")
        ));
    }
    let chosen = |name: &str| wanted.is_empty() || wanted.iter().any(|w| w == name);
    let (mut lines, mut failed, mut total) = (Vec::new(), Vec::new(), Tally::default());
    let begin = Instant::now();
    for (name, step) in STEPS.iter().filter(|(name, _)| chosen(name)) {
        println!("\n=== {name} ===");
        let start = Instant::now();
        let outcome = step();
        let secs = start.elapsed().as_secs_f64();
        let said = match outcome {
            Ok(tally) => {
                total.add(tally);
                if tally.any() {
                    format!("ok      {tally}")
                } else {
                    "ok".to_owned()
                }
            }
            Err(Failure { tally, why }) => {
                println!("xtask: {name}: {why}");
                total.add(tally);
                failed.push(*name);
                format!("FAILED  {why}")
            }
        };
        lines.push(format!("{name:<12} {secs:>7.1} s  {said}"));
    }
    println!("\n=== steps ===");
    for line in lines {
        println!("{line}");
    }
    let secs = begin.elapsed().as_secs_f64();
    println!(
        "{:<12} {secs:>7.1} s  {total}, {} steps failed",
        "all",
        failed.len()
    );
    if failed.is_empty() {
        return Ok(());
    }
    Err(format!("failed: {}", failed.join(", ")))
}

/// With what is built only for other programs.
fn clippy() -> Result<Tally, Failure> {
    run(cargo(
        "clippy --workspace --all-targets --features coo-llm-exporters/prometheus --locked -- -D warnings",
    ))
}

fn doc() -> Result<Tally, Failure> {
    let mut command =
        cargo("doc --locked --no-deps --workspace --features coo-llm-exporters/prometheus");
    command.env("RUSTDOCFLAGS", "-D warnings");
    run(command)
}

/// Unit, property and doc tests of everything but the end-to-end crate. The exporters' come
/// with the feature that the gateway does not need, so that none of them is left out; those of
/// the collector once more with that crate's other set of types.
fn unit() -> Result<Tally, Failure> {
    const EXPORTERS: &str = "test --locked -p coo-llm-exporters --no-fail-fast --features";
    let commands = [
        format!("{EXPORTERS} prometheus"),
        format!("{EXPORTERS} prometheus,prometheus/protobuf --lib collector"),
        "test --locked --workspace --exclude coo-llm-tests --exclude coo-llm-exporters --no-fail-fast"
            .to_owned(),
    ];
    run_all(commands.iter().map(|arguments| cargo(arguments)))
}

/// Runs commands one after the other, whatever becomes of each; fails where one of them did.
fn run_all(commands: impl Iterator<Item = Command>) -> Result<Tally, Failure> {
    let (mut tally, mut whys) = (Tally::default(), Vec::new());
    for command in commands {
        match run(command) {
            Ok(ran) => tally.add(ran),
            Err(failure) => {
                tally.add(failure.tally);
                whys.push(failure.why);
            }
        }
    }
    if whys.is_empty() {
        return Ok(tally);
    }
    let why = whys.join("; ");
    Err(Failure { tally, why })
}

/// The models of core's lock-free parts. `--cfg loom` changes every crate: a target folder of its own.
fn loom() -> Result<Tally, Failure> {
    let mut command = cargo("test --locked -p coo-llm-core --lib --release loom");
    command.env("RUSTFLAGS", "--cfg loom");
    command.env("CARGO_TARGET_DIR", target().join("loom"));
    let tally = run(command)?;
    if tally.passed == 0 {
        return Err("no loom model ran".to_owned().into());
    }
    Ok(tally)
}

/// End-to-end tests with the gateway of a dev build: the same build that `unit` made.
fn integration() -> Result<Tally, Failure> {
    run(cargo("build --locked -p coo-llm --bin coo-llm"))?;
    let mut command = cargo("test --locked -p coo-llm-tests --no-fail-fast");
    command.env("COO_LLM_BIN", target().join("debug/coo-llm"));
    run(command)
}

/// The suites of the data plane.
const DATA_PLANE: &str = "--test passthrough --test lifecycle --test stream_end --test streaming --test backpressure --test large_answer --test oracle --test tls --test routing --test reload";

/// Each pair of `server.runtime` and `server.driver`. A machine that refuses io_uring fails
/// here: the launcher looks at what the gateway says that it runs on.
const PAIRS: [&str; 4] = [
    "monoio/epoll",
    "monoio/io_uring",
    "tokio/epoll",
    "glommio/io_uring",
];

/// The runtime's own tests with every backend, and the data plane's suites over each pair.
fn runtimes() -> Result<Tally, Failure> {
    let mut tally = run(cargo("test --locked -p coo-llm-runtime --features glommio"))?;
    tally.add(run(cargo(
        "test --locked -p coo-llm-config --features glommio",
    ))?);
    run(cargo(
        "build --locked -p coo-llm --bin coo-llm --features glommio",
    ))?;
    for pair in PAIRS {
        let mut command = cargo("test --locked -p coo-llm-tests --no-fail-fast");
        command.args(DATA_PLANE.split(' '));
        command.env("COO_LLM_BIN", target().join("debug/coo-llm"));
        command.env("COO_LLM_TEST_ON", pair);
        match run(command) {
            Ok(more) => tally.add(more),
            Err(Failure { tally: more, why }) => {
                tally.add(more);
                let why = format!("on {pair}: {why}");
                return Err(Failure { tally, why });
            }
        }
    }
    Ok(tally)
}

/// The target folder: what `CARGO_TARGET_DIR` says, or the workspace's own.
pub(crate) fn target() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from)
}

/// The root of the workspace.
pub(crate) fn root() -> &'static Path {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().nth(2).unwrap_or(here)
}

/// Cargo with arguments that spaces part, in the workspace.
pub(crate) fn cargo(arguments: &str) -> Command {
    let program = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(program);
    command.args(arguments.split(' ')).current_dir(root());
    command
}

/// Runs a command, shows its output as it comes, and adds up the closing lines of its tests.
fn run(mut command: Command) -> Result<Tally, Failure> {
    println!("$ {}", shown(&command));
    let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn();
    let mut child = child.map_err(|error| format!("cargo does not run: {error}"))?;
    let mut tally = Tally::default();
    if let Some(output) = child.stdout.take() {
        for line in BufReader::new(output).split(b'\n') {
            let line = line.map_err(|error| format!("its output broke off: {error}"))?;
            let line = String::from_utf8_lossy(&line);
            println!("{line}");
            tally.read(&line);
        }
    }
    let status = child
        .wait()
        .map_err(|error| format!("cannot wait: {error}"))?;
    match (status.success(), tally.any()) {
        (true, _) => Ok(tally),
        (false, true) => Err(Failure {
            tally,
            why: format!("{tally}, {status}"),
        }),
        (false, false) => Err(status.to_string().into()),
    }
}

/// The command as one would type it.
fn shown(command: &Command) -> String {
    let mut words: Vec<String> = command
        .get_envs()
        .filter_map(|(name, value)| Some((name.to_str()?, value?.to_str()?)))
        .map(|(name, value)| format!("{name}='{value}'"))
        .collect();
    words.push("cargo".to_owned());
    words.extend(
        command
            .get_args()
            .map(|word| word.to_string_lossy().into_owned()),
    );
    words.join(" ")
}
