//! From a real history file to what is shown.

use super::*;
use crate::history::{self, Window};
use crate::prometheus::Value;
use coo_llm_core::catalog::{ClientId, Route};
use coo_llm_core::record::{Endpoint, ErrorType, Record};
use coo_llm_core::{Meter, Micros, NanoUsd, ShardWriter};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// Four weeks before this the history begins: a full hour on a Tuesday.
const NOW_S: u64 = 1_795_525_200;
const DAY_S: u64 = 86_400;

struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let n = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("coo-llm-watch-{}-{n}", std::process::id());
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

/// A gateway's meter and history.
struct Rig {
    writer: ShardWriter,
    routes: [Route; 2],
    clients: Vec<ClientId>,
    history: History,
    now_s: u64,
}

impl Rig {
    fn open(folder: &Folder, clients: u32, now_s: u64) -> Self {
        let meter = Meter::with_pairs(10_000);
        let catalog = meter.catalog();
        let routes = ["openai", "groq"].map(|it| catalog.route(it, "m", it));
        let clients = (0..clients).map(|n| catalog.client(&format!("client-{n}")));
        let clients = clients.collect();
        let options = history::Options {
            path: folder.0.join("history.db"),
            retention: [DAY_S, 30 * DAY_S, 730 * DAY_S].map(Duration::from_secs),
            spool_bytes_max: 1 << 20,
        };
        let history = History::open(&options, meter.clone(), UnixMillis(now_s * 1000));
        Self {
            writer: meter.writer(),
            routes,
            clients,
            history: history.expect("a history"),
            now_s,
        }
    }

    fn now(&self) -> UnixMillis {
        UnixMillis(self.now_s * 1000)
    }

    /// Requests of a client at this second.
    fn record(&mut self, client: usize, requests: u64, error: Option<ErrorType>, route: usize) {
        self.history.drain(self.now());
        for _ in 0..requests {
            let record = Record::new(
                self.routes[route],
                self.clients[client],
                Endpoint::ChatCompletions,
                self.now(),
                Micros(1000),
            );
            self.writer.record(&Record {
                cost: Some(NanoUsd(1_000_000)),
                error,
                ..record
            });
        }
        self.history.drain(self.now());
    }

    /// Four weeks in which each client has 60 requests an hour, in one row an hour, but for the
    /// last day, of which each minute has one.
    fn weeks(folder: &Folder, clients: u32) -> Self {
        let mut rig = Self::open(folder, clients, NOW_S - 28 * DAY_S);
        while rig.now_s < NOW_S {
            let is_last_day = rig.now_s >= NOW_S - DAY_S;
            let (requests, step_s) = if is_last_day { (1, 60) } else { (60, 3600) };
            for client in 0..clients as usize {
                rig.record(client, requests, None, 0);
            }
            rig.now_s += step_s;
        }
        rig.history.flush(rig.now()).expect("room");
        rig
    }

    fn catch_up(&self, watch: &mut Watch) -> usize {
        let mut steps = 0;
        while watch.step(&self.history, self.now()).expect("a step") == Step::Behind {
            steps += 1;
        }
        steps
    }

    /// What one run does.
    fn run(&self, watch: &mut Watch, budgets: &HashMap<Arc<str>, Budget>) -> Vec<News> {
        self.catch_up(watch);
        watch.judge(&self.history, budgets, self.now())
    }
}

fn watch(clients_max: usize) -> Watch {
    Watch::new(Options {
        sensitivity: Sensitivity::Normal,
        clients_max,
    })
}

fn began(news: &[News]) -> Vec<(&str, Kind)> {
    let began = news.iter().filter_map(|it| match it.change {
        Change::Began(kind) => Some((&*it.client, kind)),
        Change::Ended(_) => None,
    });
    began.collect()
}

/// The samples of a family, as text.
fn family(board: &Board, name: &str) -> Vec<(Vec<String>, Value)> {
    let families = board.families();
    let family = families.iter().find(|family| family.name == name);
    let samples = &family.expect("a family of this name").samples;
    let values =
        |labels: &crate::prometheus::LabelSet| labels.iter().map(|it| it.1.clone()).collect();
    samples
        .iter()
        .map(|(labels, value)| (values(labels), *value))
        .collect()
}

#[test]
fn a_spike_is_found_shown_and_over() {
    let folder = Folder::new();
    let mut rig = Rig::weeks(&folder, 2);
    let mut watch = watch(CLIENTS_MAX);
    let board = watch.board();
    assert!(board.view().is_none());
    let none = HashMap::new();
    assert_eq!(rig.run(&mut watch, &none), []);
    let view = board.view().expect("a view");
    assert_eq!((view.clients.len(), view.judged_s), (2, NOW_S));
    let quiet = view.of("client-1").expect("it is watched");
    assert!(view.of("client-2").is_none());
    assert_eq!((quiet.known_hours, quiet.requests.observed), (672, 60));
    let near = |have: Option<f64>, want: f64| have.is_some_and(|it| (it / want - 1.0).abs() < 0.1);
    assert!(near(quiet.requests.expected, 60.0), "{quiet:?}");
    assert_eq!(quiet.failures.observed, Some(0.0));
    assert_eq!(quiet.cost.observed, Some(NanoUsd(1440 * 1_000_000)));
    assert!(
        near(quiet.cost.expected.map(|it| it.0 as f64), 1.44e9),
        "{quiet:?}"
    );
    let [served] = quiet.providers.as_slice() else {
        unreachable!("one provider: {quiet:?}");
    };
    assert_eq!((&*served.provider, served.requests), ("openai", 60));
    assert_eq!((served.share, served.usual_share), (Some(1.0), Some(1.0)));

    // Not written to the file yet, of two providers, and partly failed.
    rig.record(0, 300, None, 0);
    rig.now_s += 10;
    rig.record(0, 200, Some(ErrorType::Timeout), 1);
    rig.now_s += 50;
    let news = rig.run(&mut watch, &none);
    assert_eq!(
        began(&news),
        [
            ("client-0", Kind::UsageSpike),
            ("client-0", Kind::ErrorRateRise),
            ("client-0", Kind::ProviderShift)
        ]
    );
    let text = news[0].text.as_deref().expect("words");
    assert!(
        text.starts_with("504 requests in 5 minutes, where 5 are usual"),
        "{text}"
    );
    let labels = |client: &str, kind: Kind| vec![client.to_owned(), kind.name().to_owned()];
    let one = Value::Count(1);
    let anomalies = family(&board, "client_anomaly");
    assert_eq!(anomalies.len(), 12);
    assert!(anomalies.contains(&(labels("client-0", Kind::UsageSpike), one)));
    assert!(anomalies.contains(&(labels("client-0", Kind::CostDrift), Value::Count(0))));
    assert_eq!(anomalies.iter().filter(|it| it.1 == one).count(), 3);
    assert_eq!(
        family(&board, "client_anomaly_since_timestamp_seconds").len(),
        3
    );
    let spikes = (vec![Kind::UsageSpike.name().to_owned()], one);
    assert!(family(&board, "client_anomalies").contains(&spikes));
    assert_eq!(
        family(&board, "client_budget_forecast_usd"),
        [],
        "not known is absent"
    );
    let view = board.view().expect("a view");
    let open = view
        .of("client-0")
        .and_then(|it| it.open_of(Kind::ErrorRateRise));
    let shares = &open.expect("it goes on").finding.shares;
    assert_eq!((&*shares[0].provider, shares[0].observed), ("groq", 1.0));

    // Each minute once: what was read is not added again.
    assert_eq!(rig.run(&mut watch, &none), []);
    assert_eq!(
        view.of("client-0").map(|it| it.requests.observed),
        Some(559)
    );

    // Quiet for more than its three hours.
    let mut ended = 0;
    for _ in 0..5 {
        rig.now_s += 3600;
        ended += rig.run(&mut watch, &none).len();
    }
    assert_eq!(ended, 3);
    let view = board.view().expect("a view");
    let report = view.of("client-0").expect("it is watched");
    assert!(report.open.is_empty());
    assert_eq!(report.ended.len(), 3);
    assert!(
        report
            .ended
            .iter()
            .all(|it| it.ended_s >= NOW_S && it.ended_s < rig.now_s)
    );
}

#[test]
fn budgets_are_forecast_where_cost_is_known() {
    let folder = Folder::new();
    let rig = Rig::weeks(&folder, 2);
    let mut watch = watch(CLIENTS_MAX);
    // 1.44 USD a day: ten of twenty days cost 14.4.
    let budget = |usd| Budget {
        amount: NanoUsd(usd * NanoUsd::PER_USD),
        start_s: NOW_S - 10 * DAY_S,
        end_s: NOW_S + 10 * DAY_S,
        spent: NanoUsd(14_400_000_000),
    };
    let budgets = HashMap::from([
        ("client-0".into(), budget(20)),
        ("absent".into(), budget(1)),
    ]);
    let news = rig.run(&mut watch, &budgets);
    assert_eq!(began(&news), [("client-0", Kind::BudgetOverrun)]);
    let board = watch.board();
    for (name, least, most) in [
        ("client_budget_forecast_usd", 27.0, 31.0),
        ("client_budget_forecast_lower_usd", 20.0, 28.8),
        ("client_budget_forecast_upper_usd", 28.8, 40.0),
    ] {
        let samples = family(&board, name);
        let [(labels, Value::Usd(usd))] = samples.as_slice() else {
            unreachable!("{name}: one sample, not {samples:?}");
        };
        assert_eq!(labels, &["client-0"]);
        let usd = usd.as_usd_f64();
        assert!(least <= usd && usd <= most, "{name} {usd}");
    }
    let samples = family(&board, "client_budget_exhausted_timestamp_seconds");
    let [(_, Value::Seconds(at))] = samples.as_slice() else {
        unreachable!("one sample, not {samples:?}");
    };
    // 5.60 USD are left: 3.9 days.
    let days = (at.0 / 1_000_000 - NOW_S) as f64 / DAY_S as f64;
    assert!((3.5..4.3).contains(&days), "{days}");
}

#[test]
fn a_start_reads_each_hour_once_in_bounded_steps_and_an_hour_later_one() {
    let folder = Folder::new();
    let mut rig = Rig::weeks(&folder, 1);
    let mut watch = watch(CLIENTS_MAX);
    assert_eq!(rig.catch_up(&mut watch), 672 / 6 + 1440 / 10);
    assert_eq!(rig.catch_up(&mut watch), 0);
    rig.now_s += 3600;
    assert_eq!(rig.catch_up(&mut watch), 1 + 6);
    assert_eq!(rig.catch_up(&mut watch), 0);
}

#[test]
fn more_clients_than_are_watched_are_counted() {
    let folder = Folder::new();
    let mut rig = Rig::open(&folder, 5, NOW_S);
    for client in 0..5 {
        rig.record(client, 1, None, 0);
    }
    rig.now_s += 60;
    let mut watch = watch(3);
    assert_eq!(rig.run(&mut watch, &HashMap::new()), []);
    let board = watch.board();
    assert_eq!(board.view().map(|view| view.clients.len()), Some(3));
    let left_out = family(&board, "client_health_rows_left_out");
    assert_eq!(left_out, [(vec![], Value::Count(2))]);
    // A place is free when nothing is remembered of its client.
    rig.now_s += 40 * DAY_S;
    rig.run(&mut watch, &HashMap::new());
    assert_eq!(board.view().map(|view| view.clients.len()), Some(0));
    rig.record(4, 1, None, 0);
    rig.now_s += 60;
    rig.run(&mut watch, &HashMap::new());
    let view = board.view().expect("a view");
    assert!(view.of("client-4").is_some());
}

#[test]
fn the_time_of_a_stop_is_not_one_without_requests() {
    let folder = Folder::new();
    let rig = Rig::weeks(&folder, 1);
    rig.history.close(rig.now()).expect("room");
    drop(rig);
    let back_s = NOW_S + 10 * 3600;
    let mut rig = Rig::open(&folder, 1, back_s);
    assert_eq!(rig.history.gaps(), [(NOW_S, back_s)]);
    let close = |rig: Rig| {
        rig.history.close(rig.now()).expect("room");
    };
    rig.now_s += 30;
    close(rig);
    // A restart of a few seconds is no gap, and the one before is remembered.
    let rig = Rig::open(&folder, 1, back_s + 50);
    assert_eq!(rig.history.gaps(), [(NOW_S, back_s)]);
    close(rig);
    let rig = Rig::open(&folder, 1, back_s + 36 * DAY_S);
    assert_eq!(rig.history.gaps().len(), 1, "{:?}", rig.history.gaps());
}

#[test]
fn rows_of_clients_are_those_that_wait_and_those_that_are_stored() {
    let folder = Folder::new();
    let mut rig = Rig::open(&folder, 2, NOW_S);
    let mut expected = [0; 2];
    for turn in 0..20 {
        rig.record(turn % 2, turn as u64, None, turn % 2);
        expected[turn % 2] += turn as u64;
        rig.now_s += 7;
        if turn == 11 {
            rig.history.flush(rig.now()).expect("room");
        }
    }
    for width in [history::Width::Minute, history::Width::Hour] {
        let window = Window {
            start_s: NOW_S,
            end_s: NOW_S + 3600,
        };
        let mut have = [0; 2];
        let read = rig.history.client_rows(width, window, rig.now(), |row| {
            assert_eq!(row.start_s % width.seconds(), 0);
            assert_eq!(row.cost.0, row.requests * 1_000_000);
            let name = &rig.history.clients_from(row.client as usize)[0];
            have[usize::from(**name == *"client-1")] += row.requests;
        });
        read.expect("rows");
        assert_eq!(have, expected);
    }
    let names: Vec<_> = rig.history.clients_from(0);
    assert_eq!(names.len(), 2);
    assert_eq!(rig.history.route_providers_from(1).len(), 1);
    assert_eq!(rig.history.clients_from(9).len(), 0);
    rig.history.probe().expect("room");
}
