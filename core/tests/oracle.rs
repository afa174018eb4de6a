//! The meter against a slow, obvious one: property tests over random records,
//! writers and readings. proptest prints the failing case and its seed.

use coo_llm_core::catalog::{ClientId, Route};
use coo_llm_core::histogram::{LATENCY, VALUE_MAX};
use coo_llm_core::record::{Attempt, Endpoint, ErrorType, Outcome, Record, Tokens, UsageSource};
use coo_llm_core::shard::NUMBER_MAX;
use coo_llm_core::snapshot::{Snapshot, Totals};
use coo_llm_core::{Crossing, Meter, Micros, NanoUsd, UnixMillis};
use proptest::prelude::*;

const CLIENTS: [&str; 4] = ["a", "b", "c", "none"];
const ROUTES: [(&str, &str, &str); 6] = [
    ("openai", "gpt-4o", "openai-1"),
    ("openai", "gpt-4o", "openai-2"),
    ("openai", "o3", "openai-1"),
    ("open", "ai-o3", "openai-1"),
    ("groq", "llama", "groq-1"),
    ("none", "none", "none"),
];

/// What happened, in the plainest form.
#[derive(Clone, Debug)]
struct Done {
    route: usize,
    client: usize,
    tokens: Tokens,
    cost: Option<u64>,
    latency: u64,
    error: Option<ErrorType>,
    usage: Option<UsageSource>,
    finished: u64,
    attempts: Vec<Outcome>,
}

#[derive(Clone, Debug)]
enum Step {
    Record(usize, Done),
    Read,
    /// The writer ends and another takes its place.
    Renew(usize),
}

fn tokens() -> impl Strategy<Value = Tokens> {
    let n = || prop_oneof![Just(0u64), 1u64..5000];
    (n(), n(), n(), n(), n(), n(), n()).prop_map(|t| Tokens {
        input: t.0,
        output: t.1,
        cached_input: t.2,
        cache_write: t.3,
        reasoning: t.4,
        audio_input: t.5,
        audio_output: t.6,
    })
}

/// Latencies at, just under and just over each classic bound, and anything else.
fn latency() -> impl Strategy<Value = u64> {
    prop_oneof![
        (0..LATENCY.bounds().len(), -1i64..=1)
            .prop_map(|(at, by)| LATENCY.bounds()[at].saturating_add_signed(by)),
        0u64..2_000_000,
        any::<u64>().prop_map(|v| v >> 25),
    ]
}

fn done() -> impl Strategy<Value = Done> {
    (
        (0..ROUTES.len(), 0..CLIENTS.len(), tokens(), latency()),
        (
            proptest::option::of(0u64..1_000_000_000),
            proptest::option::of(proptest::sample::select(ErrorType::ALL)),
            proptest::option::of(proptest::sample::select(UsageSource::ALL)),
            0u64..10_000,
            proptest::collection::vec(proptest::sample::select(Outcome::ALL), 0..3),
        ),
    )
        .prop_map(
            |((route, client, tokens, latency), (cost, error, usage, finished, attempts))| Done {
                route,
                client,
                tokens,
                cost,
                latency,
                error,
                usage,
                finished,
                attempts,
            },
        )
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        8 => (0..3usize, done()).prop_map(|(writer, done)| Step::Record(writer, done)),
        1 => Just(Step::Read),
        1 => (0..3usize).prop_map(Step::Renew),
    ];
    proptest::collection::vec(step, 0..120)
}

struct Ids {
    routes: Vec<Route>,
    clients: Vec<ClientId>,
}

fn intern(meter: &Meter) -> Ids {
    let catalog = meter.catalog();
    Ids {
        routes: ROUTES
            .iter()
            .map(|(p, m, k)| catalog.route(p, m, k))
            .collect(),
        clients: CLIENTS.iter().map(|c| catalog.client(c)).collect(),
    }
}

fn record(writer: &mut coo_llm_core::ShardWriter, ids: &Ids, done: &Done) {
    let route = ids.routes[done.route];
    let attempts: Vec<_> = done
        .attempts
        .iter()
        .map(|&outcome| Attempt {
            route,
            outcome,
            latency: Micros(done.latency),
            limited: None,
        })
        .collect();
    writer.record(&Record {
        route,
        client: ids.clients[done.client],
        endpoint: Endpoint::ChatCompletions,
        request_id: None,
        finished: UnixMillis(done.finished),
        latency: Micros(done.latency),
        overhead: Some(Micros(done.latency / 7)),
        time_to_first_token: None,
        time_per_output_token: None,
        tokens: done.tokens,
        usage: done.usage,
        cost: done.cost.map(NanoUsd),
        error: done.error,
        limited: None,
        attempts: &attempts,
    });
}

fn oracle_totals<'a>(of: impl Iterator<Item = &'a Done>) -> Totals {
    let mut totals = Totals::default();
    for done in of {
        totals = totals.plus(&Totals {
            requests: 1,
            errors: u64::from(done.error.is_some()),
            tokens: done.tokens,
            cost: NanoUsd(done.cost.unwrap_or(0)),
            unpriced: u64::from(done.cost.is_none()),
            last_request: Some(UnixMillis(done.finished)),
        });
    }
    totals
}

fn check(snapshot: &Snapshot, ids: &Ids, all: &[Done]) -> Result<(), TestCaseError> {
    for (at, route) in ids.routes.iter().enumerate() {
        let mine = || all.iter().filter(|done| done.route == at);
        let expected = Totals {
            last_request: None,
            ..oracle_totals(mine())
        };
        prop_assert_eq!(snapshot.route(route.id), expected);
        for &source in UsageSource::ALL {
            let expected = mine().filter(|done| done.usage == Some(source)).count() as u64;
            prop_assert_eq!(snapshot.usage_source(route.id, source), expected);
        }
        for &outcome in Outcome::ALL {
            let expected = mine()
                .flat_map(|d| &d.attempts)
                .filter(|o| **o == outcome)
                .count();
            prop_assert_eq!(snapshot.attempts(route.id, outcome), expected as u64);
        }
    }
    for (at, client) in ids.clients.iter().enumerate() {
        let expected = oracle_totals(all.iter().filter(|done| done.client == at));
        prop_assert_eq!(snapshot.client(*client), expected);
    }
    prop_assert_eq!(snapshot.total(), oracle_totals(all.iter()));
    for route in &ids.routes {
        for &error in ErrorType::ALL {
            let expected = all
                .iter()
                .filter(|d| {
                    ids.routes[d.route].provider == route.provider && d.error == Some(error)
                })
                .count();
            prop_assert_eq!(snapshot.errors(route.provider, error), expected as u64);
        }
        let values: Vec<u64> = all
            .iter()
            .filter(|done| ids.routes[done.route].model == route.model)
            .map(|done| done.latency)
            .collect();
        let view = snapshot.latency(route.model);
        prop_assert_eq!(view.count(), values.len() as u64);
        let sum = values.iter().fold(0u64, |sum, v| sum.saturating_add(*v));
        prop_assert_eq!(view.sum(), Micros(sum));
        for (bound, count) in view.classic() {
            let expected = values
                .iter()
                .filter(|v| bound.is_none_or(|b| **v <= b.0))
                .count();
            prop_assert_eq!(count, expected as u64, "le={:?}", bound);
        }
    }
    Ok(())
}

fn check_pairs(crossing: &Crossing, ids: &Ids, all: &[Done]) -> Result<(), TestCaseError> {
    let mut left = all.len();
    for (at, pair) in crossing.pairs().iter().enumerate() {
        let (route, client) = pair.of.expect("few pairs");
        let mine = all.iter().filter(|done| {
            ids.routes[done.route].id == route && ids.clients[done.client] == client
        });
        prop_assert_eq!(pair.totals(), oracle_totals(mine.clone()));
        let mut expected: Vec<_> = mine.map(|d| d.latency.min(u32::MAX.into())).collect();
        let latencies = crossing.latencies().filter(|(place, _)| *place == at);
        let mut have: Vec<_> = latencies.map(|(_, latency)| latency.0).collect();
        expected.sort_unstable();
        have.sort_unstable();
        left -= have.len();
        prop_assert_eq!(have, expected);
    }
    prop_assert_eq!(left, 0, "each record has its pair");
    prop_assert_eq!(crossing.latencies_missed(), 0);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn every_reading_equals_the_oracle(steps in steps()) {
        let meter = Meter::new(1000);
        let ids = intern(&meter);
        let mut writers: Vec<_> = (0..3).map(|_| Some(meter.writer())).collect();
        let mut all = Vec::new();
        for step in &steps {
            match step {
                Step::Record(at, done) => {
                    record(writers[*at].as_mut().expect("renewed at once"), &ids, done);
                    all.push(done.clone());
                }
                Step::Read => check(&meter.snapshot(), &ids, &all)?,
                Step::Renew(at) => {
                    drop(writers[*at].take());
                    writers[*at] = Some(meter.writer());
                }
            }
        }
        check(&meter.snapshot(), &ids, &all)?;
        prop_assert_eq!(meter.shards(), 3, "ended writers are continued, not replaced");
    }

    #[test]
    fn what_was_taken_by_pair_is_what_the_oracle_has(steps in steps()) {
        let meter = Meter::with_pairs(1000);
        let ids = intern(&meter);
        let mut writers: Vec<_> = (0..3).map(|_| Some(meter.writer())).collect();
        let mut waiting = Vec::new();
        for (at, step) in steps.iter().chain([&Step::Read]).enumerate() {
            match step {
                Step::Record(at, done) => {
                    record(writers[*at].as_mut().expect("renewed at once"), &ids, done);
                    waiting.push(done.clone());
                }
                // Someone else's reading takes nothing away.
                Step::Read if at % 2 == 1 => meter.read(|_| ()),
                Step::Read => {
                    let crossing = meter.take_pairs(|_, crossing| crossing);
                    check_pairs(&crossing, &ids, &std::mem::take(&mut waiting))?;
                }
                Step::Renew(at) => {
                    drop(writers[*at].take());
                    writers[*at] = Some(meter.writer());
                }
            }
        }
        let crossing = meter.take_pairs(|_, crossing| crossing);
        check_pairs(&crossing, &ids, &waiting)?;
    }

    #[test]
    fn merge_commutes_and_associates_and_a_delta_leads_from_then_to_now(
        one in proptest::collection::vec(done(), 0..30),
        two in proptest::collection::vec(done(), 0..30),
        three in proptest::collection::vec(done(), 0..30),
    ) {
        // Time goes on from part to part, as it does: a delta's last request is as of now.
        let at = |part: &[Done], start: u64| -> Vec<Done> {
            (start..).zip(part).map(|(finished, d)| Done { finished, ..d.clone() }).collect()
        };
        let (one, two, three) = (at(&one, 1), at(&two, 100), at(&three, 200));
        let meter = Meter::new(1000);
        let ids = intern(&meter);
        let mut writer = meter.writer();
        let mut parts = Vec::new();
        let mut before = meter.snapshot();
        for part in [&one, &two, &three] {
            part.iter().for_each(|done| record(&mut writer, &ids, done));
            let now = meter.snapshot();
            let delta = now.since(&before);
            let mut again = before.clone();
            again.merge(&delta);
            prop_assert_eq!(format!("{:?}", again.total()), format!("{:?}", now.total()));
            check(&delta, &ids, part)?;
            parts.push(delta);
            before = now;
        }
        let sum = |order: [usize; 3]| {
            let mut sum = Snapshot::default();
            order.iter().for_each(|at| sum.merge(&parts[*at]));
            sum
        };
        let all: Vec<_> = [one, two, three].concat();
        for order in [[0, 1, 2], [2, 1, 0], [1, 0, 2]] {
            check(&sum(order), &ids, &all)?;
        }
        let mut right = parts[1].clone();
        right.merge(&parts[2]);
        let mut nested = parts[0].clone();
        nested.merge(&right);
        check(&nested, &ids, &all)?;
    }

    #[test]
    fn quantiles_stay_within_a_cell(
        values in proptest::collection::vec(latency().prop_map(|v| v.min(VALUE_MAX)), 1..400),
        q in 0.01f64..=1.0,
    ) {
        let meter = Meter::new(1000);
        let ids = intern(&meter);
        let mut writer = meter.writer();
        for &latency in &values {
            record(&mut writer, &ids, &Done {
                route: 0, client: 0, tokens: Tokens::default(), cost: None, latency,
                error: None, usage: None, finished: 0, attempts: Vec::new(),
            });
        }
        let mut sorted = values;
        sorted.sort_unstable();
        let rank = ((q * sorted.len() as f64).ceil() as usize).clamp(1, sorted.len());
        let exact = sorted[rank - 1] as f64;
        let snapshot = meter.snapshot();
        let told = snapshot.latency(ids.routes[0].model).quantile(q).expect("there are values");
        prop_assert!((told - exact).abs() <= exact / 32.0 + 1.0, "{} for {}", told, exact);
    }
}

#[test]
fn counters_stay_at_their_limit() {
    let meter = Meter::new(10);
    let ids = intern(&meter);
    let mut writer = meter.writer();
    let done = Done {
        route: 0,
        client: 0,
        tokens: Tokens {
            input: u64::MAX,
            ..Tokens::default()
        },
        cost: Some(u64::MAX - 1),
        latency: u64::MAX,
        error: None,
        usage: Some(UsageSource::Provider),
        finished: 0,
        attempts: Vec::new(),
    };
    // One record counts as at most NUMBER_MAX of each.
    record(&mut writer, &ids, &done);
    let totals = meter.snapshot().total();
    assert_eq!(
        (totals.tokens.input, totals.cost.0),
        (NUMBER_MAX, NUMBER_MAX)
    );
    // More records than could wrap a counter, with no reading between them.
    let records = 20_000_000;
    for _ in 1..records {
        record(&mut writer, &ids, &done);
    }
    let snapshot = meter.snapshot();
    let totals = snapshot.total();
    assert_eq!(totals.requests, records);
    for high in [
        totals.tokens.input,
        totals.cost.0,
        snapshot.total_latency().whole().sum().0,
    ] {
        assert!(high >= 1 << 63, "{high} has wrapped");
    }
    // Totals stay at the top, whatever comes.
    let mut sum = snapshot.clone();
    for _ in 0..3 {
        sum.merge(&snapshot);
    }
    assert_eq!(sum.total().tokens.input, u64::MAX);
    assert_eq!(sum.total().requests, 4 * records);
}

/// Whole records under load: the sums that must move together do, in each snapshot.
#[test]
fn snapshots_beside_busy_writers_are_whole_and_monotone() {
    const RECORDS: u64 = 200_000;
    let meter = Meter::new(1000);
    let threads: Vec<_> = (0..3u64)
        .map(|seed| {
            let meter = meter.clone();
            std::thread::spawn(move || {
                let ids = intern(&meter);
                let mut writer = meter.writer();
                for n in 0..RECORDS {
                    let mix = (n + seed).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 40;
                    let done = Done {
                        route: (mix % 5) as usize,
                        client: (mix % 3) as usize,
                        tokens: Tokens {
                            input: 3,
                            output: 5,
                            ..Tokens::default()
                        },
                        cost: Some(7),
                        latency: mix,
                        error: None,
                        usage: Some(UsageSource::Provider),
                        finished: n,
                        attempts: vec![Outcome::Success],
                    };
                    record(&mut writer, &ids, &done);
                }
            })
        })
        .collect();
    let ids = intern(&meter);
    let mut last = 0;
    while last < 3 * RECORDS {
        let snapshot = meter.snapshot();
        let n = snapshot.total().requests;
        assert!(n >= last, "a snapshot went back");
        last = n;
        let clients = ids.clients.iter().map(|id| snapshot.client(*id));
        for totals in [
            snapshot.total(),
            clients.fold(Totals::default(), |a, b| a.plus(&b)),
        ] {
            assert_eq!(totals.requests, n);
            assert_eq!((totals.tokens.input, totals.tokens.output), (3 * n, 5 * n));
            assert_eq!(totals.cost, NanoUsd(7 * n));
        }
        assert_eq!(snapshot.total_latency().whole().count(), n);
        assert_eq!(snapshot.overhead(Endpoint::ChatCompletions).count(), n);
        let tried = ids
            .routes
            .iter()
            .map(|r| snapshot.attempts(r.id, Outcome::Success));
        assert_eq!(tried.sum::<u64>(), n);
    }
    threads
        .into_iter()
        .for_each(|thread| thread.join().unwrap());
}

#[test]
fn exemplars_are_the_first_of_their_block_since_the_last_reading() {
    let meter = Meter::new(10);
    let ids = intern(&meter);
    let mut writer = meter.writer();
    let route = ids.routes[0];
    let mut at = 0;
    let mut say = |id: &str, latency: u64| {
        at += 1;
        writer.record(&Record {
            route,
            client: ids.clients[0],
            endpoint: Endpoint::ChatCompletions,
            request_id: Some(id),
            finished: UnixMillis(at),
            latency: Micros(latency),
            overhead: None,
            time_to_first_token: None,
            time_per_output_token: None,
            tokens: Tokens::default(),
            usage: Some(UsageSource::Provider),
            cost: Some(NanoUsd(0)),
            error: None,
            limited: None,
            attempts: &[],
        });
    };
    let told = |meter: &Meter| {
        let all = meter.snapshot().exemplars(route.model);
        let line = |e: &coo_llm_core::exemplar::Exemplar| {
            (
                e.bound.map(|bound| bound.0),
                e.value.0,
                e.request_id().to_owned(),
                e.at.0,
            )
        };
        all.iter().map(line).collect::<Vec<_>>()
    };
    say("req_first", 100_000);
    say("req_second", 100_001);
    say("req_slow", 400_000_000);
    say("", 11_000);
    say(&"x".repeat(41), 30_000);
    say(&"y".repeat(40), 700_000);
    let first = [
        (Some(160_000), 100_000, "req_first".to_owned(), 1),
        (Some(1_280_000), 700_000, "y".repeat(40), 6),
        (None, 400_000_000, "req_slow".to_owned(), 3),
    ];
    assert_eq!(told(&meter), first);
    // The writer learns of the reading with its next record, and takes a fresh one.
    say("req_third", 101_000);
    say("req_fourth", 102_000);
    assert_eq!(
        told(&meter)[0],
        (Some(160_000), 101_000, "req_third".to_owned(), 7)
    );
    assert_eq!(told(&meter)[1..], first[1..]);
}
