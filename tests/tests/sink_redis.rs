//! The Redis sink: what `redis-cli` reads is what `/metrics`, the history and the oracle say.
//!
//! Needs the built gateway, `redis-server` and `sqlite3`. A stop seals what was counted, so most
//! scenes are over as soon as the gateway has ended.

use coo_llm_tests::authority::Authority;
use coo_llm_tests::exposition::Exposition;
use coo_llm_tests::gateway::{Config, Gateway, free_port};
use coo_llm_tests::oracle::{Event, Oracle};
use coo_llm_tests::patience::poll;
use coo_llm_tests::redis::{Hash, Redis};
use coo_llm_tests::rig::{self, CHAT, CLIENT, CLIENT_KEY, MODEL, PROVIDER};
use coo_llm_tests::upstream::{Script, Upstream, Usage};
use std::fs::{self, OpenOptions};
use std::path::PathBuf;
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};
use tempfile::TempDir;

/// The least rights that the sink needs, as docs/sinks.md has them.
const ACL: &str = "resetchannels ~{coo:* ~coo:instances +evalsha +eval +hincrby +hset +hget +hmget \
     +type +expireat +sadd +del +info";

/// A gateway that is started and ended, its history, and what it was asked.
struct Scene {
    folder: TempDir,
    upstream: Upstream,
    sink: String,
    oracle: Oracle,
    sent: u64,
}

impl Scene {
    /// With the keys of a sink of type redis.
    fn new(sink: &str) -> Self {
        Self {
            folder: TempDir::new().expect("a temporary folder"),
            upstream: Upstream::builder()
                .keys(&[rig::PROVIDER_KEY])
                .models(&[MODEL])
                .start(),
            sink: sink.to_owned(),
            oracle: Oracle::default(),
            sent: 0,
        }
    }

    fn history(&self) -> PathBuf {
        self.folder.path().join("history.db")
    }

    fn start(&self) -> Gateway {
        let (history, sink) = (self.history(), &self.sink);
        let storage = format!(
            "storage: {{ flush_interval: 1s, history: {{ path: \"{}\" }}, runtime: {{ type: redis, {sink} }} }}",
            history.display()
        );
        Gateway::start(&Config {
            top: vec![storage],
            ..rig::config(&self.upstream.base_url())
        })
    }

    /// Sends chats, one in seven of which fails.
    fn chat(&mut self, gateway: &Gateway, times: u64) {
        let mut client = gateway.client();
        for _ in 0..times {
            self.sent += 1;
            let n = self.sent;
            let mut script = Script {
                usage: Usage {
                    prompt: 100 + n,
                    cached: n % 40,
                    completion: 20 + n % 13,
                    ..Usage::default()
                },
                ..Script::default()
            };
            let mut event = rig::success(&script);
            if n.is_multiple_of(7) {
                script.status = Some(500);
                event = Event {
                    tokens: None,
                    error: Some("upstream_5xx"),
                    ..event
                };
            }
            let body = rig::chat(&script).to_string();
            let reply = client.post(CHAT, CLIENT_KEY, body.as_bytes());
            assert_eq!(
                reply.status,
                script.status.unwrap_or(200),
                "{}",
                reply.text()
            );
            if event.error.is_none() {
                self.oracle.record(&event);
            } else {
                self.oracle.record_from(&event, None);
            }
        }
    }

    /// Stops a gateway, with which its counters go to where the sink is.
    fn stop(gateway: &mut Gateway) {
        gateway.terminate();
        assert_eq!(gateway.wait().code(), Some(0), "{}", gateway.log());
    }

    /// Compares Redis with the oracle and the history's file, to the unit.
    fn compare(&self, redis: &Redis) {
        let instances = redis.instances();
        let [instance] = instances.as_slice() else {
            unreachable!("one gateway: {instances:?}")
        };
        let key = |rest: &str| format!("{{coo:{instance}}}:{rest}");
        let total = redis.hash(&key("total"));
        assert_eq!(self.history_sums(), without_last(&total));
        assert_eq!(total["requests"], self.sent);
        let of = |name: &str| total.get(name).copied().unwrap_or(0);
        let tokens: u64 = TOKENS.into_iter().map(of).sum();
        assert_eq!(tokens, self.oracle.sum("coo_llm_tokens_total"));
        assert_eq!(of("errors"), self.oracle.sum("coo_llm_errors_total"));
        assert_eq!(of("cost_nano_usd"), self.oracle.sum("coo_llm_cost_total"));
        assert_eq!(of("timed"), self.sent);
        // One client and one route: each says the same.
        let route = format!("{PROVIDER}:{MODEL}:{}", rig::provider_key_id());
        assert_eq!(redis.hash(&key(&format!("client:{CLIENT}"))), total);
        assert_eq!(redis.hash(&key(&format!("route:{route}"))), total);
        assert_eq!(redis.cli(&["SMEMBERS", &key("clients")]), CLIENT);
        assert_eq!(redis.cli(&["SMEMBERS", &key("routes")]), route);
        let errors = redis.hash(&key("errors"));
        assert_eq!(errors[&format!("{PROVIDER}:upstream_5xx")], total["errors"]);
    }

    /// The columns of the history's hours, without those that are 0.
    fn history_sums(&self) -> Hash {
        let names = [
            &TOKENS[..],
            &[
                "requests",
                "errors",
                "cost_nano_usd",
                "unpriced",
                "timed",
                "latency_us",
            ],
        ]
        .concat();
        let sums: Vec<String> = names.iter().map(|name| format!("sum({name})")).collect();
        let sql = format!("SELECT {} FROM usage_1h", sums.join(", "));
        let output = Command::new("sqlite3")
            .arg("-readonly")
            .arg(self.history())
            .arg(&sql)
            .output();
        let output = output.expect("sqlite3 is installed");
        let text = String::from_utf8(output.stdout).expect("UTF-8");
        let numbers = text.trim().split('|').map(|n| n.parse().expect("a number"));
        let pairs = names.iter().map(ToString::to_string).zip(numbers);
        pairs.filter(|(_, n)| *n > 0).collect()
    }
}

const TOKENS: [&str; 7] = [
    "input",
    "cached_input",
    "cache_write",
    "output",
    "reasoning",
    "audio_input",
    "audio_output",
];

fn without_last(hash: &Hash) -> Hash {
    let mut hash = hash.clone();
    assert!(hash.remove("last_request_ms").is_some());
    hash
}

fn addr(redis: &Redis) -> String {
    format!("addr: \"{}\"", redis.addr())
}

fn sink(page: &Exposition, what: &str) -> u64 {
    page.count(&format!("coo_llm_sink_{what}"), &[("sink", "redis")])
}

fn failures(page: &Exposition, reason: &str) -> u64 {
    let labels = [("sink", "redis"), ("reason", reason)];
    page.count("coo_llm_sink_failures_total", &labels)
}

fn waits_for(gateway: &Gateway, reason: &str) -> Exposition {
    gateway.metrics_when(&format!("a failure of reason {reason}"), |page| {
        failures(page, reason) > 0
    })
}

fn when_up(gateway: &Gateway) -> Exposition {
    gateway.metrics_when("the sink to be up", |page| sink(page, "up") == 1)
}

#[test]
fn redis_says_what_metrics_history_and_oracle_say() {
    let redis = Redis::start();
    let mut scene = Scene::new(&addr(&redis));
    let mut gateway = scene.start();
    let begun_s = now_s();
    scene.chat(&gateway, 40);
    // While it runs, rows come when their ten seconds are over.
    let page = gateway.metrics_when("rows in Redis", |page| sink(page, "rows_total") > 0);
    assert_eq!((sink(&page, "up"), sink(&page, "rewinds_total")), (1, 0));
    assert_eq!(redis.instances().len(), 1);
    scene.chat(&gateway, 41);
    let page = gateway.metrics_after(81);
    assert_eq!(scene.oracle.differences(&page), Vec::<String>::new());
    assert_eq!(failures(&page, "connect"), 0);
    Scene::stop(&mut gateway);
    scene.compare(&redis);

    // Buckets expire when the configuration says so, and totals never.
    let instance = redis.instances().remove(0);
    let key = |rest: &str| format!("{{coo:{instance}}}:{rest}");
    let expires = |key: &str| redis.cli(&["EXPIRETIME", key]);
    let mut sums = [0; 3];
    for n in 0..10 {
        for (at, width, days) in [(0, 60, 1), (1, 3600, 7), (2, 86_400, 400)] {
            let start = begun_s - begun_s % width + n * width;
            let total = key(&format!("{}total", bucket(start, width)));
            let hash = redis.hash(&total);
            if hash.is_empty() {
                continue;
            }
            sums[at] += hash["requests"];
            assert_eq!(expires(&total), (start + width + days * 86_400).to_string());
        }
    }
    assert_eq!(sums, [81; 3], "minutes, hours, days");
    for rest in [
        "total",
        "fence",
        "clients",
        "routes",
        "errors",
        &format!("client:{CLIENT}"),
    ] {
        assert_eq!(expires(&key(rest)), "-1", "{rest}");
    }
}

fn now_s() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.expect("it is after 1970").as_secs()
}

/// What the keys of a bucket begin with, by the `date` of the system.
fn bucket(start: u64, width: u64) -> String {
    let format = match width {
        60 => "+minute:%Y-%m-%dT%H:%M:",
        3600 => "+hour:%Y-%m-%dT%H:",
        _ => "+day:%Y-%m-%d:",
    };
    let output = Command::new("date")
        .args(["-u", "-d", &format!("@{start}"), format])
        .output();
    let output = output.expect("coreutils are installed");
    String::from_utf8(output.stdout)
        .expect("UTF-8")
        .trim()
        .to_owned()
}

#[test]
fn redis_that_is_down_at_the_start_gets_all_later() {
    let mut redis = Redis::start();
    redis.kill();
    let mut scene = Scene::new(&addr(&redis));
    let mut gateway = scene.start();
    scene.chat(&gateway, 20);
    let page = waits_for(&gateway, "connect");
    assert_eq!(sink(&page, "up"), 0);
    // A stop does not wait for it, and the next start goes on.
    Scene::stop(&mut gateway);
    let mut gateway = scene.start();
    scene.chat(&gateway, 20);
    waits_for(&gateway, "connect");
    redis.restart();
    when_up(&gateway);
    Scene::stop(&mut gateway);
    scene.compare(&redis);
}

/// Cuts the file of what was appended within its last transaction, as a crash of the machine
/// does: after its first increment, or so many bytes later.
fn tear(redis: &Redis, later: u64) {
    let folder = redis.file("appendonlydir");
    let files = fs::read_dir(folder).expect("Redis made it");
    let paths = files.map(|file| file.expect("a file").path());
    let last = paths
        .filter(|path| path.to_string_lossy().contains(".incr."))
        .max();
    let last = last.expect("Redis appends to a file");
    let bytes = fs::read(&last).expect("our own file");
    let find = |word: &[u8], from: usize| {
        let mut places = bytes[from..].windows(word.len());
        from + places.position(|it| it == word).expect("a transaction")
    };
    let begins = bytes.windows(5).rposition(|word| word == b"MULTI");
    let begins = begins.expect("a transaction");
    let second = find(b"*4\r\n", find(b"HINCRBY", begins));
    let file = OpenOptions::new().write(true).open(last);
    let cut = file.expect("our own file").set_len(second as u64 + later);
    cut.expect("our own file");
}

#[test]
fn redis_that_is_killed_and_loses_its_last_rows_gets_them_again() {
    let mut redis = Redis::start();
    let mut scene = Scene::new(&addr(&redis));
    for _ in 0..3 {
        let mut gateway = scene.start();
        scene.chat(&gateway, 15);
        Scene::stop(&mut gateway);
        scene.compare(&redis);
        redis.kill();
        tear(&redis, 0);
        redis.restart();
        let instance = redis.instances().remove(0);
        let total = redis.hash(&format!("{{coo:{instance}}}:total"));
        assert!(
            total.get("requests").copied().unwrap_or(0) < scene.sent,
            "{total:?}"
        );
    }
    let mut gateway = scene.start();
    let page = gateway.metrics_when("the sink to go back", |page| {
        sink(page, "rewinds_total") > 0 && sink(page, "rows_total") > 0
    });
    assert_eq!(sink(&page, "up"), 1);
    // It is killed while rows come and go.
    scene.chat(&gateway, 15);
    redis.restart();
    scene.chat(&gateway, 15);
    when_up(&gateway);
    Scene::stop(&mut gateway);
    scene.compare(&redis);
}

/// Redis 7.0 keeps the beginning of a transaction whose last command was cut in two, and carries
/// it out with the next one when it reads the file again.
/// Waits for words in the log, which another thread writes.
fn says(gateway: &Gateway, words: &str) {
    poll(words, || gateway.log().contains(words).then_some(()));
}

#[test]
fn redis_that_counts_a_part_of_a_call_twice_is_found_out() {
    let mut redis = Redis::start();
    let mut scene = Scene::new(&addr(&redis));
    let mut gateway = scene.start();
    scene.chat(&gateway, 15);
    Scene::stop(&mut gateway);
    redis.kill();
    tear(&redis, 9);
    redis.restart();
    let mut gateway = scene.start();
    scene.chat(&gateway, 15);
    when_up(&gateway);
    Scene::stop(&mut gateway);
    scene.compare(&redis);
    redis.restart();
    let instance = redis.instances().remove(0);
    let total = redis.hash(&format!("{{coo:{instance}}}:total"));
    let gateway = scene.start();
    if total["requests"] == scene.sent {
        // A Redis that does not.
        when_up(&gateway);
    } else {
        waits_for(&gateway, "refused");
        says(&gateway, "TORN");
        // As docs/sinks.md says.
        redis.tell(&["FLUSHALL"]);
        let _page = gateway.metrics_when("rows in Redis", |page| sink(page, "rows_total") > 0);
    }
    drop(gateway);
    scene.compare(&redis);
}

#[test]
fn redis_that_is_emptied_gets_everything_again() {
    let redis = Redis::start();
    let mut scene = Scene::new(&addr(&redis));
    let mut gateway = scene.start();
    scene.chat(&gateway, 15);
    Scene::stop(&mut gateway);
    let mut gateway = scene.start();
    when_up(&gateway);
    redis.tell(&["FLUSHALL"]);
    scene.chat(&gateway, 15);
    let _page = gateway.metrics_when("the sink to go back", |page| {
        sink(page, "rewinds_total") > 0
    });
    Scene::stop(&mut gateway);
    scene.compare(&redis);
}

#[test]
fn redis_that_is_full_or_would_evict_gets_rows_when_it_can_keep_them() {
    let redis = Redis::start_with(&["--maxmemory", "200mb", "--maxmemory-policy", "allkeys-lru"]);
    let mut scene = Scene::new(&addr(&redis));
    let gateway = scene.start();
    scene.chat(&gateway, 10);
    waits_for(&gateway, "refused");
    says(&gateway, "allkeys-lru");
    let policy = ["maxmemory-policy", "noeviction", "maxmemory", "1kb"];
    redis.tell(&[&["CONFIG", "SET"], &policy[..]].concat());
    waits_for(&gateway, "busy");
    redis.tell(&["CONFIG", "SET", "maxmemory", "0"]);
    let _page = gateway.metrics_when("rows in Redis", |page| sink(page, "rows_total") > 0);
    drop(gateway);
    scene.compare(&redis);
}

/// Makes the user of [`ACL`].
fn let_in(redis: &Redis, more: &[&str]) {
    let mut setuser = vec!["ACL", "SETUSER", "coo", "on", ">right-password"];
    setuser.extend(ACL.split_whitespace());
    setuser.extend(more);
    redis.tell(&setuser);
}

#[test]
fn a_user_of_the_least_rights_writes_and_a_wrong_password_is_said_without_it() {
    let redis = Redis::start();
    let_in(&redis, &[]);
    let at = addr(&redis);
    let mut scene = Scene::new(&format!("{at}, username: coo, password: wrong-password"));
    let mut gateway = scene.start();
    scene.chat(&gateway, 10);
    waits_for(&gateway, "auth");
    says(&gateway, "authentication failed");
    assert!(
        !gateway.log().contains("wrong-password"),
        "{}",
        gateway.log()
    );
    Scene::stop(&mut gateway);
    scene.sink = format!("{at}, username: coo, password: right-password");
    let mut gateway = scene.start();
    when_up(&gateway);
    scene.chat(&gateway, 10);
    Scene::stop(&mut gateway);
    scene.compare(&redis);

    // Without one of the rights nothing is written by halves.
    for right in ["+expireat", "+hset", "+sadd", "+hincrby"] {
        redis.tell(&["ACL", "SETUSER", "coo", &right.replace('+', "-")]);
        redis.tell(&["FLUSHALL"]);
        let gateway = scene.start();
        waits_for(&gateway, "auth");
        let page = gateway.metrics();
        assert_eq!(sink(&page, "rows_total"), 0, "{right}");
        redis.tell(&["ACL", "SETUSER", "coo", right]);
        when_up(&gateway);
        drop(gateway);
        scene.compare(&redis);
    }
}

#[test]
fn tls_is_spoken_with_the_authority_that_is_named_alone() {
    let (ours, others) = (Authority::new(), Authority::new());
    let redis = Redis::start_tls(&ours.leaf(), &ours.pem);
    let at = addr(&redis);
    let mut scene = Scene::new("");
    let ca = |name: &str, pem: &str| {
        let path = scene.folder.path().join(name);
        fs::write(&path, pem).expect("the folder is writable");
        format!("{at}, tls: true, ca_file: \"{}\"", path.display())
    };
    let (right, wrong) = (ca("ca.pem", &ours.pem), ca("other.pem", &others.pem));
    scene.sink = wrong;
    let mut gateway = scene.start();
    scene.chat(&gateway, 10);
    let page = waits_for(&gateway, "connect");
    assert_eq!(sink(&page, "up"), 0);
    Scene::stop(&mut gateway);
    assert!(redis.instances().is_empty());
    scene.sink = right;
    let mut gateway = scene.start();
    when_up(&gateway);
    scene.chat(&gateway, 10);
    Scene::stop(&mut gateway);
    scene.compare(&redis);
}

/// Nodes of a cluster, of which each has a third of the slots.
fn cluster() -> [Redis; 3] {
    let start = || {
        // The nodes' own port is 10,000 above by default, which may be no port at all.
        let bus = free_port().to_string();
        Redis::start_with(&[
            "--cluster-enabled",
            "yes",
            "--cluster-port",
            &bus,
            "--cluster-node-timeout",
            "1000",
        ])
    };
    let nodes = [start(), start(), start()];
    let addrs = nodes.each_ref().map(Redis::addr);
    let mut create = vec!["--cluster", "create"];
    create.extend(addrs.iter().map(String::as_str));
    create.push("--cluster-yes");
    let made = nodes[0].cli(&create);
    assert!(made.contains("All 16384 slots covered"), "{made}");
    let is_ok = |node: &Redis| node.cli(&["CLUSTER", "INFO"]).contains("cluster_state:ok");
    poll("the cluster to be whole", || {
        nodes.iter().all(is_ok).then_some(())
    });
    nodes
}

#[test]
fn a_cluster_takes_rows_and_gets_them_later_when_a_node_was_away() {
    let mut nodes = cluster();
    let addrs = nodes.each_ref().map(Redis::addr).join(",");
    let more = ["+cluster|slots", "+ping"];
    for node in &nodes {
        let_in(node, &more);
    }
    let user = "username: coo, password: right-password";
    let mut scene = Scene::new(&format!("addr: \"{addrs}\", cluster: true, {user}"));
    let mut gateway = scene.start();
    scene.chat(&gateway, 15);
    when_up(&gateway);
    Scene::stop(&mut gateway);
    scene.compare(&nodes[0]);

    // The node that has this instance's slot.
    let instance = nodes[0].instances().remove(0);
    let fence = format!("{{coo:{instance}}}:fence");
    let slot = nodes[0].cli(&["CLUSTER", "KEYSLOT", &fence]);
    let has = |node: &Redis| node.cli(&["CLUSTER", "COUNTKEYSINSLOT", &slot]) != "0";
    let of = nodes.iter().position(has).expect("a node has the slot");
    let mut gateway = scene.start();
    when_up(&gateway);
    nodes[of].kill();
    scene.chat(&gateway, 15);
    let _page = gateway.metrics_when("the sink to be down", |page| sink(page, "up") == 0);
    nodes[of].restart();
    let_in(&nodes[of], &more);
    when_up(&gateway);
    Scene::stop(&mut gateway);
    scene.compare(&nodes[(of + 1) % 3]);
}

#[test]
fn redis_that_hangs_holds_nobody_up() {
    let redis = Redis::start();
    let mut scene = Scene::new(&addr(&redis));
    let mut gateway = scene.start();
    when_up(&gateway);
    redis.freeze();
    scene.chat(&gateway, 30);
    waits_for(&gateway, "timeout");
    redis.thaw();
    when_up(&gateway);
    Scene::stop(&mut gateway);
    scene.compare(&redis);
}
