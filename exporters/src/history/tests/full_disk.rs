//! A file that can grow no more, by SQLite's own bound on its pages.

use super::*;

fn pages_max(rig: &Rig, pages: u32) {
    let writer = lock(&rig.history.writer);
    let pragma = format!("PRAGMA max_page_count = {pages}");
    let set = writer.connection().query_row(&pragma, [], |_| Ok(()));
    set.expect("a bound");
}

#[test]
fn a_full_disk_loses_nothing_and_half_writes_nothing() {
    let folder = Folder::new();
    let path = folder.history();
    let mut rig = Rig::open(&path, T0_S);
    let mut random = Random(1);
    let mut at_s = T0_S;
    let mut go_on = |rig: &mut Rig, records: u64| {
        for _ in 0..records {
            at_s += random.below(4);
            rig.record(Done::random(&mut random, at_s, 8));
        }
    };
    go_on(&mut rig, 200);
    rig.flush().expect("room");
    pages_max(&rig, 1);
    for failures in 1..=3 {
        go_on(&mut rig, 300);
        let error = rig.flush().expect_err("no room");
        assert!(matches!(error, HistoryError::Store { .. }), "{error}");
        assert!(error.to_string().contains("full"), "{error}");
        let health = rig.history.health(rig.now);
        assert_eq!((health.failures, health.dropped), (failures, 0));
        assert_eq!(health.recorded, rig.done.len() as u64);
        assert!(health.error.is_some_and(|error| error.contains("full")));
        assert!(health.waiting_rows > 0 && health.lag_s > 0);
        // Exact meanwhile: the file's rows and those that wait.
        rig.check(&rig.all());
    }
    pages_max(&rig, 1 << 20);
    rig.flush().expect("room again");
    let health = rig.history.health(rig.now);
    assert_eq!((health.error, health.waiting_rows), (None, 0));
    assert_eq!(
        (health.persisted, health.dropped),
        (rig.done.len() as u64, 0)
    );
    let rig = rig.restart(&path);
    rig.check(&rig.all());
    rig.check(&Query {
        group_by: vec![Dimension::Client, Dimension::Model],
        step_s: Some(60),
        ..rig.all()
    });
}

#[test]
fn a_probe_finds_a_file_that_is_gone_and_a_folder_that_takes_nothing() {
    let folder = Folder::new();
    let path = folder.history();
    let mut rig = Rig::open(&path, T0_S);
    rig.record(Done::random(&mut Random(1), T0_S, 8));
    rig.flush().expect("room");
    rig.history.probe().expect("room");
    let names = || -> Vec<_> {
        let folder = std::fs::read_dir(folder.0.join("data")).expect("the folder");
        folder.map(|it| it.expect("an entry").file_name()).collect()
    };
    assert!(
        names()
            .iter()
            .all(|name| !name.to_string_lossy().contains("probe"))
    );
    // A folder in the place of the small file: it cannot be written.
    let blocked = path.with_extension("db.probe");
    std::fs::create_dir(&blocked).expect("a folder");
    let error = rig.history.probe().expect_err("no file").to_string();
    assert!(error.contains("history.db.probe"), "{error}");
    std::fs::remove_dir(&blocked).expect("it is empty");
    rig.history.probe().expect("room again");
    let moved = path.with_extension("moved");
    std::fs::rename(&path, &moved).expect("the same folder");
    let error = rig.history.probe().expect_err("gone").to_string();
    assert!(error.contains("history.db"), "{error}");
}
