//! `wrk` with a fixed chat body.

use super::cores::{self, LOAD};
use super::{CHAT, CLIENT_KEY, Outcome, chat_body};
use std::fs;
use std::net::SocketAddr;
use tempfile::TempDir;

/// Open connections.
pub const CONNECTIONS: u32 = 32;

/// What one run of it did.
#[derive(Clone, Copy, Debug)]
pub struct Run {
    /// Answers that came whole.
    pub requests: u64,
    /// Answers in a second, wall clock.
    pub rps: f64,
}

/// A script for one model.
#[derive(Debug)]
pub struct Wrk {
    dir: TempDir,
}

impl Wrk {
    /// Writes the script.
    ///
    /// # Errors
    /// Where there is no temporary folder.
    pub fn new(model: &str) -> Outcome<Self> {
        let failed = |error: std::io::Error| format!("wrk's folder: {error}");
        let dir = TempDir::with_prefix("coo-llm-wrk-").map_err(failed)?;
        let script = format!(
            "wrk.method = \"POST\"\nwrk.body = [[{}]]\n\
             wrk.headers[\"Content-Type\"] = \"application/json\"\n\
             wrk.headers[\"Authorization\"] = \"Bearer {CLIENT_KEY}\"\n",
            chat_body(model)
        );
        fs::write(dir.path().join("chat.lua"), script).map_err(failed)?;
        Ok(Self { dir })
    }

    /// Loads an address for some seconds.
    ///
    /// # Errors
    /// Where wrk fails, or any answer is not 200.
    pub fn run(&self, addr: SocketAddr, seconds: u32) -> Outcome<Run> {
        let output = cores::command_on(LOAD, "wrk")
            .args(["-t1", &format!("-c{CONNECTIONS}"), &format!("-d{seconds}s")])
            .arg("-s")
            .arg(self.dir.path().join("chat.lua"))
            .arg(format!("http://{addr}{CHAT}"))
            .output()
            .map_err(|error| format!("wrk: {error}"))?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        if text.contains("Non-2xx") || text.contains("Socket errors") {
            return Err(format!("wrk met errors:\n{text}"));
        }
        let word = |line: &str, at| line.split_whitespace().nth(at).map(str::to_owned);
        let find = |needle: &str| text.lines().find(|line| line.contains(needle));
        let requests = find("requests in").and_then(|line| word(line, 0)?.parse().ok());
        let rps = find("Requests/sec:").and_then(|line| word(line, 1)?.parse().ok());
        match (requests, rps) {
            (Some(requests), Some(rps)) if requests > 0 => Ok(Run { requests, rps }),
            _ => Err(format!("wrk said:\n{text}")),
        }
    }
}
