//! Streams at the pace of a model: many at once, each chunk on its own, none left waiting.

use super::exactness::Exactness;
use super::subject::{self, Subject};
use super::{CHUNKS, EVENTS};
use crate::rig::gateway::Gateway;
use crate::rig::upstream::{Streams, Upstream};
use crate::rig::{CHAT, CLIENT_KEY, Outcome, stream_body};
use crate::stats::{quantile, spread};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

const STREAMS: usize = 512;
/// Between two chunks: 50 tokens a second.
const PAUSE_MS: u64 = 20;
const ROUNDS: usize = 3;
/// A gap in which a whole stream would fit is a stall.
const STALL: Duration = Duration::from_millis(PAUSE_MS * CHUNKS as u64);
const READ_MAX: Duration = Duration::from_secs(60);
/// The load has a thread for each stream.
const STACK_BYTES: usize = 128 << 10;

/// What one round of a subject showed.
#[derive(Default)]
struct Paced {
    cpu_us_a_chunk: Vec<f64>,
    /// The longest gap of each stream, milliseconds.
    gaps_ms: Vec<f64>,
}

/// Measures the subjects that keep such a pace, and prints the rows.
pub(super) fn run(
    subjects: &[Subject<'_>],
    upstream: &mut Upstream,
    ours: &Gateway,
    exact: &mut Exactness,
) -> Outcome<()> {
    upstream.stream_by(Streams {
        chunks: CHUNKS,
        pause_ms: PAUSE_MS,
    })?;
    let quick: Vec<&Subject<'_>> = subjects.iter().filter(|s| !s.is_slow).collect();
    let mut all: Vec<Paced> = quick.iter().map(|_| Paced::default()).collect();
    let mut order: Vec<usize> = (0..quick.len()).collect();
    let mut random = fastrand::Rng::new();
    for _ in 0..ROUNDS {
        random.shuffle(&mut order);
        for &who in &order {
            let subject = quick[who];
            let before = subject.cpu()?;
            let gaps = at_once(subject.streams, &stream_body(subject.model))?;
            let after = subject.cpu()?;
            if let Some((after, before)) = after.zip(before) {
                let chunks = (STREAMS as u32 * EVENTS) as f64;
                let us = (after - before).as_secs_f64() * 1e6;
                all[who].cpu_us_a_chunk.push(us / chunks);
            }
            all[who].gaps_ms.extend(gaps);
            if subject.model == subject::OURS {
                exact.ran(STREAMS as u64, 0);
                exact.check_bounds(upstream, ours)?;
            }
        }
    }
    println!(
        "\n| {STREAMS} streams at once, a chunk every {PAUSE_MS} ms | CPU us a chunk, its share of \
         connection and request included | longest gap of a stream: p50, p99, max ms | stalls above \
         {} ms |\n| --- | --- | --- | --- |",
        STALL.as_millis()
    );
    for (subject, paced) in quick.iter().zip(&all) {
        let gaps = &paced.gaps_ms;
        let stalls = gaps.iter().filter(|ms| **ms > STALL.as_secs_f64() * 1e3);
        println!(
            "| {} | {} | {:.0}, {:.0}, {:.0} | {} of {} |",
            subject.name,
            if paced.cpu_us_a_chunk.is_empty() {
                "-".to_owned()
            } else {
                spread(&paced.cpu_us_a_chunk, 2)
            },
            quantile(gaps, 0.5),
            quantile(gaps, 0.99),
            quantile(gaps, 1.0),
            stalls.count(),
            gaps.len()
        );
    }
    Ok(())
}

/// Streams over a connection each, begun together; the longest gap of each, milliseconds.
fn at_once(addr: SocketAddr, body: &str) -> Outcome<Vec<f64>> {
    let start = Barrier::new(STREAMS);
    let request = format!(
        "POST {CHAT} HTTP/1.1\r\nhost: {addr}\r\ncontent-type: application/json\r\n\
         authorization: Bearer {CLIENT_KEY}\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    thread::scope(|scope| {
        let mut threads = Vec::new();
        for _ in 0..STREAMS {
            let one = thread::Builder::new().stack_size(STACK_BYTES);
            let one = one.spawn_scoped(scope, || {
                let socket = TcpStream::connect(addr);
                start.wait();
                longest_gap(&mut socket.map_err(|error| error.to_string())?, &request)
            });
            threads.push(one.map_err(|error| format!("a thread: {error}"))?);
        }
        threads
            .into_iter()
            .map(|one| one.join().map_err(|_| "a stream's thread".to_owned())?)
            .collect()
    })
}

/// Reads one stream to its end; the longest time without a byte since its first.
fn longest_gap(socket: &mut TcpStream, request: &str) -> Outcome<f64> {
    let failed = |error: std::io::Error| format!("a stream: {error}");
    socket.set_nodelay(true).map_err(failed)?;
    socket.set_read_timeout(Some(READ_MAX)).map_err(failed)?;
    socket.write_all(request.as_bytes()).map_err(failed)?;
    let mut buffer = [0; 16 << 10];
    let mut tail = Vec::new();
    let mut last: Option<Instant> = None;
    let mut longest = Duration::ZERO;
    let mut events = 0;
    loop {
        let n = socket.read(&mut buffer).map_err(failed)?;
        if n == 0 {
            return Err("a stream that breaks off".to_owned());
        }
        let now = Instant::now();
        longest = longest.max(last.map_or(Duration::ZERO, |last| now - last));
        last = Some(now);
        tail.extend_from_slice(&buffer[..n]);
        // Whole lines are counted, the rest waits for its end.
        let end = tail.iter().rposition(|byte| *byte == b'\n');
        let lines: Vec<u8> = tail.drain(..end.map_or(0, |end| end + 1)).collect();
        let mut is_over = false;
        for line in lines.split(|byte| *byte == b'\n') {
            events += u32::from(line.starts_with(b"data: "));
            is_over |= line == b"0\r";
        }
        if is_over && events != EVENTS {
            return Err(format!("a stream of {events} events"));
        }
        if is_over {
            return Ok(longest.as_secs_f64() * 1e3);
        }
    }
}
