//! What clients do all day: short answers, streams, some that leave early, some that err.

use crate::client::Client;
use crate::upstream::{Fault, Script};
use serde_json::{Value, json};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

const CHAT: &str = "/v1/chat/completions";

/// Requests that were sent, each of which a gateway has to count once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sent {
    /// Short answers, read whole.
    pub json: u64,
    /// Streams, read whole.
    pub streams: u64,
    /// Streams that the client left in the middle.
    pub aborted: u64,
    /// Requests that were refused, or that the provider failed.
    pub failed: u64,
}

impl Sent {
    /// All of them.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.json + self.streams + self.aborted + self.failed
    }

    fn plus(self, other: Self) -> Self {
        Self {
            json: self.json + other.json,
            streams: self.streams + other.streams,
            aborted: self.aborted + other.aborted,
            failed: self.failed + other.failed,
        }
    }
}

/// One connection after the other does its turn until it is told to stop.
type Turn = fn(&mut Caller, u64) -> io::Result<Sent>;

/// How many threads do what.
const CREW: [(usize, Turn); 4] = [(2, json), (2, stream), (2, leave), (1, err)];

/// A load that goes on until it is stopped.
#[derive(Debug)]
pub struct MixedLoad {
    is_over: Arc<AtomicBool>,
    threads: Vec<JoinHandle<io::Result<Sent>>>,
}

impl MixedLoad {
    /// Starts it. `model` is served by an [`Upstream`](crate::upstream::Upstream).
    ///
    /// # Panics
    /// If there is no thread to have.
    #[must_use]
    pub fn start(addr: SocketAddr, key: &str, model: &str) -> Self {
        let is_over = Arc::new(AtomicBool::new(false));
        let one = |turn: Turn| {
            let is_over = Arc::clone(&is_over);
            let mut caller = Caller::new(addr, key, model);
            let thread = std::thread::Builder::new().name("mixed-load".to_owned());
            let thread = thread.spawn(move || {
                let mut sent = Sent::default();
                let mut at = 0;
                // Relaxed: nothing else is read because of it.
                while !is_over.load(Ordering::Relaxed) {
                    sent = sent.plus(turn(&mut caller, at)?);
                    at += 1;
                }
                Ok(sent)
            });
            thread.expect("a thread for the load")
        };
        let crew = CREW
            .iter()
            .flat_map(|(threads, turn)| std::iter::repeat_n(*turn, *threads));
        let threads = crew.map(one).collect();
        Self { is_over, threads }
    }

    /// Stops it after the turns that are under way.
    ///
    /// # Errors
    /// Where an answer was not what its turn expects.
    ///
    /// # Panics
    /// If a thread of it did.
    pub fn stop(self) -> io::Result<Sent> {
        self.is_over.store(true, Ordering::Relaxed);
        let mut sent = Sent::default();
        for thread in self.threads {
            sent = sent.plus(thread.join().expect("a turn does not panic")?);
        }
        Ok(sent)
    }
}

/// A connection and what goes over it.
struct Caller {
    client: Client,
    bearer: String,
    model: String,
}

impl Caller {
    fn new(addr: SocketAddr, key: &str, model: &str) -> Self {
        Self {
            client: Client::new(addr),
            bearer: format!("Bearer {key}"),
            model: model.to_owned(),
        }
    }

    fn body(&self, is_stream: bool, script: &Script) -> Value {
        json!({
            "model": self.model,
            "messages": [{"role": "user", "content": "Say hello."}],
            "stream": is_stream,
            "upstream": script,
        })
    }

    fn send(&mut self, body: &str) -> io::Result<()> {
        let headers = [
            ("authorization", self.bearer.as_str()),
            ("content-type", "application/json"),
        ];
        self.client.send("POST", CHAT, &headers, body.as_bytes())
    }

    /// One request; an answer with another status is an error.
    fn ask(&mut self, body: &str, status: u16) -> io::Result<()> {
        self.send(body)?;
        let reply = self.client.read()?;
        if reply.status == status {
            return Ok(());
        }
        let text = String::from_utf8_lossy(&reply.body);
        let said = format!("{} instead of {status}: {text}", reply.status);
        Err(io::Error::other(said))
    }
}

fn json(caller: &mut Caller, at: u64) -> io::Result<Sent> {
    let script = Script {
        // A few are long enough to take more than one read.
        pad_bytes: if at.is_multiple_of(16) { 100_000 } else { 0 },
        ..Script::default()
    };
    let body = caller.body(false, &script).to_string();
    caller.ask(&body, 200)?;
    Ok(Sent {
        json: 1,
        ..Sent::default()
    })
}

fn stream(caller: &mut Caller, at: u64) -> io::Result<Sent> {
    let script = Script {
        chunks: 50,
        // Some come as models send them, most as fast as they can.
        chunk_delay_ms: u64::from(at.is_multiple_of(8)),
        ..Script::default()
    };
    let body = caller.body(true, &script).to_string();
    caller.ask(&body, 200)?;
    Ok(Sent {
        streams: 1,
        ..Sent::default()
    })
}

/// Reads the first piece of a long stream and goes.
fn leave(caller: &mut Caller, _: u64) -> io::Result<Sent> {
    let script = Script {
        chunks: 200,
        chunk_delay_ms: 5,
        ..Script::default()
    };
    let body = caller.body(true, &script).to_string();
    caller.send(&body)?;
    caller.client.read_head()?;
    caller.client.read_piece()?;
    caller.client.hang_up();
    Ok(Sent {
        aborted: 1,
        ..Sent::default()
    })
}

fn err(caller: &mut Caller, at: u64) -> io::Result<Sent> {
    let failing = |script: Script| caller.body(false, &script).to_string();
    let with_status = |status| Script {
        status: Some(status),
        ..Script::default()
    };
    let (body, status) = match at % 4 {
        0 => ("{".to_owned(), 400),
        1 => (failing(with_status(400)), 400),
        2 => (failing(with_status(500)), 500),
        _ => {
            let script = Script {
                fault: Some(Fault::CloseBeforeHeaders),
                ..Script::default()
            };
            (failing(script), 502)
        }
    };
    caller.ask(&body, status)?;
    Ok(Sent {
        failed: 1,
        ..Sent::default()
    })
}
