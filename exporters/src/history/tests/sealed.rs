//! Sealed rows against the list: each request once, in order, whatever happens to the file.

use super::*;
use proptest::prelude::*;

/// Takes what is sealed from a position on; requests by (second of the bucket, route, client).
fn take(
    rig: &Rig,
    sink: &str,
    from: Position,
    rows_max: usize,
    taken: &mut BTreeMap<(u64, u64, String), u64>,
) -> Position {
    let mut at = from;
    loop {
        let next = rig.history.next_sealed(sink, at, rows_max, rig.now);
        match next.expect("the file can be read") {
            Next::Rows(rows) => {
                assert_eq!(rows.from, at);
                assert!(rows.to > at, "{rows:?}");
                assert!(rows.rows.len() <= rows_max);
                for row in &rows.rows {
                    let name = format!("{}/{}/{}/{}", row.provider, row.model, row.key, row.client);
                    let n = taken.entry((rows.start_s, rows.width_s, name)).or_default();
                    *n += row.usage.totals.requests;
                }
                at = rows.to;
            }
            Next::Nothing(position) => {
                assert!(position >= at, "{position} is before {at}");
                return position;
            }
            Next::Gone => panic!("rows after {at} are gone"),
        }
    }
}

fn sum(taken: &BTreeMap<(u64, u64, String), u64>) -> u64 {
    taken.values().sum()
}

#[test]
fn a_bucket_comes_when_its_time_is_over_and_it_is_written() {
    let folder = Folder::new();
    let mut rig = Rig::open(&folder.history(), T0_S);
    let mut random = Random(1);
    let first = rig.history.first_position(rig.now).expect("a position");
    rig.record(Done::random(&mut random, T0_S + 1, 8));
    rig.flush().expect("a disk");
    let mut taken = BTreeMap::new();
    let at = take(&rig, "s", first, 10, &mut taken);
    assert_eq!(sum(&taken), 0, "its ten seconds are not over");
    rig.record(Done::random(&mut random, T0_S + 12, 8));
    let at = take(&rig, "s", at, 10, &mut taken);
    assert_eq!(sum(&taken), 1, "written, and over");
    rig.pass_to(T0_S + 25);
    let at = take(&rig, "s", at, 10, &mut taken);
    assert_eq!(sum(&taken), 1, "over, and not written");
    rig.flush().expect("a disk");
    let at = take(&rig, "s", at, 10, &mut taken);
    assert_eq!(sum(&taken), 2);
    assert_eq!(at.second, T0_S + 20);
}

#[test]
fn the_end_seals_what_is_under_way_and_the_next_process_counts_after_it() {
    let folder = Folder::new();
    let mut rig = Rig::open(&folder.history(), T0_S);
    let mut random = Random(2);
    rig.record(Done::random(&mut random, T0_S + 1, 8));
    rig.history.seal(rig.now).expect("a disk");
    let mut taken = BTreeMap::new();
    let first = rig.history.first_position(rig.now).expect("a position");
    let at = take(&rig, "s", first, 10, &mut taken);
    assert_eq!((sum(&taken), at.second), (1, T0_S + 10));
    let mut rig = rig.restart(&folder.history());
    rig.record(Done::random(&mut random, T0_S + 3, 8));
    rig.history.seal(rig.now).expect("a disk");
    take(&rig, "s", at, 10, &mut taken);
    assert_eq!(sum(&taken), 2);
    assert_eq!(rig.requests(), 2);
}

#[test]
fn rows_that_do_not_add_up_are_damage_and_are_not_given_out() {
    let folder = Folder::new();
    let mut rig = Rig::open(&folder.history(), T0_S);
    rig.record(Done::random(&mut Random(3), T0_S + 1, 8));
    rig.pass_to(T0_S + 30);
    rig.flush().expect("a disk");
    let file = Connection::open(folder.history()).expect("the file");
    let changed = file.execute("UPDATE usage_10s SET input = input + 1", []);
    assert_eq!(changed, Ok(1));
    let first = rig.history.first_position(rig.now).expect("a position");
    let next = rig.history.next_sealed("s", first, 10, rig.now);
    assert!(
        matches!(next, Err(HistoryError::Damaged { .. })),
        "{next:?}"
    );
}

#[test]
fn a_sink_that_went_back_to_removed_rows_is_told_so() {
    let folder = Folder::new();
    let mut rig = Rig::open(&folder.history(), T0_S);
    let mut random = Random(4);
    for at in [T0_S + 15, T0_S + 2000] {
        rig.record(Done::random(&mut random, at, 8));
    }
    for hours in [20, 40, 60] {
        rig.pass_to(T0_S + hours * 3600);
        rig.flush().expect("a disk");
    }
    let in_the_midst = Position {
        second: T0_S + 30,
        rows: 0,
    };
    let next = rig.history.next_sealed("s", in_the_midst, 10, rig.now);
    assert_eq!(next.expect("a readable file"), Next::Gone);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Hours and days pass, the process starts again, the sink stays away, its rows are
    /// folded: it gets every request once, and no bucket twice.
    #[test]
    fn every_request_is_taken_once(
        seed in any::<u64>(),
        steps in 20usize..120,
        rows_max in 1usize..8,
        spool_rows in prop_oneof![Just(0u64), Just(20), Just(1 << 20)],
    ) {
        let folder = Folder::new();
        let path = folder.history();
        let mut random = Random(seed);
        let mut rig = Rig::open(&path, T0_S);
        rig.history.set_spool_rows_max(spool_rows);
        let mut taken = BTreeMap::new();
        let mut at = rig.history.first_position(rig.now).expect("a position");
        rig.history.sink_is_at("s", at).expect("a disk");
        let mut second = T0_S;
        for _ in 0..steps {
            second += match random.below(12) {
                0 => random.below(DAY_S),
                1 => random.below(20_000),
                2..=4 => random.below(300),
                _ => random.below(4),
            };
            match random.below(10) {
                0..=5 => rig.record(Done::random(&mut random, second, 8)),
                6 | 7 => {
                    rig.pass_to(second);
                    rig.flush().expect("a disk");
                }
                8 => {
                    // Some of it, as where the sink fails.
                    let mut some = random.below(6);
                    while some > 0 {
                        let next = rig.history.next_sealed("s", at, rows_max, rig.now);
                        match next.expect("a readable file") {
                            Next::Rows(rows) => {
                                for row in &rows.rows {
                                    let name = format!(
                                        "{}/{}/{}/{}",
                                        row.provider, row.model, row.key, row.client
                                    );
                                    let key = (rows.start_s, rows.width_s, name);
                                    let n = row.usage.totals.requests;
                                    prop_assert_eq!(taken.insert(key, n), None);
                                }
                                at = rows.to;
                            }
                            Next::Nothing(position) => {
                                at = position;
                                some = 1;
                            }
                            Next::Gone => prop_assert!(false, "rows after {} are gone", at),
                        }
                        some -= 1;
                    }
                    rig.history.sink_is_at("s", at).expect("a disk");
                }
                _ => {
                    rig.history.flush(rig.now).expect("a disk");
                    rig = rig.restart(&path);
                    rig.history.set_spool_rows_max(spool_rows);
                }
            }
        }
        rig.history.seal(rig.now).expect("a disk");
        take(&rig, "s", at, rows_max, &mut taken);
        prop_assert_eq!(sum(&taken), rig.done.len() as u64);
    }
}
