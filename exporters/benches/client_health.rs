//! How long does it take to learn and to judge 10,000 clients?

// The same traffic as in the table of docs/client-health.md; the bench needs a part of it.
#[path = "../examples/client_health/traffic.rs"]
#[expect(dead_code, reason = "the example uses the rest")]
mod traffic;

use coo_llm_core::NanoUsd;
use coo_llm_exporters::health::{Budget, History, Profile, Recent, Row, judge, learn};
use criterion::{Criterion, criterion_group, criterion_main};
use std::hint::black_box;
use traffic::{Client, DAY_MIN, PROVIDERS, START_S, hours, minutes};

const CLIENTS: usize = 10_000;
/// Courses that the clients share.
const COURSES: usize = 20;

struct Course {
    minutes: Vec<Row>,
    day: Vec<Row>,
    hours: Vec<Row>,
}

fn now_s() -> u64 {
    START_S + 28 * DAY_MIN * 60
}

fn history(course: &Course) -> History<'_> {
    History {
        hours: &course.hours,
        minutes: &course.day,
        unknown: &[],
    }
}

fn passes(criterion: &mut Criterion) {
    let courses: Vec<Course> = (0..COURSES as u64)
        .map(|seed| {
            let client = Client {
                per_minute: 1.0 + seed as f64 / 4.0,
                weekend: 0.5,
                ahead_h: 1,
                clocks_change: None,
            };
            let minutes = minutes(&client, seed, 28 * DAY_MIN, None);
            let last = |hours: u64| {
                let from = minutes.partition_point(|row| row.start_s < now_s() - hours * 3600);
                minutes[from..].to_vec()
            };
            Course {
                hours: hours(&minutes),
                day: last(24),
                minutes: last(3),
            }
        })
        .collect();
    let profiles: Vec<Profile> = (0..CLIENTS)
        .map(|at| learn(&history(&courses[at % COURSES]), now_s()))
        .collect();
    let budget = Budget {
        amount: NanoUsd(100 * NanoUsd::PER_USD),
        start_s: now_s() - 10 * 86_400,
        end_s: now_s() + 20 * 86_400,
        spent: NanoUsd(20 * NanoUsd::PER_USD),
    };

    let mut group = criterion.benchmark_group("client_health");
    group.sample_size(10);
    group.bench_function("learn one client, four weeks", |bencher| {
        let mut at = 0;
        bencher.iter(|| {
            at = (at + 1) % COURSES;
            black_box(learn(&history(&courses[at]), now_s()))
        });
    });
    group.bench_function("judge 10,000 clients with budgets", |bencher| {
        bencher.iter(|| {
            let mut findings = 0;
            for (at, profile) in profiles.iter().enumerate() {
                let recent = Recent {
                    minutes: &courses[at % COURSES].minutes,
                    unknown: &[],
                    providers: &PROVIDERS,
                };
                let health = judge(profile, &recent, Some(&budget), now_s());
                assert!(health.forecast.is_some());
                findings += health.findings.len();
            }
            findings
        });
    });
    group.finish();
}

criterion_group!(benches, passes);
criterion_main!(benches);
