//! Who is measured.

use crate::rig::gateway::Gateway;
use crate::rig::nginx::Nginx;
use crate::rig::peer::Peer;
use crate::rig::upstream::Upstream;
use crate::rig::{Outcome, envoy, litellm, portkey, process};
use coo_llm_tests::resident::resident_bytes;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// Models by subject, of one length: the ledger tells subjects apart by them.
pub(super) const OURS: &str = "m-ours";
const DIRECT: &str = "m-dire";
const NGINX: &str = "m-ngnx";
const ENVOY: &str = "m-envy";
const LITELLM: &str = "m-lite";
const PORTKEY: &str = "m-port";

/// How long one may go on with what the last run left behind.
const REST_MAX: Duration = Duration::from_secs(30);

/// One of them, as a run sees it.
pub(super) struct Subject<'a> {
    pub(super) name: &'static str,
    pub(super) model: &'static str,
    pub(super) json: SocketAddr,
    pub(super) streams: SocketAddr,
    pub(super) headers: &'a [(&'static str, String)],
    /// The first of its processes; none where nothing is between.
    pub(super) pid: Option<u32>,
    /// Whether it answers some hundred requests a second.
    pub(super) is_slow: bool,
}

impl Subject<'_> {
    /// The processor time that it took so far.
    pub(super) fn cpu(&self) -> Outcome<Option<Duration>> {
        let of = if self.is_slow {
            process::family_cpu_ns // They start and end threads and processes.
        } else {
            process::cpu_ns
        };
        let ns = self.pid.map(of).transpose()?;
        Ok(ns.map(Duration::from_nanos))
    }

    pub(super) fn resident_bytes(&self) -> Option<u64> {
        self.pid.map(resident_bytes)
    }

    /// Waits until it is done with what a load left behind when it was cut.
    pub(super) fn rest(&self) -> Outcome<()> {
        const LOOK: Duration = Duration::from_millis(100);
        if !self.is_slow {
            return Ok(());
        }
        let deadline = Instant::now() + REST_MAX;
        let mut before = self.cpu()?;
        while Instant::now() < deadline {
            std::thread::sleep(LOOK);
            let now = self.cpu()?;
            let busy = now
                .zip(before)
                .map(|(now, before)| now.saturating_sub(before));
            if busy.is_none_or(|busy| busy < LOOK / 10) {
                return Ok(());
            }
            before = now;
        }
        println!(
            "{} is still busy with what was cut {REST_MAX:?} ago",
            self.name
        );
        Ok(())
    }
}

/// Those that are not ours; what did not come up stays with its reason.
pub(super) struct Started {
    nginx: Nginx,
    peers: [(&'static str, &'static str, Outcome<Peer>); 3],
}

impl Started {
    pub(super) fn start(upstream: &Upstream) -> Outcome<Self> {
        let addr: SocketAddr = upstream
            .addr
            .parse()
            .map_err(|error| format!("{}: {error}", upstream.addr))?;
        Ok(Self {
            nginx: Nginx::start(&upstream.addr)?,
            peers: [
                ("Envoy", ENVOY, envoy::start(addr, ENVOY)),
                ("LiteLLM", LITELLM, litellm::start(addr, LITELLM)),
                ("Portkey", PORTKEY, portkey::start(addr, PORTKEY)),
            ],
        })
    }

    pub(super) fn subjects<'a>(
        &'a self,
        ours: &Gateway,
        upstream: &Upstream,
    ) -> Outcome<Vec<Subject<'a>>> {
        let direct = upstream
            .addr
            .parse()
            .map_err(|error| format!("{}: {error}", upstream.addr))?;
        let plain = |name, model, addr, pid| Subject {
            name,
            model,
            json: addr,
            streams: addr,
            headers: &[],
            pid,
            is_slow: false,
        };
        let mut all = vec![
            plain("ours", OURS, ours.addr, Some(ours.process.pid())),
            plain("direct", DIRECT, direct, None),
            Subject {
                streams: self.nginx.streams,
                ..plain(
                    "nginx",
                    NGINX,
                    self.nginx.addr,
                    Some(self.nginx.process.pid()),
                )
            },
        ];
        for (name, model, peer) in &self.peers {
            match peer {
                Ok(peer) => all.push(Subject {
                    headers: &peer.headers,
                    is_slow: *model != ENVOY,
                    ..plain(name, model, peer.addr, Some(peer.process.pid()))
                }),
                Err(why) => println!("{name} is missing: {why}"),
            }
        }
        Ok(all)
    }

    /// Names those that did not take part.
    pub(super) fn missing(&self) -> Outcome<()> {
        let missing: Vec<&str> = self
            .peers
            .iter()
            .filter(|(.., peer)| peer.is_err())
            .map(|(name, ..)| *name)
            .collect();
        if missing.is_empty() {
            return Ok(());
        }
        Err(format!("not measured: {}", missing.join(", ")))
    }
}
