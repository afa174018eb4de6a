//! How large is a history, and how fast does it answer, beside a plain table of requests?
//!
//! ```text
//! cargo run --release -p coo-llm-exporters --example history_speed [DAYS [CLIENTS]]
//! ```
//! 30 days, 10,000 clients and 20 models, unless told otherwise. A client has five of the
//! models. In each hour it works with a probability of a quarter, six hours a day on the
//! mean: then it makes three requests of each of three of its models, those of a model
//! within ten seconds. That are 5.4 million pairs of a client and a model in an hour, and
//! 16.2 million requests. All of them go through the meter and the history's own flushes, time
//! being an argument; the same requests go into a table with an index by client and time and
//! one by time. Each question is asked while a thread records and flushes, and the answers of
//! both must be the same. It needs 3 GB in TMPDIR, and removes them.
#![expect(clippy::print_stdout, reason = "a command line tool talks to its user")]

use coo_llm_core::catalog::{ClientId, Route};
use coo_llm_core::record::{Endpoint, Record, Tokens, UsageSource};
use coo_llm_core::{Meter, Micros, NanoUsd, ShardWriter, UnixMillis};
use coo_llm_exporters::history::{Dimension, Filter, History, Options, Query, Usage, Window};
use rusqlite::Connection;
use std::error::Error;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

const MODELS: u64 = 20;
/// Models that a client uses, and how many of them in an hour.
const OWN_MODELS: u64 = 5;
const HOUR_MODELS: u64 = 3;
/// A client works in one hour of so many.
const IDLE: u64 = 4;
const REQUESTS: u64 = 3;
const T0_S: u64 = 1_699_999_200;
const QUERIES: usize = 200;
/// Of the plain table, which takes long for everything.
const PLAIN_QUERIES: usize = 10;

/// `SplitMix64`.
struct Random(u64);

impl Random {
    fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (z ^ (z >> 31)) % n
    }
}

fn open(path: &Path, now_s: u64) -> Result<(History, Meter), Box<dyn Error>> {
    let meter = Meter::with_pairs(100_000);
    let options = Options {
        path: path.join("history.db"),
        retention: [1, 30, 730].map(|days| Duration::from_secs(days * 86_400)),
        spool_bytes_max: 1 << 30,
    };
    let history = History::open(&options, meter.clone(), UnixMillis(now_s * 1000))?;
    Ok((history, meter))
}

/// Who calls: the ids are asked for once, as a gateway does.
struct Load {
    writer: ShardWriter,
    routes: Vec<Route>,
    clients: Vec<ClientId>,
    random: Random,
}

impl Load {
    fn new(meter: &Meter, clients: u64, seed: u64) -> Self {
        let catalog = meter.catalog();
        let route = |n| catalog.route(&format!("p{}", n % 4), &format!("m{n}"), "key");
        let client = |n| catalog.client(&format!("client-{n}"));
        Self {
            writer: meter.writer(),
            routes: (0..MODELS).map(route).collect(),
            clients: (0..clients).map(client).collect(),
            random: Random(seed),
        }
    }

    fn clients(&self) -> u64 {
        self.clients.len() as u64
    }

    /// The pairs of an hour.
    fn pairs(&mut self) -> Vec<(u64, u64)> {
        let mut pairs = Vec::new();
        for client in 0..self.clients() {
            if self.random.below(IDLE) == 0 {
                let first = self.random.below(OWN_MODELS);
                let own = (0..HOUR_MODELS).map(|n| (first + n) % OWN_MODELS);
                pairs.extend(own.map(|n| (client, (client * 7 + n * 3) % MODELS)));
            }
        }
        pairs
    }

    /// Records one random request; what it was: model, tokens, cost, latency.
    fn request(&mut self, (client, model): (u64, u64), at_s: u64) -> [u64; 4] {
        let latency = 100_000 + 30_000_000 / (1 + self.random.below(300));
        let tokens = 100 + self.random.below(3000);
        let cost = self.random.below(10_000_000);
        let route = self.routes[model as usize];
        let client = self.clients[client as usize];
        let at = UnixMillis(at_s * 1000);
        let endpoint = Endpoint::ChatCompletions;
        self.writer.record(&Record {
            tokens: Tokens {
                input: tokens,
                ..Tokens::default()
            },
            usage: Some(UsageSource::Provider),
            cost: Some(NanoUsd(cost)),
            ..Record::new(route, client, endpoint, at, Micros(latency))
        });
        [model, tokens, cost, latency]
    }
}

fn size(path: &Path, name: &str) -> Result<u64, Box<dyn Error>> {
    Ok(std::fs::metadata(path.join(name))?.len())
}

fn print(what: &str, mut times: Vec<Duration>) {
    times.sort_unstable();
    let at = |q: usize| times[(times.len() * q / 100).min(times.len() - 1)].as_secs_f64() * 1e3;
    println!("{what}: p50 {:.2} ms, p99 {:.2} ms", at(50), at(99));
}

/// Requests, tokens, nano-USD and p99 of a plain table.
fn plain(table: &Connection, sql: &str, with: &[i64]) -> rusqlite::Result<([i64; 3], i64)> {
    let mut statement = table.prepare(sql)?;
    let mut sums = [0; 3];
    let mut latencies = Vec::new();
    let mut rows = statement.query(rusqlite::params_from_iter(with))?;
    while let Some(row) = rows.next()? {
        sums[0] += 1;
        sums[1] += row.get::<_, i64>(0)?;
        sums[2] += row.get::<_, i64>(1)?;
        latencies.push(row.get(2)?);
    }
    latencies.sort_unstable();
    let rank = (0.99 * latencies.len() as f64).ceil() as usize;
    Ok((sums, latencies.get(rank.max(1) - 1).copied().unwrap_or(0)))
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1).map(|text| text.parse::<u64>());
    let days = arguments.next().transpose()?.unwrap_or(30);
    let clients = arguments.next().transpose()?.unwrap_or(10_000);
    let folder = std::env::temp_dir().join(format!("coo-llm-history-speed-{}", std::process::id()));
    std::fs::create_dir_all(&folder)?;
    let result = run(&folder, days, clients);
    std::fs::remove_dir_all(&folder)?;
    result
}

fn run(folder: &Path, days: u64, clients: u64) -> Result<(), Box<dyn Error>> {
    let table = Connection::open(folder.join("plain.db"))?;
    table.execute_batch(
        "PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL;
         CREATE TABLE requests (at INTEGER, client INTEGER, model INTEGER, tokens INTEGER,
             cost INTEGER, latency INTEGER);",
    )?;
    let begin = Instant::now();
    let hours = days * 24;
    let end_s = T0_S + hours * 3600;
    let (requests, pair_hours) = fill(folder, &table, hours, clients)?;
    println!(
        "{requests} requests, {pair_hours} pairs of a client and a model in an hour, of {clients} \
         clients x {MODELS} models over {days} days; made in {:.0} s",
        begin.elapsed().as_secs_f64(),
    );
    table.execute_batch(
        "CREATE INDEX by_client ON requests (client, at); CREATE INDEX by_time ON requests (at);",
    )?;
    let (ours, theirs) = (size(folder, "history.db")?, size(folder, "plain.db")?);
    println!(
        "history {:.1} MB, {} bytes a request; plain table {:.1} MB, {} bytes a request",
        ours as f64 / 1e6,
        ours / requests,
        theirs as f64 / 1e6,
        theirs / requests
    );
    let start = Instant::now();
    let (history, meter) = open(folder, end_s)?;
    println!("opened in {:.0} ms", start.elapsed().as_secs_f64() * 1e3);
    ask(&history, &meter, &table, end_s, clients)
}

/// Makes the requests of all hours; how many, and how many pairs.
fn fill(
    folder: &Path,
    table: &Connection,
    hours: u64,
    clients: u64,
) -> Result<(u64, u64), Box<dyn Error>> {
    let (history, meter) = open(folder, T0_S)?;
    let mut load = Load::new(&meter, clients, 1);
    let (mut requests, mut pair_hours) = (0, 0);
    let mut flushing = Duration::ZERO;
    for hour in 0..hours {
        table.execute_batch("BEGIN")?;
        let mut insert = table.prepare("INSERT INTO requests VALUES (?1, ?2, ?3, ?4, ?5, ?6)")?;
        let pairs = load.pairs();
        pair_hours += pairs.len() as u64;
        // They come in twelve of the hour's buckets, a client's in one of them.
        for part in 0..12 {
            let at_s = T0_S + hour * 3600 + part * 290;
            history.drain(UnixMillis(at_s * 1000));
            for pair in pairs.iter().filter(|pair| pair.0 % 12 == part) {
                for _ in 0..REQUESTS {
                    let [model, tokens, cost, latency] = load.request(*pair, at_s);
                    let row = [at_s, pair.0, model, tokens, cost, latency].map(u64::cast_signed);
                    insert.execute(row)?;
                    requests += 1;
                }
            }
        }
        drop(insert);
        table.execute_batch("COMMIT")?;
        let start = Instant::now();
        history.flush(UnixMillis((T0_S + hour * 3600 + 3599) * 1000))?;
        flushing += start.elapsed();
    }
    history.close(UnixMillis((T0_S + hours * 3600) * 1000))?;
    println!(
        "{:.1} us of flush a (pair, bucket): its rows of three widths, its part of the day's and \
         of {MODELS} models' rows, and what is removed",
        flushing.as_secs_f64() * 1e6 / pair_hours as f64
    );
    Ok((requests, pair_hours))
}

/// Asks both, while a thread goes on recording after the window.
fn ask(
    history: &History,
    meter: &Meter,
    table: &Connection,
    end_s: u64,
    clients: u64,
) -> Result<(), Box<dyn Error>> {
    let now = UnixMillis((end_s + 60) * 1000);
    history.drain(now);
    let mut load = Load::new(meter, clients, 2);
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !is_over.load(Ordering::Relaxed) {
                for _ in 0..200 {
                    let pair = (load.random.below(clients), load.random.below(MODELS));
                    load.request(pair, end_s + 60);
                }
                history.flush(now).expect("room on the disk");
                std::thread::sleep(Duration::from_millis(100));
            }
        });
        let asked = Asking {
            history,
            table,
            end_s,
            clients,
            now,
        }
        .all();
        is_over.store(true, Ordering::Relaxed);
        asked
    })
}

/// Whom to ask, and when.
struct Asking<'a> {
    history: &'a History,
    table: &'a Connection,
    end_s: u64,
    clients: u64,
    now: UnixMillis,
}

impl Asking<'_> {
    fn query(&self, start_s: u64, client: Option<u64>, group_by: Vec<Dimension>) -> Query {
        Query {
            window: Window {
                start_s,
                end_s: self.end_s,
            },
            step_s: None,
            filter: Filter {
                client: client.map(|client| format!("client-{client}")),
                ..Filter::default()
            },
            group_by,
        }
    }

    fn all(&self) -> Result<(), Box<dyn Error>> {
        // The whole time, and as someone asks who looks at a clock: from no full hour on.
        let whole = T0_S;
        let odd = (self.end_s - 29 * 86_400 + 1234).max(T0_S + 1234);
        let day = self.end_s - 86_400 + 1230;
        for (time, start_s) in [
            ("whole time", whole),
            ("from an odd second on", odd),
            ("24 h", day),
        ] {
            self.compare(&format!("a client, by provider, {time}"), start_s, false)?;
            self.compare(&format!("global, {time}"), start_s, true)?;
        }
        let provider = |n: usize| Query {
            filter: Filter {
                provider: Some(format!("p{}", n % 4)),
                ..Filter::default()
            },
            ..self.query(day, None, vec![Dimension::Model, Dimension::Key])
        };
        self.time("a provider, by model and key, 24 h", QUERIES, provider)?;
        let hourly = |n: usize| Query {
            step_s: Some(3600),
            ..self.query(whole, Some(n as u64 * 31 % self.clients), vec![])
        };
        self.time("a client, whole time by hours", QUERIES, hourly)?;
        let hourly = |_| Query {
            step_s: Some(3600),
            ..self.query(whole, None, vec![])
        };
        self.time("global, whole time by hours", QUERIES / 4, hourly)?;
        let clients = |_| self.query(day, None, vec![Dimension::Client]);
        self.time("each client, 24 h", QUERIES / 10, clients)?;
        let clients = |_| self.query(day, None, vec![Dimension::Client, Dimension::Provider]);
        self.time("each client by provider, 24 h", QUERIES / 10, clients)?;
        for (time, start_s) in [("24 h", day), ("from an odd second on", odd)] {
            let mut times = Vec::new();
            let window = self.query(start_s, None, vec![]).window;
            for _ in 0..QUERIES {
                let start = Instant::now();
                let (_, clients) = self.history.clients(window, self.now)?;
                times.push(start.elapsed());
                assert!(clients > self.clients / 2);
            }
            print(&format!("how many clients, {time}"), times);
        }
        Ok(())
    }

    fn time(
        &self,
        what: &str,
        times: usize,
        query: impl Fn(usize) -> Query,
    ) -> Result<(), Box<dyn Error>> {
        let mut took = Vec::new();
        for n in 0..times {
            let query = query(n);
            let start = Instant::now();
            let answer = self.history.query(&query, self.now)?;
            took.push(start.elapsed());
            assert!(!answer.groups.is_empty());
        }
        print(what, took);
        Ok(())
    }

    fn compare(&self, what: &str, start_s: u64, is_global: bool) -> Result<(), Box<dyn Error>> {
        let mut random = Random(3);
        let columns = "SELECT tokens, cost, latency FROM requests";
        let (mut ours, mut theirs) = (Vec::new(), Vec::new());
        for n in 0..QUERIES {
            let client = random.below(self.clients);
            let group_by = if is_global {
                vec![]
            } else {
                vec![Dimension::Provider]
            };
            let query = self.query(start_s, (!is_global).then_some(client), group_by);
            let start = Instant::now();
            let answer = self.history.query(&query, self.now)?;
            ours.push(start.elapsed());
            if is_global && n >= PLAIN_QUERIES {
                continue;
            }
            let mut all = Usage::default();
            for (_, usage) in answer.groups.iter().flat_map(|group| &group.points) {
                all.add(usage);
            }
            let (start_s, end_s) = (answer.window.start_s as i64, self.end_s as i64);
            let start = Instant::now();
            let (sums, p99) = if is_global {
                let sql = format!("{columns} WHERE at >= ?1 AND at < ?2");
                plain(self.table, &sql, &[start_s, end_s])?
            } else {
                let sql = format!("{columns} WHERE client = ?1 AND at >= ?2 AND at < ?3");
                plain(self.table, &sql, &[client as i64, start_s, end_s])?
            };
            theirs.push(start.elapsed());
            let totals = all.totals;
            let have = [totals.requests, totals.tokens.total(), totals.cost.0];
            assert_eq!(have.map(u64::cast_signed), sums, "both count the same");
            let near = all.latency.quantile_us(0.99).unwrap_or(0.0);
            assert!(
                (near - p99 as f64).abs() <= 0.004 * p99 as f64,
                "{near} {p99}"
            );
        }
        print(&format!("{what}, history"), ours);
        print(&format!("{what}, plain table"), theirs);
        Ok(())
    }
}
