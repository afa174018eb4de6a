//! A delivery against a store whose every answer may be lost, late or wrong.

use super::*;
use crate::history::{History, Options as HistoryOptions};
use coo_llm_core::record::{Endpoint, Record, Tokens, UsageSource};
use coo_llm_core::{Meter, Micros, NanoUsd, ShardWriter, UnixMillis};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::watch;

/// A Tuesday in 2023, at a full hour.
pub(super) const T0_S: u64 = 1_699_999_200;

/// What a store has, and what it had before.
#[derive(Clone, Debug, Default)]
struct Content {
    fence: Option<Position>,
    /// Requests and nano-USD by client.
    totals: BTreeMap<String, (u64, u64)>,
}

/// A store with a fence, and a list of what goes wrong next.
#[derive(Clone, Debug, Default)]
struct Store(Arc<Mutex<StoreState>>);

#[derive(Debug, Default)]
struct StoreState {
    content: Content,
    saved: Content,
    faults: Vec<Wrong>,
    calls: u64,
}

#[derive(Clone, Copy, Debug)]
enum Wrong {
    /// Refused before anything was done.
    Before,
    /// Done, and the answer lost.
    After,
    /// Done twice, as by a connection that was given up.
    Twice,
    /// The store comes back with what it had some time ago.
    Rollback,
    /// The store comes back empty.
    Emptied,
    /// The same, on a connection that goes on.
    EmptiedUnseen,
    Never,
}

impl StoreState {
    fn apply(&mut self, at: Option<Position>, rows: &Sealed) -> Applied {
        let content = &mut self.content;
        if content.fence != at {
            return Applied::Elsewhere;
        }
        for row in &rows.rows {
            let client = content.totals.entry(row.client.to_string()).or_default();
            client.0 += row.usage.totals.requests;
            client.1 += row.usage.totals.cost.0;
        }
        content.fence = Some(rows.to);
        Applied::Taken(Vec::new())
    }
}

impl Sink for Store {
    async fn position(&mut self, _instance: u64) -> Result<Stored, Fault> {
        let mut state = self.0.lock().expect("no panic");
        state.calls += 1;
        if let Some(Wrong::Before | Wrong::After) = state.faults.last() {
            state.faults.pop();
            return Err(Fault::new(Reason::Connect, "no"));
        }
        Ok(state.content.fence.map_or(Stored::Nothing, Stored::At))
    }

    async fn apply(
        &mut self,
        _instance: u64,
        at: Option<Position>,
        rows: &Sealed,
    ) -> Result<Applied, Fault> {
        let mut state = self.0.lock().expect("no panic");
        state.calls += 1;
        let wrong = state.faults.pop().unwrap_or(Wrong::Never);
        match wrong {
            Wrong::Never => Ok(state.apply(at, rows)),
            Wrong::Before => Err(Fault::new(Reason::Busy, "not now")),
            Wrong::After => {
                state.apply(at, rows);
                Err(Fault::new(Reason::Timeout, "lost"))
            }
            Wrong::Twice => {
                state.apply(at, rows);
                Ok(state.apply(at, rows))
            }
            Wrong::EmptiedUnseen => {
                state.content = Content::default();
                Ok(state.apply(at, rows))
            }
            Wrong::Rollback => {
                state.content = state.saved.clone();
                Err(Fault::new(Reason::Broken, "restarted"))
            }
            Wrong::Emptied => {
                state.content = Content::default();
                Err(Fault::new(Reason::Broken, "emptied"))
            }
        }
    }
}

struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let n = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("coo-llm-sinks-{}-{n}", std::process::id());
        Self(std::env::temp_dir().join(name))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _best_effort = std::fs::remove_dir_all(&self.0);
    }
}

pub(super) struct Rig {
    meter: Meter,
    writer: ShardWriter,
    pub(super) history: Arc<History>,
    now: Arc<AtomicU64>,
    pub(super) totals: BTreeMap<String, (u64, u64)>,
    _folder: Folder,
}

impl Rig {
    pub(super) fn new() -> Self {
        let folder = Folder::new();
        let meter = Meter::with_pairs(1000);
        let options = HistoryOptions {
            path: folder.0.join("history.db"),
            retention: [1, 30, 730].map(|days| Duration::from_secs(days * 86_400)),
            spool_bytes_max: 1 << 30,
        };
        let now = UnixMillis(T0_S * 1000);
        let history = History::open(&options, meter.clone(), now).expect("a history");
        Self {
            writer: meter.writer(),
            meter,
            history: Arc::new(history),
            now: Arc::new(AtomicU64::new(T0_S * 1000)),
            totals: BTreeMap::new(),
            _folder: folder,
        }
    }

    pub(super) fn clock(&self) -> Arc<dyn Fn() -> UnixMillis + Send + Sync> {
        let now = Arc::clone(&self.now);
        Arc::new(move || UnixMillis(now.load(Ordering::Relaxed)))
    }

    pub(super) fn record(&mut self, n: u64) {
        let route = self.meter.catalog().route("openai", "gpt-4o", "openai-1");
        let name = format!("client-{}", n % 7);
        let client = self.meter.catalog().client(&name);
        let now = UnixMillis(self.now.load(Ordering::Relaxed));
        self.writer.record(&Record {
            tokens: Tokens {
                input: n,
                ..Tokens::default()
            },
            cost: Some(NanoUsd(n)),
            usage: Some(UsageSource::Provider),
            ..Record::new(route, client, Endpoint::ChatCompletions, now, Micros(n))
        });
        let totals = self.totals.entry(name).or_default();
        totals.0 += 1;
        totals.1 += n;
    }

    pub(super) fn pass(&self, seconds: u64) {
        let now = self.now.fetch_add(seconds * 1000, Ordering::Relaxed) + seconds * 1000;
        self.history.flush(UnixMillis(now)).expect("a disk");
    }

    fn delivery(&self, store: &Store) -> Delivery<Store> {
        let options = Options {
            rows_max: 3,
            ..Options::new("store")
        };
        let aside = Box::new(|_: &[SetAside]| Ok(()));
        let history = Arc::clone(&self.history);
        Delivery::new(history, store.clone(), options, self.clock(), aside)
    }
}

/// Serves a store to the end, which is at once where nothing fails.
async fn serve_to_the_end(rig: &Rig, store: &Store) -> Status {
    let delivery = rig.delivery(store);
    let status = delivery.status();
    let (end, ended) = watch::channel(false);
    let serving = tokio::spawn(delivery.run(ended));
    let sealed = rig.history.sealed_s((rig.clock())());
    while status
        .read()
        .position
        .is_none_or(|position| position.second < sealed)
    {
        assert_ne!(status.read().state, State::Stopped, "{:?}", status.read());
        // Paused time goes on by itself.
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    store.0.lock().expect("no panic").faults.clear();
    end.send(true).expect("it serves");
    serving.await.expect("no panic");
    status.read()
}

#[tokio::test(start_paused = true)]
async fn each_request_is_in_the_store_once_whatever_goes_wrong() {
    let wrongs = [
        Wrong::Before,
        Wrong::After,
        Wrong::Twice,
        Wrong::Rollback,
        Wrong::Emptied,
        Wrong::EmptiedUnseen,
        Wrong::Never,
        Wrong::Never,
    ];
    for seed in 0..60u64 {
        let mut rig = Rig::new();
        let store = Store::default();
        let mut random = fastrand::Rng::with_seed(seed);
        let mut status = Status::default();
        for _ in 0..6 {
            for _ in 0..random.u64(1..30) {
                rig.record(random.u64(0..1000));
                if random.u8(0..3) == 0 {
                    rig.pass(random.u64(1..200));
                }
            }
            rig.pass(20);
            {
                let mut state = store.0.lock().expect("no panic");
                state.saved = state.content.clone();
                let n = random.usize(0..8);
                state.faults = (0..n)
                    .map(|_| wrongs[random.usize(0..wrongs.len())])
                    .collect();
            }
            status = serve_to_the_end(&rig, &store).await;
            assert_eq!((status.state, status.error.as_deref()), (State::Up, None));
        }
        let state = store.0.lock().expect("no panic");
        assert_eq!(state.content.totals, rig.totals, "seed {seed}: {status:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_store_that_knows_more_than_the_history_stops_its_sink() {
    let mut rig = Rig::new();
    rig.record(1);
    rig.pass(20);
    let store = Store::default();
    let ahead = Position {
        second: T0_S + 90_000,
        rows: 0,
    };
    store.0.lock().expect("no panic").content.fence = Some(ahead);
    let delivery = rig.delivery(&store);
    let status = delivery.status();
    let (end, ended) = watch::channel(false);
    let serving = tokio::spawn(delivery.run(ended));
    while status.read().state != State::Stopped {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    end.send(true).expect("it serves");
    serving.await.expect("no panic");
    let error = status.read().error.expect("a reason");
    assert!(error.contains("put back to an earlier state"), "{error}");
    assert!(store.0.lock().expect("no panic").content.totals.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_store_that_is_away_is_not_asked_in_a_loop() {
    let mut rig = Rig::new();
    rig.record(1);
    rig.pass(20);
    let store = Store::default();
    store.0.lock().expect("no panic").faults = vec![Wrong::Before; 1000];
    let delivery = rig.delivery(&store);
    let status = delivery.status();
    let (end, ended) = watch::channel(false);
    let serving = tokio::spawn(delivery.run(ended));
    tokio::time::sleep(Duration::from_secs(600)).await;
    let calls = store.0.lock().expect("no panic").calls;
    assert!((20..40).contains(&calls), "{calls} calls in ten minutes");
    let read = status.read();
    assert_eq!(read.state, State::Down);
    assert_eq!(read.failures[&Reason::Connect], calls);
    end.send(true).expect("it serves");
    serving.await.expect("no panic");
}

#[tokio::test(start_paused = true)]
async fn a_store_goes_back_only_where_it_gets_rows_again() {
    let mut rig = Rig::new();
    let store = Store::default();
    rig.pass(600);
    // It has nothing, and there is nothing to have.
    assert_eq!(serve_to_the_end(&rig, &store).await.rewinds, 0);
    rig.record(1);
    rig.pass(20);
    assert_eq!(serve_to_the_end(&rig, &store).await.rewinds, 0);
    // Its fence is where its last rows ended.
    rig.pass(600);
    assert_eq!(serve_to_the_end(&rig, &store).await.rewinds, 0);
    rig.pass(600);
    assert_eq!(serve_to_the_end(&rig, &store).await.rewinds, 0);
    store.0.lock().expect("no panic").content = Content::default();
    assert_eq!(serve_to_the_end(&rig, &store).await.rewinds, 1);
    let state = store.0.lock().expect("no panic");
    assert_eq!(state.content.totals, rig.totals);
}
