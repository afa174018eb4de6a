//! What a proxied request costs, beside the same without recording and beside nginx.
//!
//! ```text
//! proxy-rig proxy   [--with BIN --without BIN] [--rounds N] [--seconds N] [--runtime tokio] [--driver epoll]
//! proxy-rig latency [--with BIN --without BIN] [--rounds N]
//! proxy-rig runtimes --with BIN [--rounds N] [--seconds N]
//! proxy-rig icount  [--with BIN --without BIN] [--requests N] [--keep FILE] [--duties none|prices|all]
//! proxy-rig field   [--with BIN] [--rounds N] [--seconds N]       beside nginx, Envoy, LiteLLM, Portkey
//! proxy-rig onoff   [--with BIN --without BIN] [--rounds N] [--seconds N]
//! proxy-rig soak    [--with BIN] [--seconds N] [--history on|off]
//! proxy-rig idle    [--with BIN] [--connections N]
//! ```
//! Without executables it builds both from the workspace.
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a command line tool talks to its user"
)]

use coo_llm_benches::rig::cores::{self, LOAD};
use coo_llm_benches::rig::gateway::{self, Duties, Gateway, RunsOn, Setup};
use coo_llm_benches::rig::nginx::Nginx;
use coo_llm_benches::rig::upstream::{self, Upstream};
use coo_llm_benches::rig::wrk::{CONNECTIONS, Wrk};
use coo_llm_benches::rig::{Outcome, field, icount, load, memory, onoff, process};
use coo_llm_benches::stats::{median, quantile, spread};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use tempfile::TempDir;

/// Models by subject, of one length: the ledger tells subjects apart by them.
const MODELS: [&str; 4] = ["m-with", "m-wout", "m-ngnx", "m-dire"];
/// What is measured, in the order of [`MODELS`].
const SUBJECTS: [&str; 4] = ["with recording", "without recording", "nginx", "direct"];
const WITH: usize = 0;
const WITHOUT: usize = 1;
const NGINX: usize = 2;
const DIRECT: usize = 3;
/// Requests of the pass whose count must be exact.
const EXACT: u64 = 5_000;

struct Options {
    with: Option<PathBuf>,
    without: Option<PathBuf>,
    rounds: Option<usize>,
    seconds: Option<u32>,
    connections: u32,
    requests: u64,
    runtime: String,
    driver: String,
    keep: Option<PathBuf>,
    duties: Duties,
    history: bool,
}

impl Options {
    fn parse(mut args: impl Iterator<Item = String>) -> Outcome<Self> {
        let mut options = Self {
            with: None,
            without: None,
            rounds: None,
            seconds: None,
            connections: 10_000,
            requests: 2_000,
            runtime: "auto".to_owned(),
            driver: "auto".to_owned(),
            keep: None,
            duties: Duties::Prices,
            history: true,
        };
        while let Some(name) = args.next() {
            let value = args.next().ok_or_else(|| format!("{name} needs a value"))?;
            let bad = |_| format!("{name} {value}");
            match name.as_str() {
                "--with" => options.with = Some(value.into()),
                "--without" => options.without = Some(value.into()),
                "--rounds" => options.rounds = Some(value.parse().map_err(bad)?),
                "--seconds" => options.seconds = Some(value.parse().map_err(bad)?),
                "--connections" => options.connections = value.parse().map_err(bad)?,
                "--requests" => options.requests = value.parse().map_err(bad)?,
                "--runtime" => options.runtime = value,
                "--driver" => options.driver = value,
                "--history" => options.history = value != "off",
                "--duties" => options.duties = duties(&value)?,
                "--keep" => options.keep = Some(value.into()),
                _ => return Err(format!("{name} is not known")),
            }
        }
        Ok(options)
    }

    /// Rounds, where the mode has no number of its own.
    fn rounds(&self) -> usize {
        self.rounds.unwrap_or(12)
    }

    /// Seconds of a run, likewise.
    fn seconds(&self) -> u32 {
        self.seconds.unwrap_or(2)
    }

    fn runs_on(&self) -> RunsOn<'_> {
        RunsOn {
            runtime: &self.runtime,
            driver: &self.driver,
        }
    }

    /// The two executables; those that were not named are built.
    fn binaries(&self, folder: &TempDir) -> Outcome<[PathBuf; 2]> {
        Ok([self.binary(folder, true)?, self.binary(folder, false)?])
    }

    /// The executable with or without recording.
    fn binary(&self, folder: &TempDir, records: bool) -> Outcome<PathBuf> {
        match if records { &self.with } else { &self.without } {
            Some(path) => path
                .canonicalize()
                .map_err(|error| format!("{}: {error}", path.display())),
            None => gateway::build(folder.path(), records),
        }
    }
}

/// Everything that runs during a measurement.
struct Rig {
    upstream: Upstream,
    gateways: [Gateway; 2],
    nginx: Nginx,
}

impl Rig {
    fn start(options: &Options) -> Outcome<Self> {
        let folder = TempDir::new().map_err(|error| error.to_string())?;
        let [with, without] = options.binaries(&folder)?;
        cores::move_here(LOAD)?;
        let upstream = Upstream::start()?;
        let start = |binary: &PathBuf, model| {
            let setup = Setup {
                on: options.runs_on(),
                ..Setup::usual(model)
            };
            Gateway::start(binary, &upstream.addr, &setup)
        };
        let gateways = [
            start(&with, MODELS[WITH])?,
            start(&without, MODELS[WITHOUT])?,
        ];
        let nginx = Nginx::start(&upstream.addr)?;
        Ok(Self {
            upstream,
            gateways,
            nginx,
        })
    }

    fn addr(&self, subject: usize) -> Outcome<SocketAddr> {
        match subject {
            NGINX => Ok(self.nginx.addr),
            DIRECT => self
                .upstream
                .addr
                .parse()
                .map_err(|error| format!("{error}")),
            _ => Ok(self.gateways[subject].addr),
        }
    }

    fn pid(&self, subject: usize) -> u32 {
        match subject {
            NGINX => self.nginx.process.pid(),
            _ => self.gateways[subject].process.pid(),
        }
    }

    /// A fixed number of requests must be in the ledger and in `/metrics`, to the unit.
    fn check_exact(&mut self) -> Outcome<()> {
        let model = MODELS[WITH];
        let before = (
            self.upstream.served(model)?,
            self.gateways[WITH].counted(0)?,
        );
        load::exact(self.gateways[WITH].addr, model, EXACT)?;
        let counted = self.gateways[WITH].counted(before.1.requests + EXACT)?;
        let served = self.upstream.served(model)?;
        let by_ledger = (
            served.requests - before.0.requests,
            served.tokens - before.0.tokens,
        );
        let by_gateway = (
            counted.requests - before.1.requests,
            counted.tokens - before.1.tokens,
        );
        println!("exact: (requests, tokens) ledger {by_ledger:?}, /metrics {by_gateway:?}");
        if by_ledger != by_gateway || by_ledger.0 != EXACT {
            return Err("the gateway's count is not the ledger's".to_owned());
        }
        let nothing = self.gateways[WITHOUT].counted(0)?.requests;
        if nothing != 0 {
            return Err("the gateway without recording records".to_owned());
        }
        Ok(())
    }

    /// After wrk, which cuts what is under way when its time is over.
    fn check_bounds(&mut self, wrk: u64, runs: u64) -> Outcome<()> {
        let served = self.upstream.served(MODELS[WITH])?.requests;
        let counted = self.gateways[WITH].counted(served)?.requests;
        println!(
            "bounds: wrk and exact {wrk}, ledger {served}, /metrics {counted}, {runs} cut runs"
        );
        let cut = runs * u64::from(CONNECTIONS);
        if !(wrk..=wrk + cut).contains(&served) || !(served..=wrk + cut).contains(&counted) {
            return Err("counts that cut requests do not explain".to_owned());
        }
        Ok(())
    }
}

fn shuffled<const N: usize>(random: &mut fastrand::Rng) -> [usize; N] {
    let mut order = std::array::from_fn(|at| at);
    random.shuffle(&mut order);
    order
}

fn ratios(a: &[f64], b: &[f64]) -> Vec<f64> {
    a.iter().zip(b).map(|(a, b)| a / b).collect()
}

fn proxy(options: &Options) -> Outcome<()> {
    let mut rig = Rig::start(options)?;
    rig.check_exact()?;
    let wrks = MODELS.map(Wrk::new);
    let mut rps: [Vec<f64>; 3] = Default::default();
    let mut cpu_us: [Vec<f64>; 3] = Default::default();
    let mut sent = EXACT;
    let mut random = fastrand::Rng::with_seed(1);
    // The first round warms up and is not kept.
    for round in 0..=options.rounds() {
        for subject in shuffled::<3>(&mut random) {
            let wrk = wrks[subject].as_ref().map_err(Clone::clone)?;
            let before = process::cpu_ns(rig.pid(subject))?;
            let run = wrk.run(rig.addr(subject)?, options.seconds())?;
            let took = process::cpu_ns(rig.pid(subject))? - before;
            if subject == WITH {
                sent += run.requests;
            }
            if round > 0 {
                rps[subject].push(run.rps);
                cpu_us[subject].push(took as f64 / 1e3 / run.requests as f64);
            }
        }
    }
    rig.check_exact()?;
    rig.check_bounds(sent + EXACT, options.rounds() as u64 + 1)?;
    println!(
        "{} rounds of {} s, {CONNECTIONS} connections; median [min .. max]",
        options.rounds(),
        options.seconds()
    );
    for subject in [WITH, WITHOUT, NGINX] {
        println!(
            "{:18} CPU us/request {}   requests/s {}",
            SUBJECTS[subject],
            spread(&cpu_us[subject], 2),
            spread(&rps[subject], 0)
        );
    }
    for (what, values) in [("CPU", &cpu_us), ("rps", &rps)] {
        for other in [WITHOUT, NGINX] {
            let pairs = ratios(&values[WITH], &values[other]);
            println!(
                "{what}: with recording / {} {}",
                SUBJECTS[other],
                spread(&pairs, 3)
            );
        }
    }
    Ok(())
}

/// The pairs of runtime and driver, the default first.
const PAIRS: [RunsOn<'static>; 4] = [
    pair("monoio", "epoll"),
    pair("monoio", "io_uring"),
    pair("tokio", "epoll"),
    pair("glommio", "io_uring"),
];

const fn pair(runtime: &'static str, driver: &'static str) -> RunsOn<'static> {
    RunsOn { runtime, driver }
}

/// One executable on each pair, in random order; it has the feature `glommio`.
fn runtimes(options: &Options) -> Outcome<()> {
    let binary = options
        .with
        .as_ref()
        .ok_or("name a build with `--features glommio` by --with")?;
    let binary = binary
        .canonicalize()
        .map_err(|error| format!("{}: {error}", binary.display()))?;
    cores::move_here(LOAD)?;
    let upstream = Upstream::start()?;
    let model = MODELS[WITH];
    let mut gateways = Vec::new();
    for on in PAIRS {
        let setup = Setup {
            on,
            ..Setup::usual(model)
        };
        let gateway = Gateway::start(&binary, &upstream.addr, &setup)?;
        load::exact(gateway.addr, model, EXACT)?;
        let counted = gateway.counted(EXACT)?.requests;
        if counted != EXACT {
            return Err(format!("{on:?} counted {counted} of {EXACT} requests"));
        }
        gateways.push(gateway);
    }
    let wrk = Wrk::new(model)?;
    let mut rps: [Vec<f64>; 4] = Default::default();
    let mut cpu_us: [Vec<f64>; 4] = Default::default();
    let mut random = fastrand::Rng::with_seed(3);
    // The first round warms up and is not kept.
    for round in 0..=options.rounds() {
        for at in shuffled::<4>(&mut random) {
            let pid = gateways[at].process.pid();
            let before = process::cpu_ns(pid)?;
            let run = wrk.run(gateways[at].addr, options.seconds())?;
            let took = process::cpu_ns(pid)? - before;
            if round > 0 {
                rps[at].push(run.rps);
                cpu_us[at].push(took as f64 / 1e3 / run.requests as f64);
            }
        }
    }
    let load = std::fs::read_to_string("/proc/loadavg").map_err(|error| error.to_string())?;
    println!(
        "{} rounds of {} s, {CONNECTIONS} connections; median [min .. max]; load {}",
        options.rounds(),
        options.seconds(),
        load.trim()
    );
    for (at, RunsOn { runtime, driver }) in PAIRS.into_iter().enumerate() {
        println!(
            "{runtime:7} {driver:8} CPU us/request {}  / the first {}   requests/s / the first {}",
            spread(&cpu_us[at], 2),
            spread(&ratios(&cpu_us[at], &cpu_us[0]), 3),
            spread(&ratios(&rps[at], &rps[0]), 3)
        );
    }
    Ok(())
}

fn latency(options: &Options) -> Outcome<()> {
    const REQUESTS: u64 = 1_000;
    let mut rig = Rig::start(options)?;
    rig.check_exact()?;
    let mut p50: [Vec<f64>; 4] = Default::default();
    let mut p99: [Vec<f64>; 4] = Default::default();
    let mut random = fastrand::Rng::with_seed(2);
    for round in 0..=options.rounds() {
        for subject in shuffled::<4>(&mut random) {
            let latencies = load::exact(rig.addr(subject)?, MODELS[subject], REQUESTS)?;
            if round > 0 {
                p50[subject].push(quantile(&latencies, 0.5));
                p99[subject].push(quantile(&latencies, 0.99));
            }
        }
    }
    println!(
        "{} rounds of {REQUESTS} requests over one connection; microseconds; median [min .. max]",
        options.rounds()
    );
    for subject in [DIRECT, WITH, WITHOUT, NGINX] {
        let added = |of: &[Vec<f64>; 4]| -> Vec<f64> {
            of[subject]
                .iter()
                .zip(&of[DIRECT])
                .map(|(a, b)| a - b)
                .collect()
        };
        println!(
            "{:18} p50 {}  p99 {}  added p50 {}  added p99 {}",
            SUBJECTS[subject],
            spread(&p50[subject], 1),
            spread(&p99[subject], 1),
            spread(&added(&p50), 1),
            spread(&added(&p99), 1)
        );
    }
    Ok(())
}

fn duties(name: &str) -> Outcome<Duties> {
    match name {
        "none" => Ok(Duties::None),
        "prices" => Ok(Duties::Prices),
        "all" => Ok(Duties::All),
        _ => Err(format!("--duties is none, prices or all, not {name}")),
    }
}

fn count(options: &Options) -> Outcome<()> {
    const REPEATS: usize = 3;
    let folder = TempDir::new().map_err(|error| error.to_string())?;
    let binaries = options.binaries(&folder)?;
    cores::move_here(LOAD)?;
    let upstream = Upstream::start()?;
    // Valgrind knows no io_uring.
    let on = RunsOn {
        driver: "epoll",
        ..options.runs_on()
    };
    let mut counts: [Vec<f64>; 2] = Default::default();
    for _ in 0..REPEATS {
        for (subject, binary) in binaries.iter().enumerate() {
            let keep = options.keep.as_deref().filter(|_| subject == WITH);
            let (few, many) = (options.requests / 4, options.requests);
            let setup = Setup {
                on,
                duties: options.duties,
                ..Setup::usual(MODELS[subject])
            };
            let n = icount::a_request(binary, &upstream, &setup, few, many, keep)?;
            println!("{:18} {n:.0} user instructions/request", SUBJECTS[subject]);
            counts[subject].push(n);
        }
    }
    let [with, without] = counts.map(|n| median(&n));
    println!(
        "recording adds {:.0} of {without:.0} instructions a request: {:.2} %",
        with - without,
        100.0 * (with / without - 1.0)
    );
    Ok(())
}

/// One gateway, built or named, for a mode that needs no other.
fn alone(options: &Options, run: impl FnOnce(&Path) -> Outcome<()>) -> Outcome<()> {
    let folder = TempDir::new().map_err(|error| error.to_string())?;
    run(&options.binary(&folder, true)?)
}

fn field(options: &Options) -> Outcome<()> {
    let (rounds, seconds) = (options.rounds.unwrap_or(5), options.seconds.unwrap_or(1));
    let on = options.runs_on();
    alone(options, |binary| field::run(binary, on, rounds, seconds))
}

fn on_and_off(options: &Options) -> Outcome<()> {
    let folder = TempDir::new().map_err(|error| error.to_string())?;
    let seconds = options.seconds.unwrap_or(1);
    onoff::run(&options.binaries(&folder)?, options.rounds(), seconds)
}

fn soak(options: &Options) -> Outcome<()> {
    let seconds = options.seconds.unwrap_or(600);
    alone(options, |binary| {
        memory::soak(binary, seconds, options.history)
    })
}

fn idle(options: &Options) -> Outcome<()> {
    alone(options, |binary| memory::idle(binary, options.connections))
}

fn main() -> ExitCode {
    let mut args = std::env::args().skip(1);
    let mode = args.next().unwrap_or_default();
    let outcome = match mode.as_str() {
        "upstream" => upstream::serve().map_err(|error| error.to_string()),
        "proxy" => Options::parse(args).and_then(|options| proxy(&options)),
        "runtimes" => Options::parse(args).and_then(|options| runtimes(&options)),
        "latency" => Options::parse(args).and_then(|options| latency(&options)),
        "icount" => Options::parse(args).and_then(|options| count(&options)),
        "field" => Options::parse(args).and_then(|options| field(&options)),
        "onoff" => Options::parse(args).and_then(|options| on_and_off(&options)),
        "soak" => Options::parse(args).and_then(|options| soak(&options)),
        "idle" => Options::parse(args).and_then(|options| idle(&options)),
        _ => Err(
            "usage: proxy-rig proxy | runtimes | latency | icount | field | onoff | soak | idle \
             [OPTION VALUE]..."
                .to_owned(),
        ),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("proxy-rig: {why}");
            ExitCode::FAILURE
        }
    }
}
