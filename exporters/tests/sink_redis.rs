//! The Redis sink between a history and a real Redis, over connections that lose, hold back and
//! repeat what goes through them: totals stay equal to the unit.
//!
//! Needs `redis-server`. The rounds here are a delivery's without its pauses.

use coo_llm_core::record::{Endpoint, Record, Tokens, UsageSource};
use coo_llm_core::{Meter, Micros, NanoUsd, ShardWriter, UnixMillis};
use coo_llm_exporters::history::{History, Next, Options};
use coo_llm_exporters::sinks::redis::{RedisOptions, RedisRetention, RedisSink, Span, totals};
use coo_llm_exporters::sinks::{Applied, Sink, Stored};
use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// A full hour in the past, of which no bucket by the minute or hour is left.
const T0_S: u64 = 1_699_999_200;

struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let n = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("coo-llm-sink-redis-{}-{n}", std::process::id());
        let folder = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&folder).expect("a writable folder");
        Self(folder)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _best_effort = std::fs::remove_dir_all(&self.0);
    }
}

/// A real Redis.
struct Server {
    child: Child,
    addr: SocketAddr,
    _folder: Folder,
}

impl Server {
    fn start() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let addr = listener.local_addr().expect("a bound socket");
        drop(listener);
        let folder = Folder::new();
        let child = Command::new("redis-server")
            .args(["--bind", "127.0.0.1", "--port", &addr.port().to_string()])
            .args(["--save", "", "--dir"])
            .arg(&folder.0)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .expect("Debian's package redis-server is installed");
        let deadline = Instant::now() + Duration::from_secs(60);
        while TcpStream::connect(addr).is_err() {
            assert!(Instant::now() < deadline, "Redis does not start");
            std::thread::sleep(Duration::from_millis(20));
        }
        Self {
            child,
            addr,
            _folder: folder,
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _best_effort = (self.child.kill(), self.child.wait());
    }
}

/// What goes wrong with the next script that is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wrong {
    /// The connection ends before Redis has it.
    Before,
    /// Redis has it, and the answer is lost.
    After,
    /// The connection ends, and Redis gets it when others were there already.
    Late,
    /// Redis gets it again when others were there already.
    Again,
    /// The server is emptied at this moment.
    Emptied,
}

/// Passes bytes on, and does what is wrong.
struct Proxy {
    addr: SocketAddr,
    next: Arc<Mutex<Vec<Wrong>>>,
    /// Calls that are held back.
    late: Arc<Mutex<Vec<Vec<u8>>>>,
    seen: Arc<Mutex<BTreeMap<String, u64>>>,
}

/// Sends Redis something and waits until it has answered.
fn exchange(server: SocketAddr, bytes: &[u8]) {
    let mut stream = TcpStream::connect(server).expect("Redis runs");
    stream.write_all(bytes).expect("Redis reads");
    let mut answer = [0; 4096];
    assert!(stream.read(&mut answer).expect("Redis answers") > 0);
}

impl Proxy {
    fn start(server: SocketAddr) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let proxy = Self {
            addr: listener.local_addr().expect("a bound socket"),
            next: Arc::default(),
            late: Arc::default(),
            seen: Arc::default(),
        };
        let (next, late, seen) = (
            Arc::clone(&proxy.next),
            Arc::clone(&proxy.late),
            Arc::clone(&proxy.seen),
        );
        std::thread::spawn(move || {
            for client in listener.incoming() {
                let client = client.expect("a connection");
                let (next, late, seen) = (Arc::clone(&next), Arc::clone(&late), Arc::clone(&seen));
                std::thread::spawn(move || {
                    let ended = serve(client, server, &next, &late, &seen);
                    // Either side may go at any time.
                    drop(ended);
                });
            }
        });
        proxy
    }
}

/// One connection: a request, its answer, and so on. Requests of the client come whole here, as
/// it waits for each answer.
fn serve(
    mut client: TcpStream,
    server: SocketAddr,
    next: &Mutex<Vec<Wrong>>,
    late: &Mutex<Vec<Vec<u8>>>,
    seen: &Mutex<BTreeMap<String, u64>>,
) -> std::io::Result<()> {
    let mut upstream = TcpStream::connect(server)?;
    let mut buffer = vec![0; 1 << 20];
    loop {
        let mut n = 0;
        while n == 0 || !is_whole(&buffer[..n]) {
            match client.read(&mut buffer[n..])? {
                0 => return Ok(()),
                more => n += more,
            }
        }
        let request = &buffer[..n];
        // The script that writes has a dozen arguments and more; the one that reads has five.
        let is_apply = is_script(request) && !request.starts_with(b"*5\r\n");
        let wrong = is_apply
            .then(|| next.lock().expect("no panic").pop())
            .flatten();
        if let Some(wrong) = wrong {
            let mut seen = seen.lock().expect("no panic");
            *seen.entry(format!("{wrong:?}")).or_default() += 1;
        }
        match wrong {
            Some(Wrong::Before) => return client.shutdown(Shutdown::Both),
            Some(Wrong::After) => {
                upstream.write_all(request)?;
                let mut answer = [0; 4096];
                let _lost = upstream.read(&mut answer)?;
                return client.shutdown(Shutdown::Both);
            }
            Some(Wrong::Late) => {
                late.lock().expect("no panic").push(request.to_vec());
                return client.shutdown(Shutdown::Both);
            }
            Some(Wrong::Again) => late.lock().expect("no panic").push(request.to_vec()),
            Some(Wrong::Emptied) => exchange(server, b"*1\r\n$8\r\nFLUSHALL\r\n"),
            None => {}
        }
        upstream.write_all(request)?;
        let mut answer = [0; 1 << 16];
        let n = upstream.read(&mut answer)?;
        client.write_all(&answer[..n])?;
    }
}

/// Whether these are whole commands: arrays of strings with their lengths.
fn is_whole(mut rest: &[u8]) -> bool {
    let mut line = || -> Option<usize> {
        let end = rest.windows(2).position(|two| two == b"\r\n")?;
        let number = std::str::from_utf8(&rest[1..end]).ok()?.parse().ok()?;
        let is_text = rest[0] == b'$';
        rest = rest.get(end + 2 + if is_text { number + 2 } else { 0 }..)?;
        Some(if is_text { 0 } else { number })
    };
    let Some(strings) = line() else { return false };
    (0..strings).all(|_| line().is_some())
}

fn is_script(request: &[u8]) -> bool {
    let head = &request[..request.len().min(40)];
    head.windows(4).any(|word| word == b"EVAL")
}

struct Rig {
    meter: Meter,
    writer: ShardWriter,
    history: History,
    now_s: u64,
    /// Requests and nano-USD by client.
    clients: BTreeMap<String, (u64, u64)>,
    _folder: Folder,
}

impl Rig {
    fn new() -> Self {
        let folder = Folder::new();
        let meter = Meter::with_pairs(1000);
        let options = Options {
            path: folder.0.join("history.db"),
            retention: [1, 30, 730].map(|days| Duration::from_secs(days * 86_400)),
            spool_bytes_max: 1 << 30,
        };
        let now = UnixMillis(T0_S * 1000);
        let history = History::open(&options, meter.clone(), now).expect("a history");
        Self {
            writer: meter.writer(),
            meter,
            history,
            now_s: T0_S,
            clients: BTreeMap::new(),
            _folder: folder,
        }
    }

    fn now(&self) -> UnixMillis {
        UnixMillis(self.now_s * 1000)
    }

    fn record(&mut self, n: u64) {
        // What has a colon or braces in its name, as some models have.
        let model = ["gpt-4o", "llama3:8b", "{odd} model"][n as usize % 3];
        let route = self.meter.catalog().route("openai", model, "openai-1");
        let name = format!("client-{}", n % 7);
        let client = self.meter.catalog().client(&name);
        let now = self.now();
        self.writer.record(&Record {
            tokens: Tokens {
                input: n,
                ..Tokens::default()
            },
            cost: Some(NanoUsd((1 << 39) + n)),
            usage: Some(UsageSource::Provider),
            ..Record::new(route, client, Endpoint::ChatCompletions, now, Micros(n))
        });
        let sums = self.clients.entry(name).or_default();
        sums.0 += 1;
        sums.1 += (1 << 39) + n;
    }

    fn pass(&mut self, seconds: u64) {
        self.now_s += seconds;
        self.history.flush(self.now()).expect("a disk");
    }

    /// A round of a delivery, as far as it comes.
    async fn round(&self, sink: &mut RedisSink) -> Result<(), String> {
        let instance = self.history.instance();
        let stored = sink.position(instance).await.map_err(|it| it.to_string())?;
        let first = self.history.first_position(self.now()).expect("a disk");
        let mut at = match stored {
            Stored::At(at) => Some(at),
            Stored::Nothing => None,
            Stored::Unknown => return Err("Redis knows where it is".to_owned()),
        };
        loop {
            let from = at.unwrap_or(first);
            let next = self.history.next_sealed("redis", from, 3, self.now());
            let Next::Rows(rows) = next.expect("a disk") else {
                return Ok(());
            };
            match sink.apply(instance, at, &rows).await {
                Ok(Applied::Taken(aside)) => assert!(aside.is_empty(), "{aside:?}"),
                Ok(Applied::Elsewhere) => return Err("elsewhere".to_owned()),
                Err(fault) => return Err(fault.to_string()),
            }
            at = Some(rows.to);
        }
    }
}

fn options(addr: SocketAddr, name: &str) -> RedisOptions {
    let kept = Duration::from_secs(100 * 365 * 86_400);
    RedisOptions {
        nodes: vec![(addr.ip().to_string(), addr.port())],
        username: None,
        password: None,
        db: 0,
        is_cluster: false,
        is_tls: false,
        ca_file: None,
        prefix: "coo".to_owned(),
        name: name.to_owned(),
        retention: RedisRetention {
            minute: Duration::from_secs(86_400),
            hour: Duration::from_secs(86_400),
            day: kept,
        },
    }
}

#[tokio::test]
async fn nothing_is_missing_or_double_whatever_the_connection_does() {
    let wrongs = [
        Wrong::Before,
        Wrong::After,
        Wrong::Late,
        Wrong::Again,
        Wrong::Emptied,
    ];
    let server = Server::start();
    let proxy = Proxy::start(server.addr);
    let direct = options(server.addr, "reader");
    let mut random = fastrand::Rng::with_seed(6);
    // Two gateways on one Redis.
    let mut rigs = [Rig::new(), Rig::new()];
    let mut sinks = ["one", "two"].map(|name| RedisSink::new(options(proxy.addr, name)));
    for _ in 0..30 {
        for (rig, sink) in rigs.iter_mut().zip(&mut sinks) {
            for _ in 0..random.u64(1..30) {
                rig.record(random.u64(0..1000));
                if random.u8(0..3) == 0 {
                    rig.pass(random.u64(1..200));
                }
            }
            rig.pass(20);
            let count = random.usize(0..6);
            let faults = (0..count).map(|_| wrongs[random.usize(0..wrongs.len())]);
            *proxy.next.lock().expect("no panic") = faults.collect();
            for round in 0.. {
                let done = rig.round(sink).await;
                // Now that others were there, what was held back comes.
                let late = std::mem::take(&mut *proxy.late.lock().expect("no panic"));
                let is_quiet = late.is_empty();
                for call in late {
                    exchange(server.addr, &call);
                }
                if done.is_ok() && is_quiet {
                    break;
                }
                assert!(round < 50, "{done:?}");
            }
        }
        // One of them may have lost its rows when the other one was served.
        proxy.next.lock().expect("no panic").clear();
        for (rig, sink) in rigs.iter_mut().zip(&mut sinks) {
            rig.round(sink).await.expect("nothing is wrong now");
        }
        let mut expected: BTreeMap<String, (u64, u64)> = BTreeMap::new();
        for (name, sums) in rigs.iter().flat_map(|rig| &rig.clients) {
            let all = expected.entry(name.clone()).or_default();
            *all = (all.0 + sums.0, all.1 + sums.1);
        }
        let read = totals(&direct, Span::Ever).await.expect("Redis answers");
        let clients = read.by_client.iter();
        let found: BTreeMap<_, _> = clients
            .map(|(name, it)| (name.clone(), (it.totals.requests, it.totals.cost.0)))
            .collect();
        assert_eq!(found, expected);
        assert_eq!(read.writers.len(), 2);
        let sum = |counted: Vec<u64>| counted.into_iter().sum::<u64>();
        let requests = sum(expected.values().map(|sums| sums.0).collect());
        assert_eq!(read.total.totals.requests, requests);
        assert_eq!(read.total.timed, requests);
        let routes = read.by_route.values().map(|it| it.totals.requests);
        assert_eq!(sum(routes.collect()), requests);
    }
    let seen = proxy.seen.lock().expect("no panic").clone();
    assert_eq!(seen.len(), wrongs.len(), "{seen:?}");
    assert!(seen.values().all(|n| *n >= 5), "{seen:?}");

    // Days are as much as all of them: no bucket of a day has expired.
    let ever = totals(&direct, Span::Ever).await.expect("Redis answers");
    let end_s = rigs.iter().map(|rig| rig.now_s).max().expect("two");
    let (mut requests, mut clients) = (0, 0);
    for day in T0_S / 86_400..=end_s / 86_400 {
        let day = totals(&direct, Span::Day(day * 86_400))
            .await
            .expect("Redis answers");
        requests += day.total.totals.requests;
        clients += day
            .by_client
            .values()
            .map(|it| it.totals.requests)
            .sum::<u64>();
    }
    assert_eq!((requests, clients), (ever.total.totals.requests, requests));
    // Hours are over long ago: they were never written.
    let hour = totals(&direct, Span::Hour(T0_S))
        .await
        .expect("Redis answers");
    assert_eq!(hour.total.totals.requests, 0);
}

#[tokio::test]
async fn a_key_that_is_somebody_elses_stops_all_of_a_call() {
    let server = Server::start();
    let mut rig = Rig::new();
    for n in 0..7 {
        rig.record(n);
    }
    rig.pass(20);
    let mut sink = RedisSink::new(options(server.addr, "one"));
    let instance = rig.history.instance();
    let key = format!("{{coo:{instance:016x}}}:client:client-3");
    let set = format!("*3\r\n$3\r\nSET\r\n${}\r\n{key}\r\n$1\r\nx\r\n", key.len());
    exchange(server.addr, set.as_bytes());
    // The calls of three rows before that one are taken, and it is tried again and again.
    for _ in 0..3 {
        let error = rig.round(&mut sink).await.expect_err("the key is taken");
        assert!(
            error.starts_with("refused") && error.contains(&key),
            "{error}"
        );
    }
    let del = format!("*2\r\n$3\r\nDEL\r\n${}\r\n{key}\r\n", key.len());
    exchange(server.addr, del.as_bytes());
    // Its counter is no number.
    let set = format!(
        "*4\r\n$4\r\nHSET\r\n${}\r\n{key}\r\n$8\r\nrequests\r\n$1\r\nx\r\n",
        key.len()
    );
    exchange(server.addr, set.as_bytes());
    for _ in 0..3 {
        let error = rig
            .round(&mut sink)
            .await
            .expect_err("the counter is no number");
        assert!(error.contains("not an integer"), "{error}");
    }
    exchange(server.addr, del.as_bytes());
    rig.round(&mut sink).await.expect("nothing is wrong now");
    // A number that Lua's cannot tell from the next one.
    let large = 1u64 << 53;
    let set = set.replace("$1\r\nx", &format!("$16\r\n{large}"));
    exchange(server.addr, set.as_bytes());
    rig.record(3);
    rig.pass(20);
    rig.round(&mut sink).await.expect("nothing is wrong now");
    let read = totals(&options(server.addr, "reader"), Span::Ever).await;
    let read = read.expect("Redis answers");
    assert_eq!(read.total.totals.requests, 8);
    assert_eq!(read.by_client.len(), 7);
    for (name, client) in &read.by_client {
        let before = if name == "client-3" { large } else { 0 };
        assert_eq!(client.totals.requests, before + 1, "{name}");
    }
}
