//! Days, which are made from hours that are over, and what came before there were any.

use super::*;

fn number(path: &Path, sql: &str) -> i64 {
    let file = Connection::open(path).expect("a file");
    let number = file.query_row(sql, [], |row| row.get::<_, Option<i64>>(0));
    number.expect("a number").unwrap_or(0)
}

/// Requests of a table before a second.
fn requests(path: &Path, table: &str, end_s: u64) -> i64 {
    let sql = format!("SELECT sum(requests) FROM {table} WHERE bucket < {end_s}");
    number(path, &sql)
}

fn filled(path: &Path, days: u64) -> Rig {
    let mut rig = Rig::open(path, T0_S);
    let mut random = Random(11);
    for n in 0..days * 60 {
        let done = Done::random(&mut random, T0_S + n * DAY_S / 60, 8);
        rig.record(done);
        rig.flush().expect("room");
    }
    rig
}

fn check_all(rig: &Rig) {
    rig.check(&rig.all());
    let now_s = rig.now.0 / 1000;
    for days in 1..5 {
        let window = Window {
            start_s: T0_S + 5 * 3600 + days * 13 * 3600,
            end_s: now_s - 1000,
        };
        for group_by in [vec![], vec![Dimension::Client, Dimension::Model]] {
            rig.check(&Query {
                window,
                group_by,
                ..rig.all()
            });
        }
        rig.check_errors(window);
        rig.check_clients(window);
    }
}

#[test]
fn a_day_has_what_its_hours_have() {
    let folder = Folder::new();
    let path = folder.history();
    let rig = filled(&path, 4);
    let today = floor(rig.now.0 / 1000, DAY_S);
    for table in ["usage", "route_usage", "errors"] {
        let of = |level| requests(&path, &format!("{table}_{level}"), today);
        assert!(of("1d") > 0);
        assert_eq!(of("1d"), of("1h"), "{table}");
    }
    // Clients of T0's day: eight, of which some in each hour.
    assert_eq!(number(&path, "SELECT count(*) FROM clients_1d"), 5);
    assert_eq!(
        number(&path, "SELECT count(*) FROM clients_1h"),
        number(&path, "SELECT count(DISTINCT bucket) FROM usage_1h") - 1,
        "but for the hour that goes on"
    );
    check_all(&rig);
}

#[test]
fn a_bucket_that_comes_late_is_added_to_its_day() {
    let folder = Folder::new();
    let path = folder.history();
    let mut rig = filled(&path, 3);
    let done = Done {
        // Its bucket counts no failures by type.
        error: None,
        ..Done::random(&mut Random(12), T0_S + DAY_S + 20, 8)
    };
    let bucket = {
        let mut state = lock(&rig.history.state);
        let names = |dimension| Arc::<str>::from(name(dimension, &done));
        let route = [Dimension::Provider, Dimension::Model, Dimension::Key].map(names);
        let routes = state.names.routes();
        let route = routes.iter().position(|have| *have == route);
        let client = state.names.client_id(&name(Dimension::Client, &done));
        let totals = Totals {
            requests: 1,
            errors: u64::from(done.error.is_some()),
            tokens: done.tokens,
            cost: NanoUsd(done.cost.unwrap_or(0)),
            unpriced: u64::from(done.cost.is_none()),
            last_request: Some(UnixMillis(done.at_s * 1000)),
        };
        let mut usage = Usage {
            totals,
            ..Usage::default()
        };
        usage.latency.record(Micros(done.latency));
        let key = (
            client.expect("all were seen"),
            route.expect("all were seen") as u32,
        );
        let mut bucket = Bucket::default();
        bucket.usage.insert(key, usage);
        let unsaved = state.names.unsaved();
        state.names.are_saved(&unsaved);
        bucket
    };
    let names = lock(&rig.history.state).names.unsaved();
    let mut writer = lock(&rig.history.writer);
    let written = writer.write(floor(done.at_s, 10), &bucket, &names, rig.now);
    written.expect("room");
    drop(writer);
    rig.done.push(done);
    check_all(&rig);
}

#[test]
fn a_history_of_version_1_gets_its_days_later_and_answers_at_once() {
    let folder = Folder::new();
    let path = folder.history();
    let rig = filled(&path, 4);
    let Rig {
        history, done, now, ..
    } = rig;
    drop(history);
    let file = Connection::open(&path).expect("a file");
    file.execute_batch(
        "DROP VIEW history_1d; DROP TABLE usage_1d; DROP TABLE route_usage_1d; DROP TABLE errors_1d;
         DROP TABLE clients_1h; DROP TABLE clients_1d; DELETE FROM meta WHERE name = 'rolled_to';
         PRAGMA user_version = 1;",
    )
    .expect("what version 1 had");
    drop(file);
    let rig = Rig {
        done,
        ..Rig::try_open(&path, now, 8).expect("the same history")
    };
    assert_eq!(number(&path, "PRAGMA user_version"), 2);
    assert_eq!(number(&path, "SELECT count(*) FROM usage_1d"), 0);
    check_all(&rig);
    // 24 of its 96 hours a flush, and queries between them.
    for _ in 0..4 {
        rig.flush().expect("room");
        check_all(&rig);
    }
    let today = floor(rig.now.0 / 1000, DAY_S);
    let of = |table| requests(&path, table, today);
    assert_eq!(of("usage_1d"), of("usage_1h"));
    assert_eq!(of("errors_1d"), of("errors_1h"));
}
