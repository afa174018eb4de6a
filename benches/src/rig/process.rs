//! A child process that ends with its owner, and the processor time it took.

use super::Outcome;
use std::fs;
use std::process::{Child, Command};

/// A child that is killed and waited for when this is dropped.
#[derive(Debug)]
pub struct Process {
    child: Child,
}

impl Process {
    /// Starts it.
    ///
    /// # Errors
    /// Where it cannot be started.
    pub fn start(command: &mut Command) -> Outcome<Self> {
        match command.spawn() {
            Ok(child) => Ok(Self { child }),
            Err(error) => Err(format!("{}: {error}", command.get_program().display())),
        }
    }

    /// The child itself.
    pub fn child(&mut self) -> &mut Child {
        &mut self.child
    }

    /// Its process id. `taskset` replaces itself, so this is the program's own.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends SIGTERM and waits, so that it ends in order.
    ///
    /// # Errors
    /// Where it cannot be told.
    pub fn terminate(&mut self) -> Outcome<()> {
        let told = Command::new("kill").arg(self.pid().to_string()).status();
        told.map_err(|error| format!("kill: {error}"))?;
        let ended = self.child.wait();
        ended.map(drop).map_err(|error| format!("wait: {error}"))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Killing what has ended already is no failure.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Nanoseconds of processor time of a process, all its threads that still run, user and system.
///
/// From `/proc/PID/task/*/schedstat`, which counts nanoseconds where `stat` counts ticks of 10 ms.
///
/// # Errors
/// Where the process is gone or the kernel does not say.
pub fn cpu_ns(pid: u32) -> Outcome<u64> {
    let folder = format!("/proc/{pid}/task");
    let tasks = fs::read_dir(&folder).map_err(|error| format!("{folder}: {error}"))?;
    let mut sum = 0;
    for task in tasks {
        let file = task
            .map_err(|error| error.to_string())?
            .path()
            .join("schedstat");
        let text = fs::read_to_string(&file);
        let text = text.map_err(|error| format!("{}: {error}", file.display()))?;
        let first = text.split_whitespace().next().unwrap_or_default();
        let ns: u64 = first
            .parse()
            .map_err(|_| format!("{}: {text:?}", file.display()))?;
        sum += ns;
    }
    Ok(sum)
}

/// The kernel counts processor time for `stat` in hundredths of a second.
const NS_A_TICK: u64 = 10_000_000;

/// The same, of a process and all that descend from it, threads that have ended included.
///
/// From `/proc/PID/stat`, so by ticks of 10 ms.
///
/// # Errors
/// Where the process is gone or the kernel does not say.
pub fn family_cpu_ns(pid: u32) -> Outcome<u64> {
    let file = format!("/proc/{pid}/stat");
    let text = fs::read_to_string(&file).map_err(|error| format!("{file}: {error}"))?;
    // The name may have spaces; behind it user and system time are the 12th and 13th word, and
    // those of children that were waited for the next two.
    let (_, rest) = text
        .rsplit_once(')')
        .ok_or_else(|| format!("{file}: {text:?}"))?;
    let words = rest.split_whitespace().skip(11).take(4);
    let ticks: Vec<u64> = words.filter_map(|word| word.parse().ok()).collect();
    if ticks.len() != 4 {
        return Err(format!("{file}: {text:?}"));
    }
    let mut sum = ticks.iter().sum::<u64>() * NS_A_TICK;
    for child in children(pid) {
        // A child may end meanwhile.
        sum += family_cpu_ns(child).unwrap_or_default();
    }
    Ok(sum)
}

fn children(pid: u32) -> Vec<u32> {
    let Ok(tasks) = fs::read_dir(format!("/proc/{pid}/task")) else {
        return Vec::new();
    };
    let lists = tasks.flatten().filter_map(|task| {
        let list = fs::read_to_string(task.path().join("children"));
        list.ok()
    });
    let parse = |list: String| -> Vec<u32> {
        list.split_whitespace()
            .filter_map(|word| word.parse().ok())
            .collect()
    };
    lists.flat_map(parse).collect()
}
