//! Files that are not a whole history of ours.

use super::*;
use std::fs;

fn made(folder: &Folder, records: u64) -> PathBuf {
    let path = folder.history();
    let mut rig = Rig::open(&path, T0_S);
    let mut random = Random(2);
    for n in 0..records {
        rig.record(Done::random(&mut random, T0_S + n * 7, 8));
    }
    rig.history.close(rig.now).expect("room");
    path
}

fn refused(path: &Path) -> HistoryError {
    let before = fs::read(path).ok();
    let opened = Rig::try_open(path, UnixMillis(T0_S * 1000), 8);
    let error = opened.err().expect("not to be opened");
    assert_eq!(fs::read(path).ok(), before, "it is left as it is");
    error
}

#[test]
fn a_damaged_file_is_refused_with_the_way_out() {
    let folder = Folder::new();
    let path = made(&folder, 2000);
    let whole = fs::read(&path).expect("the file");
    let mut random = Random(3);
    let mut refusals = 0;
    for _ in 0..40 {
        let mut bytes = whole.clone();
        // A page that something else was written to.
        let page = random.below(bytes.len() as u64 / 4096) as usize;
        for byte in &mut bytes[page * 4096..(page + 1) * 4096] {
            *byte = random.next() as u8;
        }
        fs::write(&path, &bytes).expect("a file");
        let error = refused(&path);
        let text = error.to_string();
        match error {
            HistoryError::Damaged { .. } => {
                for part in [".recover", "move", "left as it is", "history.db"] {
                    assert!(text.contains(part), "{text}");
                }
                assert_eq!(text.lines().count(), 1, "{text}");
            }
            HistoryError::Foreign { .. } => assert_eq!(page, 0),
            other => panic!("{other:?}"),
        }
        refusals += 1;
    }
    assert_eq!(refusals, 40);
    fs::write(&path, &whole).expect("a file");
    assert_eq!(Rig::open(&path, T0_S).requests(), 2000);
}

#[test]
fn an_empty_a_short_and_a_missing_file_do_not_become_new_histories() {
    let folder = Folder::new();
    let path = made(&folder, 300);
    let whole = fs::read(&path).expect("the file");
    fs::write(&path, b"").expect("a file");
    assert!(refused(&path).to_string().contains("it is empty"));
    fs::write(&path, &whole[..whole.len() / 2]).expect("a file");
    assert!(matches!(refused(&path), HistoryError::Damaged { .. }));
    fs::write(
        &path,
        "version: \"1.0\"\nserver:\n  listen: nowhere\n".repeat(300),
    )
    .expect("a file");
    assert!(matches!(refused(&path), HistoryError::Damaged { .. }));
    fs::remove_file(&path).expect("the file");
    let wal = folder.0.join("data").join("history.db-wal");
    fs::write(&wal, b"rows").expect("a file");
    assert!(refused(&path).to_string().contains("it is gone"));
    fs::remove_file(&wal).expect("the file");
    assert!(Rig::open(&path, T0_S).history.is_new());
}

#[test]
fn another_programs_file_and_a_later_versions_are_refused() {
    let folder = Folder::new();
    let path = made(&folder, 10);
    let version = |n: i32, pragma: &str| {
        let file = Connection::open(&path).expect("a file");
        file.pragma_update(None, pragma, n).expect("a pragma");
    };
    version(99, "user_version");
    assert!(matches!(
        refused(&path),
        HistoryError::TooNew { version: 99, .. }
    ));
    version(schema::VERSION, "user_version");
    version(7, "application_id");
    assert!(matches!(refused(&path), HistoryError::Foreign { .. }));
}

#[test]
fn damage_that_shows_later_is_an_error_and_no_zeros() {
    let folder = Folder::new();
    let path = made(&folder, 500);
    let rig = Rig::open(&path, T0_S + 5000);
    let file = Connection::open(&path).expect("a file");
    let damage = "UPDATE route_usage_1h SET latency = x'ffffffffffffffffffffff'";
    file.execute(damage, []).expect("a row");
    let error = rig.history.query(&rig.all(), rig.now).expect_err("damage");
    assert!(matches!(error, HistoryError::Damaged { .. }), "{error}");
    let again = rig.history.query(&rig.all(), rig.now);
    assert!(again.is_err(), "and stays one");
}

#[test]
fn two_processes_do_not_share_a_history() {
    let folder = Folder::new();
    let path = folder.history();
    let first = Rig::open(&path, T0_S);
    let second = Rig::try_open(&path, UnixMillis(T0_S * 1000), 8);
    assert!(matches!(second.err(), Some(HistoryError::InUse { .. })));
    drop(first);
    Rig::open(&path, T0_S);
}

#[test]
fn a_making_that_was_cut_off_is_made_again() {
    let folder = Folder::new();
    let path = folder.history();
    fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
    fs::write(folder.0.join("data").join("history.db.new"), b"half").expect("a file");
    assert!(Rig::open(&path, T0_S).history.is_new());
}
