//! An SDK's calls, each made twice: directly, and through the gateway.
//!
//! The program is one of `python/` that ends with `twice.serve`. What it saw on both ways
//! has to be equal, so have the requests that arrived; and what the upstream's ledger has
//! of the calls through the gateway has to be in `/metrics`, to the unit.

use crate::oracle::{Event, Oracle, Target, key_id};
use crate::python;
use crate::rig::{CLIENT, CLIENT_KEY, DIRECT_KEY, PRICING, PROVIDER_KEY, Rig};
use crate::upstream::{End, Fault, Kind, Script, Served, TokenCounts};
use serde_json::Value;
use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

/// Bytes that the gateway takes for a token where no usage comes; docs/adr/0007.
const BYTES_PER_TOKEN: u64 = 4;

/// A running program of cases.
pub struct Sdk<'a> {
    rig: &'a Rig,
    provider: &'static str,
    oracle: Oracle,
    child: Child,
    lines: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl<'a> Sdk<'a> {
    /// Starts a program; `base` ends the base URLs, and its calls go to `provider`.
    ///
    /// # Panics
    /// If it does not start.
    #[must_use]
    pub fn start(rig: &'a Rig, program: &[&str], base: &str, provider: &'static str) -> Self {
        let [file, arguments @ ..] = program else {
            unreachable!("a program has a file");
        };
        let mut child = Command::new(python::interpreter())
            .arg(python::script(file))
            .args(arguments)
            .args([&format!("http://{}{base}", rig.upstream.addr()), DIRECT_KEY])
            .args([&format!("http://{}{base}", rig.gateway.addr()), CLIENT_KEY])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the interpreter runs");
        Self {
            rig,
            provider,
            oracle: Oracle::default(),
            lines: child.stdin.take().expect("it is piped"),
            answers: BufReader::new(child.stdout.take().expect("it is piped")),
            child,
        }
    }

    /// Makes a call twice, and says what was seen both times. `None` leaves it to each
    /// request to bring its script.
    ///
    /// # Panics
    /// If the two differ, or what they asked of the upstream.
    pub fn same(&mut self, case: &str, script: Option<&Script>) -> Value {
        let [direct, through] = self.observe(case, script);
        assert_eq!(direct, through, "{case}");
        direct
    }

    /// The same, of a call that succeeds.
    ///
    /// # Panics
    /// As [`Sdk::same`], or if it fails.
    pub fn saw(&mut self, case: &str, script: &Script) -> Value {
        let mut seen = self.same(case, Some(script));
        assert!(seen.get("error").is_none(), "{case}: {seen}");
        seen["saw"].take()
    }

    /// Makes a call twice, and says what was seen directly and through the gateway.
    ///
    /// # Panics
    /// If the requests differ that arrived at the upstream.
    pub fn observe(&mut self, case: &str, script: Option<&Script>) -> [Value; 2] {
        let upstream = &self.rig.upstream;
        let before = upstream.ledger().served.len();
        upstream.key_by(DIRECT_KEY, script.cloned());
        upstream.key_by(PROVIDER_KEY, script.cloned());
        writeln!(self.lines, "{case}").expect("the program reads");
        let mut line = String::new();
        let read = self.answers.read_line(&mut line);
        read.expect("the program writes lines");
        let pair = serde_json::from_str(&line);
        let pair = pair.unwrap_or_else(|why| unreachable!("{case}: {why}: {line:?}"));
        upstream.wait("the end of what was asked", |ledger| {
            let mut new = ledger.served[before..].iter();
            new.all(|served| served.end != End::Open)
        });
        let ledger = upstream.ledger();
        let new = &ledger.served[before..];
        // The gateway lists models by itself.
        let (listed, new): (Vec<_>, Vec<_>) =
            new.iter().partition(|served| served.kind == Kind::Models);
        for served in listed {
            self.oracle.record(&own(served.status));
        }
        let of_key = |key| new.iter().copied().filter(move |served| served.key == key);
        let (mut direct, mut through) = (asked(of_key(DIRECT_KEY)), asked(of_key(PROVIDER_KEY)));
        if let Some(Script { gate: None, .. }) | None = script {
            // In which order requests at a time arrive is chance.
            direct.sort();
            through.sort();
        }
        assert!(direct == through, "{case}: what was asked differs");
        for served in of_key(PROVIDER_KEY) {
            // The client's bytes are those of the direct call.
            let alone = of_key(DIRECT_KEY)
                .next()
                .map_or(0, |alone| alone.body.len());
            self.expect(served, script.unwrap_or(&Script::default()), alone as u64);
        }
        pair
    }

    /// Tells the oracle what one request through the gateway has to count as.
    fn expect(&mut self, served: &Served, script: &Script, asked_bytes: u64) {
        let fault = script.fault;
        let error = match (script.status, fault, served.end) {
            (Some(429), ..) => Some("rate_limit"),
            (Some(400..500), ..) => Some("upstream_4xx"),
            (Some(_), ..) | (_, Some(Fault::ErrorEvent), _) => Some("upstream_5xx"),
            (_, _, End::CutByPeer) => Some("client_abort"),
            (_, _, End::CutByScript) => Some("upstream_protocol"),
            _ => None,
        };
        let is_counted = served.kind != Kind::CountTokens && script.status.is_none();
        let (tokens, source) = match error {
            _ if !is_counted => (None, None),
            None => {
                assert!(served.tokens.is_some(), "the gateway asks for usage");
                (served.tokens, Some("provider"))
            }
            Some(_) if served.sent.is_empty() => (None, Some("missing")),
            Some(_) => (
                Some(delivered(served, script, asked_bytes)),
                Some("estimated"),
            ),
        };
        let event = Event {
            target: Some(Target {
                provider: self.provider.to_owned(),
                model: served.model.clone(),
                key: key_id(self.provider, PROVIDER_KEY),
            }),
            client: Some(CLIENT.to_owned()),
            tokens,
            pricing: Some(PRICING),
            error,
            provider_limited: error == Some("rate_limit"),
        };
        self.oracle.record_from(&event, source);
    }

    /// Tells the oracle of a call that the gateway refused by itself; `None` is no client.
    pub fn refused(&mut self, client: Option<&str>, error: &'static str) {
        self.oracle.record(&Event {
            client: client.map(ToOwned::to_owned),
            error: Some(error),
            ..own(200)
        });
    }

    /// Ends the program and compares `/metrics` with the ledger.
    ///
    /// # Panics
    /// If they differ by a unit, or the program fails.
    pub fn assert_metered(self) {
        let Self {
            rig,
            oracle,
            mut child,
            lines,
            ..
        } = self;
        drop(lines);
        let ended = child.wait().expect("our own child");
        assert!(ended.success(), "the program ended with {ended}");
        assert!(oracle.requests() > 0, "nothing was asked");
        let page = rig.gateway.metrics_after(oracle.requests());
        assert_eq!(oracle.differences(&page), Vec::<String>::new());
    }
}

/// What a request to the gateway's own list of models counts as.
fn own(status: u16) -> Event {
    Event {
        target: None,
        client: Some(CLIENT.to_owned()),
        tokens: None,
        pricing: None,
        error: (status >= 400).then_some("invalid_request"),
        provider_limited: false,
    }
}

/// What an answer that broke off has delivered: a token a delta, or for each four bytes where
/// it is no stream; and of the input what the first usage says, or a token for each four bytes.
fn delivered(served: &Served, script: &Script, asked_bytes: u64) -> TokenCounts {
    let chunks = u64::from(served.chunks_delivered);
    if served.kind == Kind::Message {
        let known = TokenCounts::from_usage(&script.usage);
        return TokenCounts {
            // A thought is one delta more.
            output: chunks + u64::from(script.usage.reasoning > 0),
            reasoning: 0,
            ..known
        };
    }
    let bytes = served.sent.len() as u64;
    TokenCounts {
        input: asked_bytes.div_ceil(BYTES_PER_TOKEN),
        output: if served.stream {
            chunks
        } else {
            bytes.div_ceil(BYTES_PER_TOKEN)
        },
        ..TokenCounts::default()
    }
}

/// The requests, without what the gateway adds to a stream's so that usage comes.
fn asked<'a>(served: impl Iterator<Item = &'a Served>) -> Vec<Vec<u8>> {
    let path = |served: &Served| served.path.clone().into_bytes();
    let body = |served: &Served| {
        if !served.stream || !matches!(served.kind, Kind::Chat | Kind::Completion) {
            return served.body.to_vec();
        }
        let mut body: Value = serde_json::from_slice(&served.body).expect("SDKs send JSON");
        if let Some(fields) = body.as_object_mut() {
            fields.remove("stream_options");
        }
        body.to_string().into_bytes()
    };
    served.map(|s| [path(s), body(s)].join(&b' ')).collect()
}
