//! The upstream in a process of its own, which can be asked for its ledger.

use super::Outcome;
use super::cores::{self, LOAD};
use super::process::Process;
use super::{CLIENT_KEY, PROVIDER_KEY};
use coo_llm_tests::upstream::{Script, Upstream as Server};
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
        if let Some(streams) = Streams::parse(&model) {
            // By either key: a proxy passes the client's on.
            for key in [CLIENT_KEY, PROVIDER_KEY] {
                upstream.key_by(key, streams.script());
            }
            writeln!(out, "set")?;
            continue;
        }
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

/// How the upstream answers where a stream is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Streams {
    /// Chunks with content; 0 for the usual few, and for the quickest answers without a stream.
    pub chunks: u32,
    /// Pause between two of them; without one they come as fast as they are taken.
    pub pause_ms: u64,
}

impl Streams {
    /// The usual few.
    pub const USUAL: Self = Self::of(0);

    /// So many, as fast as they are taken.
    #[must_use]
    pub const fn of(chunks: u32) -> Self {
        Self {
            chunks,
            pause_ms: 0,
        }
    }

    /// As the two processes tell each other.
    fn line(self) -> String {
        format!("streams {} {}", self.chunks, self.pause_ms)
    }

    fn parse(line: &str) -> Option<Self> {
        let (chunks, pause_ms) = line.strip_prefix("streams ")?.split_once(' ')?;
        Some(Self {
            chunks: chunks.parse().ok()?,
            pause_ms: pause_ms.parse().ok()?,
        })
    }

    fn script(self) -> Option<Script> {
        (self.chunks > 0).then(|| Script {
            chunks: self.chunks,
            chunk_delay_ms: self.pause_ms,
            ..Script::default()
        })
    }
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

    /// Sets how it streams from now on.
    ///
    /// # Errors
    /// Where it is gone.
    pub fn stream_by(&mut self, streams: Streams) -> Outcome<()> {
        let sent = writeln!(self.input, "{}", streams.line()).and_then(|()| self.input.flush());
        sent.map_err(|error| format!("the upstream: {error}"))?;
        match self.line()?.as_str() {
            "set" => Ok(()),
            line => Err(format!("the upstream said {line:?}")),
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
