//! The file as it is at one moment, and new costs in it.

use super::*;
use std::convert::Infallible;

const RECORDS: u64 = 1650;

/// Three widths are kept of this.
fn filled(path: &Path) -> Rig {
    let mut rig = Rig::open(path, T0_S);
    let mut random = Random(21);
    let (days, records) = (33, RECORDS);
    for n in 0..records {
        let at_s = T0_S + n * days * DAY_S / records;
        rig.record(Done::random(&mut random, at_s, 8));
        if n % 10 == 0 {
            rig.flush().expect("room");
        }
    }
    rig.flush().expect("room");
    rig
}

fn window(start_s: u64, end_s: u64) -> Window {
    Window { start_s, end_s }
}

/// The sum of a window's rows, and their widths in the order of time.
fn read(archive: &Archive, asked: Window) -> (Usage, Vec<u64>) {
    let mut all = Usage::default();
    let mut widths = Vec::new();
    let mut last = None;
    let read = archive.read(archive.window(asked), |row| {
        assert!(last.is_none_or(|last| last <= row.start_s), "in order");
        last = Some(row.start_s);
        if widths.last() != Some(&row.width_s) {
            widths.push(row.width_s);
        }
        all.add(row.usage);
        Ok::<_, HistoryError>(())
    });
    read.expect("rows");
    (all, widths)
}

#[test]
fn each_request_is_in_one_row_of_the_finest_width_that_is_kept() {
    let folder = Folder::new();
    let path = folder.history();
    let mut rig = filled(&path);
    let archive = Archive::open(&path).expect("a file that someone else writes");
    let answered = |rig: &Rig, window| {
        let answer = rig.ask(&Query {
            window,
            ..rig.all()
        });
        let points = answer.groups.iter().flat_map(|group| &group.points);
        let mut all = Usage::default();
        points.for_each(|(_, usage)| all.add(usage));
        (all, answer.window)
    };
    let everything = window(0, u64::MAX);
    let (all, widths) = read(&archive, everything);
    assert_eq!(widths, [3600, 60, 10]);
    assert_eq!(all.totals.requests, RECORDS);
    assert_eq!(answered(&rig, everything).0, all);
    let mut random = Random(22);
    for _ in 0..60 {
        let start = T0_S + random.below(33 * DAY_S);
        let asked = window(start, start + random.below(6 * DAY_S));
        let (expected, snapped) = answered(&rig, asked);
        assert_eq!(archive.window(asked), snapped);
        assert_eq!(read(&archive, asked).0, expected, "{asked:?}");
    }
    // It stays at its moment, whatever is written and removed meanwhile.
    for n in 0..20 {
        let at_s = T0_S + (33 + n) * DAY_S;
        rig.record(Done::random(&mut random, at_s, 8));
        rig.flush().expect("room");
    }
    assert_eq!(read(&archive, everything), (all, widths));
    let later = Archive::open(&path).expect("the file");
    assert_eq!(read(&later, everything).0.totals.requests, RECORDS + 20);
}

#[test]
fn an_archive_of_a_closed_history_needs_no_gateway() {
    let folder = Folder::new();
    let path = folder.history();
    let rig = filled(&path);
    rig.history.close(rig.now).expect("room");
    drop(rig);
    let archive = Archive::open(&path).expect("the file");
    assert_eq!(
        read(&archive, window(0, u64::MAX)).0.totals.requests,
        RECORDS
    );
    let missing = Archive::open(&path.with_extension("not"));
    assert!(matches!(missing, Err(HistoryError::Folder { .. })));
}

/// Sums of cost and unpriced requests of a table, within what is kept of all widths.
fn costs(path: &Path, table: &str, from_s: u64) -> (i64, i64) {
    let file = Connection::open(path).expect("a file");
    let sql = format!("SELECT sum(cost_nano_usd), sum(unpriced) FROM {table} WHERE bucket >= ?1");
    let sums = file.query_row(&sql, [from_s as i64], |row| Ok((row.get(0)?, row.get(1)?)));
    sums.expect("sums")
}

#[test]
fn new_costs_are_in_all_widths_or_in_none() {
    let folder = Folder::new();
    let path = folder.history();
    let rig = filled(&path);
    let tables = ["10s", "1m", "1h", "1d"];
    let tables = tables.map(|width| ["usage", "route_usage"].map(|of| format!("{of}_{width}")));
    let tables = tables.as_flattened();
    let in_use = Rewrite::begin(&path).map(|_| ());
    assert!(matches!(in_use, Err(HistoryError::InUse { .. })));
    let now_s = rig.now.0 / 1000;
    let Rig { history, done, .. } = rig;
    drop(history);

    let before: Vec<_> = tables.iter().map(|table| costs(&path, table, 0)).collect();
    let asked = window(now_s - 32 * DAY_S, now_s - 7200);
    let seven = |row: &ArchiveRow<'_>| {
        let known = row.model != "llama";
        known.then(|| NanoUsd(7 * row.usage.totals.tokens.total()))
    };
    let mut rewrite = Rewrite::begin(&path).expect("nobody else");
    let snapped = rewrite.archive().window(asked);
    let changed = rewrite.rewrite(snapped, seven).expect("room").rows;
    assert!(changed > RECORDS / 3);
    drop(rewrite);
    let after: Vec<_> = tables.iter().map(|table| costs(&path, table, 0)).collect();
    assert_eq!(before, after, "it was not committed");

    let mut rewrite = Rewrite::begin(&path).expect("nobody else");
    rewrite.rewrite(snapped, seven).expect("room");
    rewrite
        .commit(snapped, UnixMillis(now_s * 1000))
        .expect("room");
    // What the list would have cost.
    let done = done.into_iter().map(|done| {
        let within = (snapped.start_s..snapped.end_s).contains(&done.at_s);
        if !within || ROUTES[done.route].1 == "llama" {
            return Ok::<_, Infallible>(done);
        }
        let cost = Some(7 * done.tokens.total());
        Ok(Done { cost, ..done })
    });
    let Ok(done) = done.collect();
    let rig = Rig {
        done,
        ..Rig::open(&path, now_s)
    };
    rig.check(&rig.all());
    for group_by in [vec![], vec![Dimension::Client], vec![Dimension::Model]] {
        for (start_s, end_s) in [
            (asked.start_s + 40_000, asked.end_s),
            (asked.start_s - 90_000, asked.end_s + 3600),
        ] {
            let window = window(start_s, end_s);
            let group_by = group_by.clone();
            rig.check(&Query {
                window,
                group_by,
                ..rig.all()
            });
        }
    }
    // From where all widths are kept, all say the same.
    let hour = floor(now_s, 3600) - 20 * 3600;
    let of: Vec<_> = tables[..6].iter().map(|t| costs(&path, t, hour)).collect();
    assert!(of.iter().all(|sums| *sums == of[0]), "{of:?}");
    let meta = |name: &str| -> i64 {
        let file = Connection::open(&path).expect("a file");
        let sql = "SELECT value FROM meta WHERE name = ?1";
        file.query_row(sql, [name], |row| row.get(0))
            .expect("it is noted")
    };
    assert_eq!(meta("reprices"), 1);
    assert_eq!(meta("repriced_from"), snapped.start_s as i64);
    assert_eq!(meta("repriced_to"), snapped.end_s as i64);
}
