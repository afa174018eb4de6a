//! `cargo xtask mutants`: weakens the lock-free code of core, one place at a time, and
//! demands that a loom model fails. A model that passes every mutant proves nothing.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// A change that must be caught.
struct Mutant {
    file: &'static str,
    from: &'static str,
    to: &'static str,
    what: &'static str,
}

/// A model that a mutant hangs is one that caught it.
const RUN_TIME_MAX: Duration = Duration::from_secs(240);

const MUTANTS: &[Mutant] = &[
    Mutant {
        file: "flip.rs",
        from: "state.store(self.state + 1, Ordering::Release)",
        to: "state.store(self.state + 1, Ordering::Relaxed)",
        what: "the write before may look done before its cells are",
    },
    Mutant {
        file: "flip.rs",
        from: "state.store(self.state + 1, Ordering::Release);",
        to: "",
        what: "a write does not say that it has begun",
    },
    Mutant {
        file: "flip.rs",
        from: "self.barrier.light();",
        to: "",
        what: "the writer may look at the bank asked for before it says that it writes",
    },
    Mutant {
        file: "meter.rs",
        from: "self.inner.barrier.heavy();",
        to: "",
        what: "the reader may look for a write before it has asked",
    },
    Mutant {
        file: "flip.rs",
        from: "wanted.load(Ordering::Acquire)",
        to: "wanted.load(Ordering::Relaxed)",
        what: "the writer does not see that the bank it turns to was emptied",
    },
    Mutant {
        file: "flip.rs",
        from: "state.store(self.state, Ordering::Release)",
        to: "state.store(self.state, Ordering::Relaxed)",
        what: "a write may look done before its cells are",
    },
    Mutant {
        file: "flip.rs",
        from: "self.words.wanted.store(self.epoch, Ordering::Release)",
        to: "self.words.wanted.store(self.epoch, Ordering::Relaxed)",
        what: "the reader asks before it has emptied",
    },
    Mutant {
        file: "flip.rs",
        from: "self.words.wanted.store(self.epoch, Ordering::Release);",
        to: "",
        what: "the reader never asks",
    },
    Mutant {
        file: "flip.rs",
        from: "self.seen = state;",
        to: "self.seen = state + 2;",
        what: "the reader takes the next write for one that it has seen",
    },
    Mutant {
        file: "flip.rs",
        from: "self.words.state.load(Ordering::Acquire)",
        to: "self.words.state.load(Ordering::Relaxed)",
        what: "the reader takes a bank before its last write is seen",
    },
    Mutant {
        file: "flip.rs",
        from: "while found % 2 == 1 && state() == found",
        to: "while false && state() == found",
        what: "the reader does not wait for the write under way",
    },
    Mutant {
        file: "flip.rs",
        from: "Bank::of(self.epoch - 1)",
        to: "Bank::of(self.epoch)",
        what: "the reader takes the bank that is written",
    },
    Mutant {
        file: "table.rs",
        from: "row.iter().for_each(|cell| cell.store(0, Ordering::Relaxed));",
        to: "",
        what: "a bank is not emptied",
    },
    Mutant {
        file: "table.rs",
        from: "&bank.of_pair(&self.rows)[",
        to: "&self.rows[0][",
        what: "both banks are one",
    },
    Mutant {
        file: "table.rs",
        from: "touched.load(Ordering::Relaxed) | bit",
        to: "bit",
        what: "a row that is touched makes its neighbour forgotten",
    },
    Mutant {
        file: "octaves.rs",
        from: "count.store(0, Ordering::Relaxed);",
        to: "",
        what: "a cell is not emptied",
    },
    Mutant {
        file: "octaves.rs",
        from: "before | 1 << cell",
        to: "1 << cell",
        what: "a cell that is touched makes its neighbour forgotten",
    },
    Mutant {
        file: "octaves.rs",
        from: "sum.store(0, Ordering::Relaxed);",
        to: "",
        what: "a sum is not emptied",
    },
    Mutant {
        file: "chunks.rs",
        from: "self.len.store(at + 1, Ordering::Release)",
        to: "self.len.store(at + 1, Ordering::Relaxed)",
        what: "a list promises an item before it is there",
    },
    Mutant {
        file: "chunks.rs",
        from: "self.len.load(Ordering::Acquire)",
        to: "self.len.load(Ordering::Relaxed)",
        what: "a reader of a list does not see the item that was promised",
    },
    Mutant {
        file: "limiter/window.rs",
        from: "fence(Ordering::SeqCst);",
        to: "",
        what: "two workers do not see what the other takes",
    },
    Mutant {
        file: "limiter/window.rs",
        from: "own.store(old, Ordering::Relaxed);",
        to: "",
        what: "what was refused is not taken back",
    },
    Mutant {
        file: "limiter/spending.rs",
        from: "fence(Ordering::SeqCst);",
        to: "",
        what: "two workers do not see what the other reserves",
    },
    Mutant {
        file: "limiter/spending.rs",
        from: "self.reserved.load(Ordering::Acquire)",
        to: "self.reserved.load(Ordering::Relaxed)",
        what: "money that is settled is seen in neither word",
    },
    Mutant {
        file: "limiter/spending.rs",
        from: "own.reserved.store(left, Ordering::Release)",
        to: "own.reserved.store(left, Ordering::Relaxed)",
        what: "a reservation may be gone before its cost is there",
    },
    Mutant {
        file: "limiter/spending.rs",
        from: "self.spent.load(Ordering::Acquire)",
        to: "self.spent.load(Ordering::Relaxed)",
        what: "emptied money is taken for the old period's",
    },
    Mutant {
        file: "limiter/spending.rs",
        from: ".store(spent.saturating_add(cost), Ordering::Release)",
        to: ".store(spent.saturating_add(cost), Ordering::Relaxed)",
        what: "money of a new period may be there before the period",
    },
    Mutant {
        file: "limiter/spending.rs",
        from: "if newest == period {\n                break",
        to: "if true {\n                break",
        what: "a worker stays behind in a period that has ended",
    },
    Mutant {
        file: "sync.rs",
        from: "self.published.store(true, Ordering::Release)",
        to: "self.published.store(true, Ordering::Relaxed)",
        what: "a cell that is set once is read before it is set (the edge that std's has)",
    },
];

/// Runs all mutants and prints a line each.
///
/// # Errors
/// A mutant that no model caught, one whose text is not there once, or no cargo.
pub(crate) fn run(root: &Path, target: &Path) -> Result<(), String> {
    let copy = target.join("mutants");
    let folder = copy.join("tree");
    let mut survivors = Vec::new();
    for (at, mutant) in MUTANTS.iter().enumerate() {
        let source = root.join("core/src").join(mutant.file);
        let text = read(&source)?;
        // Tests and comments keep the original.
        let code_end = text.find("#[cfg(all(test").unwrap_or(text.len());
        let (code, tests) = text.split_at(code_end);
        if code.matches(mutant.from).count() != 1 {
            return Err(format!(
                "{}: {:?} is not there once",
                mutant.file, mutant.from
            ));
        }
        lay_out(root, &folder)?;
        let changed = code.replace(mutant.from, mutant.to) + tests;
        write(&folder.join("core/src").join(mutant.file), &changed)?;
        let begin = Instant::now();
        let verdict = models(&folder, &copy.join("target"))?;
        let seconds = begin.elapsed().as_secs();
        println!(
            "{:2} {:8} {seconds:3} s  {}: {}",
            at + 1,
            verdict,
            mutant.file,
            mutant.what
        );
        if verdict == "SURVIVED" || verdict == "no build" {
            survivors.push(mutant.what);
        }
    }
    println!(
        "{} mutants, {} caught",
        MUTANTS.len(),
        MUTANTS.len() - survivors.len()
    );
    if survivors.is_empty() {
        Ok(())
    } else {
        Err(format!("not caught: {}", survivors.join("; ")))
    }
}

/// Core alone, as a workspace of its own.
fn lay_out(root: &Path, folder: &Path) -> Result<(), String> {
    let sources = folder.join("core/src");
    std::fs::create_dir_all(&sources).map_err(|error| format!("{}: {error}", sources.display()))?;
    let manifest = read(&root.join("Cargo.toml"))?;
    let begin = manifest
        .find("[workspace.package]")
        .ok_or("no [workspace.package]")?;
    let end = manifest.find("\n[package]").ok_or("no [package]")?;
    let workspace = format!(
        "[workspace]\nresolver = \"3\"\nmembers = [\"core\"]\n\n{}",
        &manifest[begin..end]
    );
    write(&folder.join("Cargo.toml"), &workspace)?;
    for name in ["Cargo.lock", "core/Cargo.toml"] {
        write(&folder.join(name), &read(&root.join(name))?)?;
    }
    copy(&root.join("core/src"), &sources)
}

/// Copies a folder of sources, and those in it.
fn copy(from: &Path, to: &Path) -> Result<(), String> {
    let here = |error: std::io::Error| format!("{}: {error}", from.display());
    std::fs::create_dir_all(to).map_err(|error| format!("{}: {error}", to.display()))?;
    for entry in std::fs::read_dir(from).map_err(here)? {
        let path: PathBuf = entry.map_err(here)?.path();
        let Some(name) = path.file_name() else {
            continue;
        };
        let target = to.join(name);
        if path.is_dir() {
            copy(&path, &target)?;
        } else {
            write(&target, &read(&path)?)?;
        }
    }
    Ok(())
}

fn models(folder: &Path, target: &Path) -> Result<&'static str, String> {
    let cargo = |arguments: &[&str]| {
        let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        command
            .args(arguments)
            .current_dir(folder)
            .env("RUSTFLAGS", "--cfg loom")
            .env("CARGO_TARGET_DIR", target)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        command
    };
    let built = cargo(&[
        "test",
        "-q",
        "-p",
        "coo-llm-core",
        "--lib",
        "--release",
        "--no-run",
    ])
    .status();
    if !built
        .map_err(|error| format!("cargo does not run: {error}"))?
        .success()
    {
        return Ok("no build");
    }
    let mut child = cargo(&[
        "test",
        "-q",
        "-p",
        "coo-llm-core",
        "--lib",
        "--release",
        "loom",
    ])
    .spawn()
    .map_err(|error| format!("cargo does not run: {error}"))?;
    let begin = Instant::now();
    loop {
        match child.try_wait().map_err(|error| error.to_string())? {
            Some(status) if status.success() => return Ok("SURVIVED"),
            Some(_) => return Ok("caught"),
            None if begin.elapsed() > RUN_TIME_MAX => {
                child.kill().map_err(|error| error.to_string())?;
                child.wait().map_err(|error| error.to_string())?;
                return Ok("hangs");
            }
            None => std::thread::sleep(Duration::from_millis(200)),
        }
    }
}

fn read(path: &Path) -> Result<String, String> {
    std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))
}

fn write(path: &Path, text: &str) -> Result<(), String> {
    std::fs::write(path, text).map_err(|error| format!("{}: {error}", path.display()))
}
