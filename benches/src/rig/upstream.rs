//! The upstream in a process of its own, which can be asked for its ledger.

use super::Outcome;
use super::cores::{self, LOAD};
use super::process::Process;
use coo_llm_tests::upstream::Upstream as Server;
use std::io::{BufRead, BufReader, Write};
use std::process::{ChildStdin, ChildStdout, Stdio};

/// What the upstream served for a model.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Served {
    /// Requests, those that a peer cut included.
    pub requests: u64,
    /// Tokens of all kinds.
    pub tokens: u64,
}

/// The body of the child process: prints its address, then its ledger for each line it reads.
///
/// # Errors
/// Where its pipes break.
pub fn serve() -> std::io::Result<()> {
    let upstream = Server::builder().totals_only().start();
    let mut out = std::io::stdout().lock();
    writeln!(out, "{}", upstream.addr())?;
    for line in std::io::stdin().lock().lines() {
        let model = line?;
        let ledger = upstream.ledger();
        let of_model = ledger.totals.iter().filter(|((m, ..), _)| *m == model);
        let sum = of_model.fold(Served::default(), |sum, (_, totals)| Served {
            requests: sum.requests + totals.requests,
            tokens: sum.tokens + totals.tokens.by_type().iter().map(|(_, n)| n).sum::<u64>(),
        });
        writeln!(out, "{} {}", sum.requests, sum.tokens)?;
    }
    Ok(())
}

/// The upstream's process.
#[derive(Debug)]
pub struct Upstream {
    /// Its address, host and port.
    pub addr: String,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    _process: Process,
}

impl Upstream {
    /// Starts this executable's `upstream` mode on the core of the load.
    ///
    /// # Errors
    /// Where it does not start.
    pub fn start() -> Outcome<Self> {
        let this = std::env::current_exe().map_err(|error| error.to_string())?;
        let mut command = cores::command_on(LOAD, &this.to_string_lossy());
        command
            .arg("upstream")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        let mut process = Process::start(&mut command)?;
        let pipe = "a pipe that was asked for is there";
        let input = process.child().stdin.take().expect(pipe);
        let output = BufReader::new(process.child().stdout.take().expect(pipe));
        let mut upstream = Self {
            addr: String::new(),
            input,
            output,
            _process: process,
        };
        upstream.addr = upstream.line()?;
        Ok(upstream)
    }

    fn line(&mut self) -> Outcome<String> {
        let mut line = String::new();
        match self.output.read_line(&mut line) {
            Ok(0) => Err("the upstream ended".to_owned()),
            Ok(_) => Ok(line.trim_end().to_owned()),
            Err(error) => Err(format!("the upstream: {error}")),
        }
    }

    /// What it served for a model so far.
    ///
    /// # Errors
    /// Where it is gone.
    pub fn served(&mut self, model: &str) -> Outcome<Served> {
        let sent = writeln!(self.input, "{model}").and_then(|()| self.input.flush());
        sent.map_err(|error| format!("the upstream: {error}"))?;
        let line = self.line()?;
        let mut numbers = line.split(' ').map(str::parse);
        match (numbers.next(), numbers.next()) {
            (Some(Ok(requests)), Some(Ok(tokens))) => Ok(Served { requests, tokens }),
            _ => Err(format!("the upstream said {line:?}")),
        }
    }
}
