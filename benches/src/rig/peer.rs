//! A program of someone else in front of the upstream, started and known to answer.

use super::process::Process;
use super::{CHAT, CLIENT_KEY, Outcome};
use coo_llm_tests::client::Client;
use std::fs::{self, File};
use std::net::SocketAddr;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// LiteLLM alone needs half a minute on a busy machine.
const START_MAX: Duration = Duration::from_secs(120);

/// A running proxy or gateway.
#[derive(Debug)]
pub struct Peer {
    /// Where it listens.
    pub addr: SocketAddr,
    /// Its process, which may have children.
    pub process: Process,
    /// Headers that its clients send.
    pub headers: Vec<(&'static str, String)>,
    dir: TempDir,
}

impl Peer {
    /// Starts the command and waits until the body gets a 200 there.
    ///
    /// # Errors
    /// Where it does not: the message ends with what it wrote.
    pub fn start(
        mut command: Command,
        dir: TempDir,
        addr: SocketAddr,
        headers: Vec<(&'static str, String)>,
        body: &str,
    ) -> Outcome<Self> {
        let failed = |error: std::io::Error| format!("a peer's folder: {error}");
        let log = File::create(dir.path().join("log")).map_err(failed)?;
        let errors = log.try_clone().map_err(failed)?;
        command.current_dir(dir.path()).stdin(Stdio::null());
        command.stdout(log).stderr(errors);
        let process = Process::start(&mut command)?;
        let mut peer = Self {
            addr,
            process,
            headers,
            dir,
        };
        let deadline = Instant::now() + START_MAX;
        loop {
            let said = peer.ask(body);
            if said.as_ref().is_ok_and(|(status, _)| *status == 200) {
                return Ok(peer);
            }
            let ended = peer.process.child().try_wait();
            if !matches!(ended, Ok(None)) || Instant::now() > deadline {
                let log = fs::read_to_string(peer.dir.path().join("log")).unwrap_or_default();
                let tail: Vec<&str> = log.lines().rev().take(12).collect();
                return Err(format!(
                    "{command:?} does not answer: {said:?}, {ended:?}: {tail:#?}"
                ));
            }
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// One request; its status and answer.
    fn ask(&self, body: &str) -> Outcome<(u16, String)> {
        let bearer = format!("Bearer {CLIENT_KEY}");
        let mut headers = vec![
            ("authorization", bearer.as_str()),
            ("content-type", "application/json"),
        ];
        headers.extend(
            self.headers
                .iter()
                .map(|(name, value)| (*name, value.as_str())),
        );
        let mut client = Client::new(self.addr);
        let reply = client
            .request("POST", CHAT, &headers, body.as_bytes())
            .map_err(|error| error.to_string())?;
        Ok((
            reply.status,
            String::from_utf8_lossy(&reply.body).into_owned(),
        ))
    }
}
