//! How large is a history, and how fast does it answer, beside a plain table of requests?
//!
//! ```text
//! cargo run --release -p coo-llm-exporters --example history_speed [PAIRS_AN_HOUR [HOURS]]
//! ```
//! 10,000 clients and 20 models; in each hour so many random pairs of them make three
//! requests. The same requests go into a table with an index by client and time and one by
//! time. Each question is asked while a thread records and flushes, and the answers of
//! both must be the same.
#![expect(clippy::print_stdout, reason = "a command line tool talks to its user")]

use coo_llm_core::record::{Endpoint, Record, Tokens, UsageSource};
use coo_llm_core::{Meter, Micros, NanoUsd, UnixMillis};
use coo_llm_exporters::history::{Dimension, Filter, History, Options, Query, Usage, Window};
use rusqlite::Connection;
use std::error::Error;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

const CLIENTS: u64 = 10_000;
const MODELS: u64 = 20;
const REQUESTS: u64 = 3;
const T0_S: u64 = 1_699_999_200;
const QUERIES: usize = 100;

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

/// Records one random request; what it was: client, model, tokens, cost, latency.
fn request(
    random: &mut Random,
    meter: &Meter,
    writer: &mut coo_llm_core::ShardWriter,
    (client, model): (u64, u64),
    at_s: u64,
) -> [u64; 5] {
    let latency = 100_000 + 30_000_000 / (1 + random.below(300));
    let (tokens, cost) = (100 + random.below(3000), random.below(10_000_000));
    let catalog = meter.catalog();
    let route = catalog.route(&format!("p{}", model % 4), &format!("m{model}"), "key");
    let client_id = catalog.client(&format!("client-{client}"));
    let at = UnixMillis(at_s * 1000);
    writer.record(&Record {
        tokens: Tokens {
            input: tokens,
            ..Tokens::default()
        },
        usage: Some(UsageSource::Provider),
        cost: Some(NanoUsd(cost)),
        ..Record::new(
            route,
            client_id,
            Endpoint::ChatCompletions,
            at,
            Micros(latency),
        )
    });
    [client, model, tokens, cost, latency]
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
    let pairs = arguments.next().transpose()?.unwrap_or(400);
    let hours = arguments.next().transpose()?.unwrap_or(720);
    let folder = std::env::temp_dir().join(format!("coo-llm-history-speed-{}", std::process::id()));
    std::fs::create_dir_all(&folder)?;
    let result = run(&folder, pairs, hours);
    std::fs::remove_dir_all(&folder)?;
    result
}

fn run(folder: &Path, pairs: u64, hours: u64) -> Result<(), Box<dyn Error>> {
    let table = Connection::open(folder.join("plain.db"))?;
    table.execute_batch(
        "PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL;
         CREATE TABLE requests (at INTEGER, client INTEGER, model INTEGER, tokens INTEGER,
             cost INTEGER, latency INTEGER);
         CREATE INDEX by_client ON requests (client, at);
         CREATE INDEX by_time ON requests (at);",
    )?;
    let (history, meter) = open(folder, T0_S)?;
    let mut writer = meter.writer();
    let mut random = Random(1);
    let begin = Instant::now();
    let mut flushing = Duration::ZERO;
    for hour in 0..hours {
        table.execute_batch("BEGIN")?;
        let mut insert = table.prepare("INSERT INTO requests VALUES (?1, ?2, ?3, ?4, ?5, ?6)")?;
        // The pairs of an hour come in six of its buckets.
        for part in 0..6 {
            let at_s = T0_S + hour * 3600 + part * 590;
            history.drain(UnixMillis(at_s * 1000));
            for _ in 0..pairs / 6 {
                let pair = (random.below(CLIENTS), random.below(MODELS));
                for _ in 0..REQUESTS {
                    let [client, model, tokens, cost, latency] =
                        request(&mut random, &meter, &mut writer, pair, at_s);
                    let row = [at_s, client, model, tokens, cost, latency].map(u64::cast_signed);
                    insert.execute(rusqlite::params_from_iter(row))?;
                }
            }
        }
        drop(insert);
        table.execute_batch("COMMIT")?;
        let start = Instant::now();
        history.flush(UnixMillis((T0_S + hour * 3600 + 3599) * 1000))?;
        flushing += start.elapsed();
    }
    let end_s = T0_S + hours * 3600;
    history.close(UnixMillis(end_s * 1000))?;
    drop((writer, history));
    let requests = hours * (pairs / 6) * 6 * REQUESTS;
    println!(
        "{requests} requests of {CLIENTS} clients x {MODELS} models over {hours} h, made in {:.0} s; \
         {:.1} us of flush a (pair, bucket), which is six rows",
        begin.elapsed().as_secs_f64(),
        flushing.as_secs_f64() * 1e6 / (requests / REQUESTS) as f64,
    );
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
    ask(&history, &meter, &table, end_s)
}

/// Asks both, while a thread goes on recording after the window.
fn ask(
    history: &History,
    meter: &Meter,
    table: &Connection,
    end_s: u64,
) -> Result<(), Box<dyn Error>> {
    let now = UnixMillis((end_s + 60) * 1000);
    history.drain(now);
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let (mut writer, mut random) = (meter.writer(), Random(2));
            while !is_over.load(Ordering::Relaxed) {
                for _ in 0..200 {
                    let pair = (random.below(CLIENTS), random.below(MODELS));
                    request(&mut random, meter, &mut writer, pair, end_s + 60);
                }
                history.flush(now).expect("room on the disk");
                std::thread::sleep(Duration::from_millis(100));
            }
        });
        let asked = questions(history, table, end_s, now);
        is_over.store(true, Ordering::Relaxed);
        asked
    })
}

fn questions(
    history: &History,
    table: &Connection,
    end_s: u64,
    now: UnixMillis,
) -> Result<(), Box<dyn Error>> {
    let mut random = Random(3);
    let window = Window {
        start_s: T0_S,
        end_s,
    };
    let columns = "SELECT tokens, cost, latency FROM requests";
    for is_global in [false, true] {
        let (mut ours, mut theirs) = (Vec::new(), Vec::new());
        for n in 0..QUERIES {
            let client = random.below(CLIENTS);
            let query = Query {
                window,
                step_s: None,
                filter: Filter {
                    client: (!is_global).then(|| format!("client-{client}")),
                    ..Filter::default()
                },
                group_by: if is_global {
                    vec![]
                } else {
                    vec![Dimension::Provider]
                },
            };
            let start = Instant::now();
            let answer = history.query(&query, now)?;
            ours.push(start.elapsed());
            let mut all = Usage::default();
            for (_, usage) in answer.groups.iter().flat_map(|group| &group.points) {
                all.add(usage);
            }
            // A plain table takes long for the global one: a tenth as often.
            if is_global && n % 10 > 0 {
                continue;
            }
            let start = Instant::now();
            let (sums, p99) = if is_global {
                let sql = format!("{columns} WHERE at >= ?1 AND at < ?2");
                plain(table, &sql, &[T0_S as i64, end_s as i64])?
            } else {
                let sql = format!("{columns} WHERE client = ?1 AND at >= ?2 AND at < ?3");
                plain(table, &sql, &[client as i64, T0_S as i64, end_s as i64])?
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
        let what = if is_global {
            "global"
        } else {
            "a client, by provider"
        };
        print(&format!("{what}, whole time, history"), ours);
        print(&format!("{what}, whole time, plain table"), theirs);
    }
    let query = Query {
        window: Window {
            start_s: end_s - 86_400,
            end_s,
        },
        step_s: None,
        filter: Filter::default(),
        group_by: vec![Dimension::Client],
    };
    let mut times = Vec::new();
    for _ in 0..QUERIES / 5 {
        let start = Instant::now();
        assert!(!history.query(&query, now)?.groups.is_empty());
        times.push(start.elapsed());
    }
    print("all clients, last 24 h, history", times);
    Ok(())
}
