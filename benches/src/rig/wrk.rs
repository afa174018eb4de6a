//! `wrk` with a fixed body, and the latencies that it saw.

use super::cores::{self, LOAD};
use super::{CHAT, CLIENT_KEY, Outcome, chat_body};
use std::fmt::Write as _;
use std::fs;
use std::net::SocketAddr;
use tempfile::TempDir;

/// Open connections, unless another number is said.
pub const CONNECTIONS: u32 = 32;

/// What one run of it did.
#[derive(Clone, Copy, Debug)]
pub struct Run {
    /// Answers that came whole.
    pub requests: u64,
    /// Answers in a second, wall clock.
    pub rps: f64,
    /// Latency below which half, 99 % and 99.9 % of the answers lie, and the longest; microseconds.
    pub latency_us: [f64; 4],
}

/// A script for one body.
#[derive(Debug)]
pub struct Wrk {
    dir: TempDir,
    connections: u32,
}

/// Prints a line that is easier to read back than wrk's own.
const DONE: &str = r#"
done = function(summary, latency)
  local errors = summary.errors
  io.write(string.format("run %d %d %d %d %d %d %d\n", summary.requests, summary.duration,
    latency:percentile(50), latency:percentile(99), latency:percentile(99.9), latency.max,
    errors.connect + errors.read + errors.write + errors.status + errors.timeout))
end
"#;

impl Wrk {
    /// Writes the script of the fixed chat body, for one model.
    ///
    /// # Errors
    /// Where there is no temporary folder.
    pub fn new(model: &str) -> Outcome<Self> {
        Self::of(&chat_body(model), &[], CONNECTIONS)
    }

    /// Writes a script.
    ///
    /// # Errors
    /// Where there is no temporary folder.
    pub fn of(body: &str, headers: &[(&'static str, String)], connections: u32) -> Outcome<Self> {
        let failed = |error: std::io::Error| format!("wrk's folder: {error}");
        let dir = TempDir::with_prefix("coo-llm-wrk-").map_err(failed)?;
        let mut script = format!(
            "wrk.method = \"POST\"\nwrk.body = [[{body}]]\n\
             wrk.headers[\"Content-Type\"] = \"application/json\"\n\
             wrk.headers[\"Authorization\"] = \"Bearer {CLIENT_KEY}\"\n"
        );
        for (name, value) in headers {
            writeln!(script, "wrk.headers[\"{name}\"] = \"{value}\"")
                .expect("writing to a String cannot fail");
        }
        script.push_str(DONE);
        fs::write(dir.path().join("chat.lua"), script).map_err(failed)?;
        Ok(Self { dir, connections })
    }

    /// Loads an address for some seconds.
    ///
    /// # Errors
    /// Where wrk fails, any answer is not 200, or none comes.
    pub fn run(&self, addr: SocketAddr, seconds: u32) -> Outcome<Run> {
        let run = self.try_run(addr, seconds)?;
        if run.requests == 0 {
            return Err(format!("{addr} answered nothing in {seconds} s"));
        }
        Ok(run)
    }

    /// The same, where it may be that nothing is answered within that time.
    ///
    /// # Errors
    /// Where wrk fails, or any answer is not 200.
    pub fn try_run(&self, addr: SocketAddr, seconds: u32) -> Outcome<Run> {
        let output = cores::command_on(LOAD, "wrk")
            .args(["-t1", &format!("-c{}", self.connections)])
            .args([&format!("-d{seconds}s"), "--timeout", "60s"])
            .arg("-s")
            .arg(self.dir.path().join("chat.lua"))
            .arg(format!("http://{addr}{CHAT}"))
            .output()
            .map_err(|error| format!("wrk: {error}"))?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let line = text.lines().find_map(|line| line.strip_prefix("run "));
        let numbers: Option<Vec<u64>> =
            line.and_then(|line| line.split(' ').map(|word| word.parse().ok()).collect());
        match numbers.as_deref() {
            Some(&[requests, took_us, p50, p99, p999, max, 0]) if took_us > 0 => Ok(Run {
                requests,
                rps: requests as f64 * 1e6 / took_us as f64,
                latency_us: [p50, p99, p999, max].map(|us| us as f64),
            }),
            _ => Err(format!("wrk met errors:\n{text}")),
        }
    }
}
