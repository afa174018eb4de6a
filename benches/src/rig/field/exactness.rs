//! Ours counts what the upstream served, whatever the load was.

use crate::rig::gateway::Gateway;
use crate::rig::load;
use crate::rig::upstream::{Served, Streams, Upstream};
use crate::rig::{CHAT, CLIENT_KEY, Outcome, stream_body};
use coo_llm_tests::client::Client;
use std::fmt;

/// Requests of the pass whose count must be exact, and streams of it.
const REQUESTS: u64 = 2_000;
const STREAMS: u64 = 200;

/// What was sent so far.
pub(super) struct Exactness {
    model: &'static str,
    /// Answers that came whole.
    whole: u64,
    /// Requests that may have been cut when a run ended.
    cut_max: u64,
    checks: u64,
    last: (u64, u64),
}

impl Exactness {
    pub(super) fn new(model: &'static str) -> Self {
        Self {
            model,
            whole: 0,
            cut_max: 0,
            checks: 0,
            last: (0, 0),
        }
    }

    /// A load is over that cuts what is under way.
    pub(super) fn ran(&mut self, whole: u64, connections: u32) {
        self.whole += whole;
        self.cut_max += u64::from(connections);
    }

    /// Every answer is in the ledger, everything of the ledger is counted, and no more than was sent.
    pub(super) fn check_bounds(&mut self, upstream: &mut Upstream, ours: &Gateway) -> Outcome<()> {
        let served = upstream.served(self.model)?.requests;
        let counted = ours.counted(served)?.requests;
        let sent_max = self.whole + self.cut_max;
        self.checks += 1;
        self.last = (served, counted);
        if (self.whole..=sent_max).contains(&served) && (served..=sent_max).contains(&counted) {
            return Ok(());
        }
        Err(format!(
            "answers {}, cut at most {}, ledger {served}, /metrics {counted}",
            self.whole, self.cut_max
        ))
    }

    /// Requests and streams that are read to their ends are counted to the unit, and so are their tokens.
    pub(super) fn check_whole(&mut self, upstream: &mut Upstream, ours: &Gateway) -> Outcome<()> {
        upstream.stream_by(Streams::USUAL)?;
        let before = (upstream.served(self.model)?, ours.counted(0)?);
        load::exact(ours.addr, self.model, REQUESTS)?;
        let bearer = format!("Bearer {CLIENT_KEY}");
        let headers = [("authorization", bearer.as_str())];
        let mut client = Client::new(ours.addr);
        for _ in 0..STREAMS {
            let body = stream_body(self.model);
            let reply = client.request("POST", CHAT, &headers, body.as_bytes());
            let reply = reply.map_err(|error| format!("a stream: {error}"))?;
            if reply.events().last().map(String::as_str) != Some("[DONE]") {
                return Err(format!("a stream of {} bytes", reply.body.len()));
            }
        }
        let sent = REQUESTS + STREAMS;
        self.whole += sent;
        let counted = ours.counted(before.1.requests + sent)?;
        let served = upstream.served(self.model)?;
        let more =
            |now: Served, then: Served| (now.requests - then.requests, now.tokens - then.tokens);
        let (by_ledger, by_gateway) = (more(served, before.0), more(counted, before.1));
        println!("exact: (requests, tokens) ledger {by_ledger:?}, /metrics {by_gateway:?}");
        if by_ledger != by_gateway || by_ledger.0 != sent {
            return Err("the gateway's count is not the ledger's".to_owned());
        }
        Ok(())
    }
}

impl fmt::Display for Exactness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            whole,
            cut_max,
            checks,
            last: (served, counted),
            ..
        } = self;
        write!(
            f,
            "{checks} comparisons; at the last: {whole} whole answers, at most {cut_max} cut, \
             ledger {served}, /metrics {counted}"
        )
    }
}
