//! Clocks that are set.

use super::*;

fn one(at_s: u64) -> Done {
    Done::random(&mut Random(at_s), at_s, 8)
}

/// Requests by their bucket.
fn buckets(rig: &Rig) -> Vec<(u64, u64)> {
    let query = Query {
        step_s: Some(10),
        ..rig.all()
    };
    let groups = rig.ask(&query).groups;
    let points = groups.iter().flat_map(|group| &group.points);
    points
        .map(|(at, usage)| (*at, usage.totals.requests))
        .collect()
}

#[test]
fn a_clock_that_is_set_back_puts_nothing_into_the_past() {
    let folder = Folder::new();
    let path = folder.history();
    let mut rig = Rig::open(&path, T0_S);
    rig.record(one(T0_S + 100));
    rig.flush().expect("room");
    // An hour back: what comes counts at the last stamp, until the clock is there again.
    for back_s in [T0_S - 3500, T0_S - 3000, T0_S] {
        rig.record_now(one(back_s));
        rig.history.flush(UnixMillis(back_s * 1000)).expect("room");
    }
    assert_eq!(rig.history.clock(UnixMillis(1)).0, (T0_S + 100) * 1000);
    assert_eq!(
        rig.history.health(UnixMillis(T0_S * 1000)).clock_behind_ms,
        100_000
    );
    assert_eq!(buckets(&rig), [(T0_S + 100, 4)]);
    // A restart, still in the past, remembers.
    rig.now = UnixMillis((T0_S + 50) * 1000);
    let mut rig = rig.restart(&path);
    rig.record_now(one(T0_S + 50));
    rig.flush().expect("room");
    rig.record(one(T0_S + 130));
    rig.flush().expect("room");
    assert_eq!(buckets(&rig), [(T0_S + 100, 5), (T0_S + 130, 1)]);
}

#[test]
fn a_clock_that_jumps_ahead_removes_nothing_at_once() {
    let folder = Folder::new();
    let path = folder.history();
    let mut rig = Rig::open(&path, T0_S);
    rig.record(one(T0_S + 5));
    rig.pass_to(T0_S + 20);
    rig.flush().expect("room");
    let far_s = T0_S + 3 * 365 * DAY_S;
    for second in 0..600 {
        rig.history
            .flush(UnixMillis((far_s + second) * 1000))
            .expect("room");
    }
    assert_eq!(buckets_of_hours(&rig, far_s), [(T0_S, 1)]);
    // After an hour of it the clock is believed, and two years are over.
    for hour in 0..1200 {
        rig.history
            .flush(UnixMillis((far_s + (2 + hour) * 3600) * 1000))
            .expect("room");
    }
    assert_eq!(rig.requests(), 0);
}

fn buckets_of_hours(rig: &Rig, until_s: u64) -> Vec<(u64, u64)> {
    let query = Query {
        window: Window {
            start_s: 0,
            end_s: until_s,
        },
        step_s: Some(3600),
        ..rig.all()
    };
    let groups = rig.ask(&query).groups;
    let points = groups.iter().flat_map(|group| &group.points);
    points
        .map(|(at, usage)| (*at, usage.totals.requests))
        .collect()
}

#[test]
fn what_is_counted_over_the_end_of_a_bucket_is_in_the_one_it_began_in() {
    let folder = Folder::new();
    let path = folder.history();
    let mut rig = Rig::open(&path, T0_S);
    rig.pass_to(T0_S + 9);
    rig.record_now(one(T0_S + 9));
    rig.pass_to(T0_S + 10);
    rig.record_now(one(T0_S + 10));
    rig.pass_to(T0_S + 11);
    assert_eq!(buckets(&rig), [(T0_S, 1), (T0_S + 10, 1)]);
    rig.flush().expect("room");
    assert_eq!(buckets(&rig), [(T0_S, 1), (T0_S + 10, 1)]);
}
