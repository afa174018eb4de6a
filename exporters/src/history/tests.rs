//! The history against a list of everything that happened.

mod archive;
mod clock;
mod damage;
mod days;
mod each_client;
mod full_disk;
mod replay;
mod retention;
mod sealed;

use super::*;
use coo_llm_core::catalog::{ClientId, Route};
use coo_llm_core::record::{Endpoint, Record, Tokens, UsageSource};
use coo_llm_core::snapshot::Totals;
use coo_llm_core::{Micros, NanoUsd, ShardWriter};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicU32, Ordering};

/// A Tuesday in 2023, at a full hour.
const T0_S: u64 = 1_699_999_200;
const DAY_S: u64 = 86_400;

const ROUTES: [(&str, &str, &str); 6] = [
    ("openai", "gpt-4o", "openai-1"),
    ("openai", "gpt-4o", "openai-2"),
    ("openai", "o3", "openai-1"),
    ("groq", "gpt-4o", "groq-1"),
    ("groq", "llama", "groq-1"),
    ("none", "none", "none"),
];

/// A folder that goes when the test ends.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let n = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("coo-llm-history-{}-{n}", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&path).expect("a temporary folder");
        Self(path)
    }

    fn history(&self) -> PathBuf {
        self.0.join("data").join("history.db")
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _best_effort = std::fs::remove_dir_all(&self.0);
    }
}

/// What happened, in the plainest form.
#[derive(Clone, Debug)]
struct Done {
    at_s: u64,
    route: usize,
    client: u32,
    latency: u64,
    tokens: Tokens,
    cost: Option<u64>,
    error: Option<ErrorType>,
}

impl Done {
    fn random(random: &mut Random, at_s: u64, clients: u32) -> Self {
        let few = |random: &mut Random| {
            if random.below(8) == 0 {
                random.below(500)
            } else {
                0
            }
        };
        Self {
            at_s,
            route: random.below(ROUTES.len() as u64) as usize,
            client: random
                .below(clients.into())
                .min(random.below(clients.into())) as u32,
            // Pareto with an exponent of 1.2 from 20 ms: heavy-tailed.
            latency: (20_000.0 / random.fraction().powf(1.0 / 1.2)) as u64,
            tokens: Tokens {
                input: random.below(4000),
                output: random.below(900),
                cached_input: few(random),
                cache_write: few(random),
                reasoning: few(random),
                audio_input: few(random),
                audio_output: few(random),
            },
            cost: (random.below(10) > 0).then(|| random.below(90_000_000)),
            error: (random.below(12) == 0)
                .then(|| ErrorType::ALL[random.below(ErrorType::ALL.len() as u64) as usize]),
        }
    }
}

/// SplitMix64 (Steele, Lea, Flood 2014): the same numbers each run.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }

    /// In (0, 1].
    fn fraction(&mut self) -> f64 {
        ((self.next() >> 11) + 1) as f64 / (1u64 << 53) as f64
    }
}

/// A history, its meter, and the list of what happened.
struct Rig {
    writer: ShardWriter,
    routes: Vec<Route>,
    clients: Vec<ClientId>,
    history: History,
    done: Vec<Done>,
    now: UnixMillis,
}

fn options(path: &Path) -> Options {
    Options {
        path: path.to_owned(),
        retention: [DAY_S, 30 * DAY_S, 730 * DAY_S].map(Duration::from_secs),
        spool_bytes_max: 1 << 30,
    }
}

impl Rig {
    fn try_open(path: &Path, now: UnixMillis, clients: u32) -> Result<Self, HistoryError> {
        let meter = Meter::with_pairs(10_000);
        let catalog = meter.catalog();
        let routes = ROUTES.iter().map(|(p, m, k)| catalog.route(p, m, k));
        let routes = routes.collect();
        let clients = (0..clients).map(|n| catalog.client(&format!("client-{n}")));
        let clients = clients.collect();
        Ok(Self {
            history: History::open(&options(path), meter.clone(), now)?,
            writer: meter.writer(),
            routes,
            clients,
            done: Vec::new(),
            now,
        })
    }

    fn open(path: &Path, now_s: u64) -> Self {
        Self::try_open(path, UnixMillis(now_s * 1000), 8).expect("a history")
    }

    /// Starts again with the same file, as another process would.
    fn restart(self, path: &Path) -> Self {
        let Self {
            history,
            done,
            now,
            clients,
            ..
        } = self;
        drop(history);
        let again = Self::try_open(path, now, clients.len() as u32).expect("the same history");
        Self { done, ..again }
    }

    /// Lets time pass, as the thread that drains each second does.
    fn pass_to(&mut self, at_s: u64) {
        self.now = self.now.max(UnixMillis(at_s * 1000));
        self.history.drain(self.now);
    }

    fn record(&mut self, done: Done) {
        self.pass_to(done.at_s);
        self.record_now(done);
    }

    fn record_now(&mut self, done: Done) {
        let route = self.routes[done.route];
        let client = self.clients[done.client as usize];
        let finished = UnixMillis(done.at_s * 1000);
        let latency = Micros(done.latency);
        self.writer.record(&Record {
            tokens: done.tokens,
            cost: done.cost.map(NanoUsd),
            usage: Some(UsageSource::Provider),
            error: done.error,
            ..Record::new(route, client, Endpoint::ChatCompletions, finished, latency)
        });
        self.done.push(done);
    }

    fn flush(&self) -> Result<(), HistoryError> {
        self.history.flush(self.now)
    }

    fn ask(&self, query: &Query) -> Answer {
        self.history.query(query, self.now).expect("an answer")
    }

    fn all(&self) -> Query {
        Query {
            window: Window {
                start_s: 0,
                end_s: u64::MAX,
            },
            step_s: None,
            filter: Filter::default(),
            group_by: Vec::new(),
        }
    }

    fn requests(&self) -> u64 {
        let groups = self.ask(&self.all()).groups;
        let points = groups.iter().flat_map(|group| &group.points);
        points.map(|(_, usage)| usage.totals.requests).sum()
    }

    /// Demands that an answer is what the list says.
    fn check(&self, query: &Query) {
        let answer = self.ask(query);
        let Window { start_s, end_s } = answer.window;
        let mut expected: BTreeMap<(Vec<String>, u64), (Totals, Vec<u64>)> = BTreeMap::new();
        for done in &self.done {
            if !(start_s..end_s).contains(&done.at_s) || !fits(&query.filter, done) {
                continue;
            }
            let names = query.group_by.iter().map(|d| name(*d, done)).collect();
            let step = query.step_s.map(|step| step.next_multiple_of(10));
            let point = step.map_or(start_s, |step| {
                start_s + (done.at_s - start_s) / step * step
            });
            let (totals, latencies) = expected.entry((names, point)).or_default();
            *totals = totals.plus(&Totals {
                requests: 1,
                errors: u64::from(done.error.is_some()),
                tokens: done.tokens,
                cost: NanoUsd(done.cost.unwrap_or(0)),
                unpriced: u64::from(done.cost.is_none()),
                last_request: Some(UnixMillis(done.at_s * 1000)),
            });
            latencies.push(done.latency.min(u32::MAX.into()));
        }
        let mut left = expected.len();
        for group in &answer.groups {
            for (point, usage) in &group.points {
                let names: Vec<_> = group.names.iter().map(ToString::to_string).collect();
                let key = (names, *point);
                let (totals, latencies) = expected.get_mut(&key).expect("a group of the list");
                left -= 1;
                assert_eq!(usage.totals, *totals, "{query:?} {key:?}");
                assert_eq!(usage.latency.sum().0, latencies.iter().sum::<u64>());
                latencies.sort_unstable();
                for q in [0.5, 0.95, 0.99] {
                    let rank = (q * latencies.len() as f64).ceil() as usize;
                    let exact = latencies[rank.max(1) - 1] as f64;
                    let have = usage.latency.quantile_us(q).expect("latencies");
                    assert!((have - exact).abs() <= 0.004 * exact, "{have} for {exact}");
                }
            }
        }
        assert_eq!(left, 0, "{query:?} lacks groups");
    }

    fn check_clients(&self, window: Window) {
        let (window, found) = self.history.clients(window, self.now).expect("an answer");
        let within = |done: &&Done| (window.start_s..window.end_s).contains(&done.at_s);
        let clients: BTreeSet<_> = self.done.iter().filter(within).map(|d| d.client).collect();
        assert_eq!(found, clients.len() as u64, "{window:?}");
    }

    fn check_errors(&self, window: Window) {
        let (window, found) = self.history.errors(window, self.now).expect("an answer");
        let mut expected: BTreeMap<(String, String), u64> = BTreeMap::new();
        for done in &self.done {
            if let Some(error) = done.error
                && (window.start_s..window.end_s).contains(&done.at_s)
            {
                let key = (name(Dimension::Provider, done), error.as_str().to_owned());
                *expected.entry(key).or_default() += 1;
            }
        }
        let found = found.into_iter();
        let found =
            found.map(|((provider, error), n)| ((provider.to_string(), error.to_string()), n));
        assert_eq!(found.collect::<BTreeMap<_, _>>(), expected);
    }
}

fn name(dimension: Dimension, done: &Done) -> String {
    let (provider, model, key) = ROUTES[done.route];
    match dimension {
        Dimension::Provider => provider.to_owned(),
        Dimension::Model => model.to_owned(),
        Dimension::Key => key.to_owned(),
        Dimension::Client => format!("client-{}", done.client),
    }
}

fn fits(filter: &Filter, done: &Done) -> bool {
    [
        (Dimension::Provider, &filter.provider),
        (Dimension::Model, &filter.model),
        (Dimension::Key, &filter.key),
        (Dimension::Client, &filter.client),
    ]
    .into_iter()
    .all(|(dimension, wanted)| {
        wanted
            .as_ref()
            .is_none_or(|wanted| *wanted == name(dimension, done))
    })
}
