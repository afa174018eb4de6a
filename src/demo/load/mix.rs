//! Which request comes next.

use coo_llm_config::Secret;
use http_body_util::Full;
use hyper::Request;
use hyper::body::Bytes;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE};
use std::net::SocketAddr;

/// A request, and how much of its answer is read.
pub(super) struct Send {
    pub(super) request: Request<Full<Bytes>>,
    /// Frames after which the client goes away.
    pub(super) reads_at_most: Option<u32>,
}

/// The kinds of the load with their shares in per cent.
const SHARES: [(Kind, u32); 9] = [
    (Kind::Chat, 38),
    (Kind::ChatLarge, 12),
    (Kind::Stream, 20),
    (Kind::StreamWithUsage, 10),
    (Kind::Embeddings, 15),
    (Kind::AbortedStream, 2),
    (Kind::UnknownModel, 1),
    (Kind::WrongKey, 1),
    (Kind::Malformed, 1),
];

#[derive(Clone, Copy)]
enum Kind {
    Chat,
    ChatLarge,
    Stream,
    StreamWithUsage,
    Embeddings,
    AbortedStream,
    UnknownModel,
    WrongKey,
    Malformed,
}

const PROMPTS: [&str; 4] = [
    "Summarise the ticket in one sentence.",
    "Translate to French: the invoice was paid on Tuesday.",
    "Write a haiku about a counter that is never wrong.",
    "Explain in simple terms why a histogram needs more than fourteen buckets, and give an example \
     with request latencies of a language model that streams its answer token by token.",
];

pub(super) struct Mix {
    target: SocketAddr,
    keys: Vec<Secret>,
    random: fastrand::Rng,
}

impl Mix {
    /// The same sequence at each run.
    pub(super) fn new(target: SocketAddr, keys: Vec<Secret>) -> Self {
        Self {
            target,
            keys,
            random: fastrand::Rng::with_seed(2906),
        }
    }

    pub(super) fn next(&mut self) -> Send {
        let kind = self.kind();
        let prompt = PROMPTS[self.random.usize(..PROMPTS.len())];
        let chat = |model: &str, more: &str| {
            format!(
                r#"{{"model":"{model}","messages":[{{"role":"user","content":"{prompt}"}}]{more}}}"#
            )
        };
        let stream = r#","stream":true"#;
        let (path, body) = match kind {
            Kind::Chat | Kind::WrongKey => ("chat/completions", chat("sim-small", "")),
            Kind::ChatLarge => ("chat/completions", chat("sim-large", "")),
            Kind::Stream | Kind::AbortedStream => ("chat/completions", chat("sim-large", stream)),
            Kind::StreamWithUsage => {
                let more = format!(r#"{stream},"stream_options":{{"include_usage":true}}"#);
                ("chat/completions", chat("sim-small", &more))
            }
            Kind::Embeddings => {
                let body = format!(r#"{{"model":"sim-embed","input":"{prompt}","dimensions":64}}"#);
                ("embeddings", body)
            }
            Kind::UnknownModel => ("chat/completions", chat("made-up-model", "")),
            Kind::Malformed => ("chat/completions", r#"{"model": "sim-small", "#.to_owned()),
        };
        // Some clients ask more than others.
        let client = self
            .random
            .usize(..self.keys.len())
            .min(self.random.usize(..self.keys.len()));
        let key = match kind {
            Kind::WrongKey => "sk-nobody",
            _ => self.keys[client].expose(),
        };
        let request = Request::post(format!("http://{}/v1/{path}", self.target))
            .header(CONTENT_TYPE, "application/json")
            .header(AUTHORIZATION, format!("Bearer {key}"))
            .body(Full::new(Bytes::from(body)))
            .expect("an address, a path and a generated key are valid");
        let reads_at_most = matches!(kind, Kind::AbortedStream).then_some(3);
        Send {
            request,
            reads_at_most,
        }
    }

    fn kind(&mut self) -> Kind {
        let mut at = self.random.u32(0..100);
        for (kind, share) in SHARES {
            if at < share {
                return kind;
            }
            at -= share;
        }
        Kind::Chat
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shares_are_per_cent() {
        assert_eq!(SHARES.iter().map(|(_, share)| share).sum::<u32>(), 100);
    }
}
