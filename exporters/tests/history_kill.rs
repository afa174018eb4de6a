//! Processes that are killed while they write their history, and a disk that the system
//! lets grow no more. The child is this executable again, told so by its environment.

use coo_llm_core::record::{Endpoint, Record, Tokens, UsageSource};
use coo_llm_core::{Meter, Micros, NanoUsd, UnixMillis};
use coo_llm_exporters::history::{Answer, Dimension, Filter, History, Options, Query, Window};
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// Records of a flush.
const FLUSH: u64 = 40;
const T0_S: u64 = 1_700_000_000;
/// Names the file to the child.
const FILE: &str = "COO_LLM_HISTORY_CHILD";

struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let name = format!("coo-llm-{name}-{}", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&path).expect("a temporary folder");
        Self(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _best_effort = std::fs::remove_dir_all(&self.0);
    }
}

fn open(path: &Path) -> (History, Meter) {
    let meter = Meter::with_pairs(1000);
    let options = Options {
        path: path.to_owned(),
        retention: [1, 30, 700].map(|days| Duration::from_secs(days * 86_400)),
        spool_bytes_max: 1 << 30,
    };
    let history = History::open(&options, meter.clone(), UnixMillis(T0_S * 1000));
    (history.expect("a history"), meter)
}

/// Records and flushes until it is killed; says on its output what is in the file.
#[test]
#[ignore = "the child of the others"]
fn child() {
    let Some(path) = std::env::var_os(FILE) else {
        return;
    };
    let (history, meter) = open(Path::new(&path));
    let catalog = meter.catalog();
    let mut writer = meter.writer();
    let mut out = std::io::stdout();
    let mut n = 0u64;
    loop {
        for _ in 0..FLUSH {
            let route = catalog.route("p", &format!("m{}", n % 5), "k");
            let client = catalog.client(&format!("c{}", n % 8));
            let at = UnixMillis(history.clock(UnixMillis(0)).0);
            writer.record(&Record {
                tokens: Tokens {
                    input: 3,
                    output: 5,
                    ..Tokens::default()
                },
                usage: Some(UsageSource::Provider),
                cost: Some(NanoUsd(7)),
                ..Record::new(route, client, Endpoint::Responses, at, Micros(1000 + n))
            });
            n += 1;
        }
        let now = UnixMillis(history.clock(UnixMillis(0)).0 + 3000);
        let word = match history.flush(now) {
            Ok(()) => "persisted",
            Err(_) => "refused",
        };
        writeln!(out, "\n{word} {n}").expect("the parent listens");
    }
}

fn start(path: &Path, shell: Option<&str>) -> Child {
    let me = std::env::current_exe().expect("this executable");
    let mut command = match shell {
        None => Command::new(me),
        Some(limits) => {
            let mut command = Command::new("sh");
            command
                .args(["-c", &format!("{limits}; exec \"$0\" \"$@\"")])
                .arg(me);
            command
        }
    };
    command
        .args(["--exact", "child", "--ignored", "--nocapture"])
        .env(FILE, path)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("this executable runs")
}

/// The number in the child's next line that begins with a word.
fn next(lines: &mut impl Iterator<Item = std::io::Result<String>>, word: &str) -> u64 {
    lines
        .map_while(Result::ok)
        .find_map(|line| line.strip_prefix(word)?.trim().parse().ok())
        .expect("a line of the child")
}

/// What is in the file, which must agree with itself however it is asked.
fn requests(path: &Path) -> u64 {
    let (history, _meter) = open(path);
    let ask = |group_by: Vec<Dimension>, step_s| {
        let query = Query {
            window: Window {
                start_s: 0,
                end_s: u64::MAX,
            },
            step_s,
            filter: Filter::default(),
            group_by,
        };
        let answer = history.query(&query, UnixMillis(0)).expect("an answer");
        let Answer { groups, .. } = answer;
        let points = groups.iter().flat_map(|group| &group.points);
        points.fold([0; 4], |[n, tokens, cost, timed], (_, usage)| {
            let totals = usage.totals;
            [
                n + totals.requests,
                tokens + totals.tokens.total(),
                cost + totals.cost.0,
                timed + usage.latency.count(),
            ]
        })
    };
    let [n, tokens, cost, timed] = ask(Vec::new(), None);
    assert_eq!([tokens, cost, timed], [8 * n, 7 * n, n]);
    // By another table, and by the finest rows.
    assert_eq!(ask(vec![Dimension::Client], None)[0], n);
    assert_eq!(ask(vec![Dimension::Model], Some(10))[0], n);
    n
}

#[test]
fn a_kill_loses_no_flush_that_was_done_and_leaves_none_half() {
    let folder = Folder::new("kill");
    let path = folder.0.join("history.db");
    let mut before = 0;
    for round in 0..15 {
        let mut child = start(&path, None);
        let mut lines = BufReader::new(child.stdout.take().expect("a pipe")).lines();
        let mut said = 0;
        for _ in 0..=round {
            said = next(&mut lines, "persisted ");
        }
        // At whatever it is doing now: SIGKILL.
        child.kill().expect("our own child");
        child.wait().expect("our own child");
        // What it did and could not say any more counts as done too.
        let said_later = lines.map_while(Result::ok);
        let said_later =
            said_later.filter_map(|line| line.strip_prefix("persisted ")?.parse().ok());
        let said = said_later.max().unwrap_or(said);
        let after = requests(&path);
        let got = after - before;
        assert!(
            got == said || got == said + FLUSH,
            "round {round}: {got} of {said}"
        );
        before = after;
    }
}

#[test]
fn a_file_that_may_not_grow_stays_whole_and_goes_on_later() {
    let folder = Folder::new("fsize");
    let path = folder.0.join("history.db");
    // The system refuses to let any file grow above 200 KiB; the signal is ignored.
    let mut child = start(&path, Some("trap '' XFSZ; ulimit -f 400"));
    let mut lines = BufReader::new(child.stdout.take().expect("a pipe")).lines();
    let mut said = 0;
    let refused = loop {
        let line = lines.next().expect("more lines").expect("text");
        if let Some(n) = line.strip_prefix("persisted ") {
            said = n.parse().expect("a number");
        } else if let Some(n) = line.strip_prefix("refused ") {
            break n.parse::<u64>().expect("a number");
        }
    };
    assert!(refused > said && said > 0);
    child.kill().expect("our own child");
    child.wait().expect("our own child");
    let kept = requests(&path);
    assert!(
        kept >= said && kept.is_multiple_of(FLUSH),
        "{kept} of {said}"
    );
    // With room again, it goes on where it was.
    let mut child = start(&path, None);
    let mut lines = BufReader::new(child.stdout.take().expect("a pipe")).lines();
    let more = next(&mut lines, "persisted ");
    child.kill().expect("our own child");
    child.wait().expect("our own child");
    assert!(requests(&path) >= kept + more);
}
