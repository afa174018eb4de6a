//! How many rows a second does a sink take, and what does a row cost?
//!
//! ```text
//! cargo run --release -p coo-llm-exporters --example sink_speed -- KIND WHERE [ROWS_A_CALL [CLIENTS]]
//! postgres postgres://postgres:secret@127.0.0.1:5432/postgres?sslmode=disable
//! redis 127.0.0.1:7777
//! ```
//! Buckets of ten seconds, in each of which every client uses one of its two routes of 40, go in
//! calls of so many rows for about ten seconds. The store must be empty: what it has afterwards is
//! compared to what was sent.
#![expect(clippy::print_stdout, reason = "a command line tool talks to its user")]

use coo_llm_core::record::Tokens;
use coo_llm_core::snapshot::Totals;
use coo_llm_core::{Micros, NanoUsd, UnixMillis};
use coo_llm_exporters::history::{Position, Sealed, SealedRow, Usage};
use coo_llm_exporters::sinks::postgres::{self, PostgresOptions, PostgresSink};
use coo_llm_exporters::sinks::redis::{self, RedisOptions, RedisRetention, RedisSink, Span};
use coo_llm_exporters::sinks::{Applied, Sink, Stored};
use std::error::Error;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

const INSTANCE: u64 = 0x005e_ed0f_5eed;
const ROUTES: u64 = 40;
const TAKES: Duration = Duration::from_secs(10);

fn row(client: u64, bucket: u64) -> SealedRow {
    let route = (client + bucket % 2 * 7) % ROUTES;
    let n = 1 + (client * 31 + bucket) % 50;
    let mut usage = Usage::default();
    usage.latency.record(Micros(1000 * n));
    usage.totals = Totals {
        requests: 1,
        errors: u64::from(n == 1),
        tokens: Tokens {
            input: 100 * n,
            cached_input: 10 * n,
            output: 30 * n,
            ..Tokens::default()
        },
        cost: NanoUsd(1_000_003 * n),
        last_request: Some(UnixMillis(1000)),
        ..Totals::default()
    };
    SealedRow {
        provider: format!("p{}", route % 4).into(),
        model: format!("model-{route}").into(),
        key: format!("p{}-0123abcd", route % 4).into(),
        client: format!("client-{client:05}").into(),
        usage,
    }
}

/// A bucket's rows, in calls.
fn calls(second: u64, bucket: u64, clients: u64, rows_max: usize) -> Vec<Sealed> {
    let rows: Vec<SealedRow> = (0..clients).map(|client| row(client, bucket)).collect();
    let end = Position {
        second: second + 10,
        rows: 0,
    };
    let count = rows.len();
    let mut from = 0;
    let mut calls = Vec::new();
    for rows in rows.chunks(rows_max) {
        let at = |rows: usize| Position {
            second,
            rows: rows as u64,
        };
        let next = from + rows.len();
        let is_last = next == count;
        let errors = [(Arc::from("p1"), Arc::from("timeout"), 2)];
        calls.push(Sealed {
            from: at(from),
            to: if is_last { end } else { at(next) },
            start_s: second,
            width_s: 10,
            rows: rows.to_vec(),
            errors: errors.into_iter().filter(|_| is_last).collect(),
        });
        from = next;
    }
    calls
}

/// Nanoseconds that this thread has been on a processor.
fn cpu_ns() -> Result<u64, Box<dyn Error>> {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat")?;
    let first = text.split(' ').next().unwrap_or_default();
    Ok(first.parse()?)
}

async fn drive(
    sink: &mut impl Sink,
    rows_max: usize,
    clients: u64,
) -> Result<Totals, Box<dyn Error>> {
    if sink.position(INSTANCE).await? != Stored::Nothing {
        return Err("the store is not empty".into());
    }
    let now_s = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
    // Within the last hours, so that buckets of every width are written.
    let first = now_s - now_s % 3600 - 6 * 3600;
    let (mut sent, mut rows_sent) = (Totals::default(), 0);
    let (mut times, mut cpu) = (Vec::new(), 0);
    let mut at = None;
    for bucket in 0.. {
        if times.iter().sum::<Duration>() > TAKES {
            break;
        }
        for call in calls(first + bucket * 10, bucket, clients, rows_max) {
            let (start, start_ns) = (Instant::now(), cpu_ns()?);
            let applied = sink.apply(INSTANCE, at, &call).await?;
            times.push(start.elapsed());
            cpu += cpu_ns()? - start_ns;
            if applied != Applied::Taken(Vec::new()) {
                return Err(format!("{applied:?}").into());
            }
            at = Some(call.to);
            rows_sent += call.rows.len() as u64;
            for row in &call.rows {
                sent = sent.plus(&row.usage.totals);
            }
        }
    }
    let took: Duration = times.iter().sum();
    times.sort_unstable();
    let of = |q: usize| times[(times.len() * q / 100).min(times.len() - 1)].as_secs_f64() * 1e3;
    println!(
        "{rows_sent} rows in {} calls of at most {rows_max}, {clients} clients: {:.0} rows/s, {:.2} us \
         of our CPU a row; a call p50 {:.1} ms, p99 {:.1} ms",
        times.len(),
        rows_sent as f64 / took.as_secs_f64(),
        cpu as f64 / 1e3 / rows_sent as f64,
        of(50),
        of(99),
    );
    Ok(sent)
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [kind, addr, rest @ ..] = arguments.as_slice() else {
        return Err("write a sink and where it is: redis 127.0.0.1:6379".into());
    };
    let rows_max = rest.first().map_or(Ok(250), |text| text.parse())?;
    let clients = rest.get(1).map_or(Ok(5000), |text| text.parse())?;
    match kind.as_str() {
        "postgres" => {
            // Rows stay as they are: this is about new ones.
            let kept = [Duration::from_secs(30 * 86_400); 3];
            let options = PostgresOptions::new(addr, None, "coo_llm", kept)?;
            let mut sink = PostgresSink::new(options.clone());
            let sent = drive(&mut sink, rows_max, clients).await?;
            let start = Instant::now();
            let read = postgres::totals(&options, 0..u64::MAX).await?;
            println!("read back in {:.0} ms", start.elapsed().as_secs_f64() * 1e3);
            if read.total.totals != sent {
                return Err(format!("sent {sent:?}, read {:?}", read.total.totals).into());
            }
        }
        "redis" => {
            let (host, port) = addr.rsplit_once(':').ok_or("write host:port")?;
            let options = RedisOptions {
                nodes: vec![(host.to_owned(), port.parse()?)],
                username: None,
                password: None,
                db: 0,
                is_cluster: false,
                is_tls: false,
                ca_file: None,
                prefix: "coo".to_owned(),
                name: "sink-speed".to_owned(),
                retention: RedisRetention {
                    minute: Duration::from_secs(86_400),
                    hour: Duration::from_secs(30 * 86_400),
                    day: Duration::from_secs(730 * 86_400),
                },
            };
            let sent = drive(&mut RedisSink::new(options.clone()), rows_max, clients).await?;
            let start = Instant::now();
            let read = redis::totals(&options, Span::Ever).await?;
            println!("read back in {:.0} ms", start.elapsed().as_secs_f64() * 1e3);
            if read.total.totals != sent {
                return Err(format!("sent {sent:?}, read {:?}", read.total.totals).into());
            }
        }
        other => return Err(format!("no sink is called {other}").into()),
    }
    Ok(())
}
