//! Rows that are too old, and what is left of their time.

use super::*;

fn rows(path: &Path, table: &str) -> i64 {
    let file = Connection::open(path).expect("a file");
    let sql = format!("SELECT count(*) FROM {table}");
    file.query_row(&sql, [], |row| row.get(0)).expect("a count")
}

#[test]
fn fine_rows_go_and_coarse_ones_answer_for_them() {
    let folder = Folder::new();
    let path = folder.history();
    let mut rig = Rig::open(&path, T0_S);
    let mut random = Random(4);
    let days = 33;
    let records = 3300;
    for n in 0..records {
        let at_s = T0_S + n * days * DAY_S / records;
        rig.record(Done::random(&mut random, at_s, 8));
        if n % 10 == 0 {
            rig.flush().expect("room");
        }
    }
    rig.flush().expect("room");
    let (ten_s, minute, hour) = (
        rows(&path, "usage_10s"),
        rows(&path, "usage_1m"),
        rows(&path, "usage_1h"),
    );
    let a_day = (records / days) as i64;
    assert!(ten_s >= a_day - 1 && ten_s <= a_day + 8, "{ten_s}");
    assert!(
        minute >= 30 * a_day - 1 && minute <= 30 * a_day + 8,
        "{minute}"
    );
    // Requests of a pair in one hour share its row.
    assert!(hour > minute + a_day, "{hour}");
    rig.check(&rig.all());
    // Around the ends of what is kept.
    let now_s = rig.now.0 / 1000;
    for age_s in [DAY_S, 30 * DAY_S] {
        for offset in 0..40 {
            let start_s = now_s - age_s - 7000 + offset * 331;
            let query = Query {
                window: Window {
                    start_s,
                    end_s: start_s + 9000,
                },
                ..rig.all()
            };
            rig.check(&query);
            rig.check_errors(query.window);
            let snapped = rig.ask(&query).window;
            assert!(start_s - snapped.start_s < 3600);
        }
    }
}

#[test]
fn the_views_are_readable_by_name() {
    let folder = Folder::new();
    let path = folder.history();
    let mut rig = Rig::open(&path, T0_S);
    rig.record(Done {
        route: 1,
        cost: Some(2_500_000_000),
        ..Done::random(&mut Random(9), T0_S + 61, 1)
    });
    rig.flush().expect("room");
    // Another connection, while this one is open.
    let file = Connection::open(&path).expect("a file");
    let sql = "SELECT provider, model, key, client_id, cost_usd, time FROM history_1m";
    let row = file.query_row(sql, [], |row| {
        let text = |at| row.get::<_, String>(at);
        Ok((
            [text(0)?, text(1)?, text(2)?, text(3)?, text(5)?],
            row.get::<_, f64>(4)?,
        ))
    });
    let (names, usd) = row.expect("a row");
    let expected = [
        "openai",
        "gpt-4o",
        "openai-2",
        "client-0",
        "2023-11-14 22:01:00",
    ];
    assert_eq!(names, expected);
    assert!((usd - 2.5).abs() < 1e-9);
}
