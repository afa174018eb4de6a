//! The trail on a real disk.

use super::row::{Event, Note, Request, Row};
use super::*;
use crate::control::tests::Folder;
use proptest::prelude::*;
use std::fs;

const SMALL: config::Audit = config::Audit {
    max_size_mb: 1,
    max_files: 2,
};

fn request(path: &str) -> Request {
    Request {
        method: "GET".to_owned(),
        path: path.to_owned(),
        endpoint: "/admin/v1/x".to_owned(),
        address: Some(std::net::Ipv4Addr::LOCALHOST.into()),
        status: None,
        duration_ms: 0,
        note: Note::default(),
    }
}

fn open(folder: &Folder) -> (Trail, TrailGuard) {
    Trail::open(folder.path(), SMALL).expect("a trail")
}

/// A trail with a row each of so many requests, between those of the start and the stop.
fn written(folder: &Folder, requests: u64) -> PathBuf {
    let (trail, guard) = open(folder);
    for n in 0..requests {
        let mut place = Place::take(Some(&trail), request(&format!("/admin/v1/{n}")));
        assert!(!place.is_missing());
        place.end(200);
    }
    drop(guard);
    folder.path().join(FOLDER)
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let listed = files::list(folder).expect("a folder");
    listed.into_iter().map(|segment| segment.path).collect()
}

fn text(path: &Path) -> String {
    fs::read_to_string(path).expect("the file")
}

fn broken(path: &Path) -> String {
    match verify(path, None) {
        Err(TrailError::Broken(broken)) => broken.what,
        other => unreachable!("{other:?}"),
    }
}

#[test]
fn rows_are_in_order_and_go_on_after_a_restart() {
    let folder = Folder::new();
    written(&folder, 3);
    let trail = written(&folder, 1);
    let report = verify(&trail, None).expect("it is whole");
    assert_eq!((report.files, report.rows, report.first), (1, 8, 1));
    assert!(report.is_anchored);
    assert!(verify(&trail, Some(report.head)).is_ok());
    let rows: Vec<serde_json::Value> = text(&files(&trail)[0])
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect();
    let events: Vec<_> = rows
        .iter()
        .map(|row| row["event"].as_str().expect("text"))
        .collect();
    let once = ["start", "request", "request", "request", "stop"];
    assert_eq!(events, [&once[..], &["start", "request", "stop"]].concat());
    assert_eq!(rows[2]["path"], "/admin/v1/1");
    assert_eq!(rows[2]["address"], "127.0.0.1");
    assert_eq!(rows[2]["status"], 200);
    assert_eq!(rows[2]["prev"], rows[1]["hash"]);
}

/// The whole promise: each byte of each file, flipped in each of three ways.
#[test]
fn every_changed_byte_is_found() {
    let folder = Folder::new();
    let trail = written(&folder, 2);
    for path in [files(&trail).remove(0), trail.join("anchor")] {
        let whole = fs::read(&path).expect("the file");
        for at in 0..whole.len() {
            for flip in [1, 0x20, 0x80] {
                let mut changed = whole.clone();
                changed[at] ^= flip;
                fs::write(&path, &changed).expect("ours");
                let found = matches!(verify(&trail, None), Err(TrailError::Broken(_)));
                assert!(found, "byte {at} of {}, bit {flip:#x}", path.display());
            }
        }
        fs::write(&path, whole).expect("ours");
    }
    assert!(verify(&trail, None).is_ok());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]
    /// Lines that are removed, doubled or swapped, wherever; and ends that are cut, wherever.
    #[test]
    fn lines_out_of_place_are_found(rows in 2..20u64, at in 0..1000usize, cut in 1..2000usize) {
        let folder = Folder::new();
        let trail = written(&folder, rows);
        let path = files(&trail).remove(0);
        let whole = text(&path);
        let lines: Vec<&str> = whole.split_inclusive('\n').collect();
        let at = at % (lines.len() - 1);
        let mut without = lines.clone();
        without.remove(at);
        let mut doubled = lines.clone();
        doubled.insert(at, lines[at]);
        let mut swapped = lines.clone();
        swapped.swap(at, at + 1);
        let short = whole[..whole.len() - cut.min(whole.len())].to_owned();
        for changed in [without.concat(), doubled.concat(), swapped.concat(), short] {
            fs::write(&path, &changed).expect("ours");
            let found = matches!(verify(&trail, None), Err(TrailError::Broken(_)));
            prop_assert!(found, "{changed}");
            // Nor does the gateway write behind it.
            prop_assert!(matches!(
                Trail::open(folder.path(), SMALL).err(),
                Some(TrailError::Broken(_))
            ));
            prop_assert_eq!(text(&path), changed);
        }
    }
}

/// What only an anchor elsewhere shows: somebody cut the end and wrote the anchor anew.
#[test]
fn a_cut_end_with_an_anchor_that_fits_needs_one_elsewhere() {
    let folder = Folder::new();
    let trail = written(&folder, 3);
    let head = verify(&trail, None).expect("it is whole").head;
    let path = files(&trail).remove(0);
    let whole = text(&path);
    let lines: Vec<&str> = whole.split_inclusive('\n').collect();
    fs::write(&path, lines[..2].concat()).expect("ours");
    let said = broken(&trail);
    assert!(said.contains("its end was cut off"), "{said}");
    let row: serde_json::Value = serde_json::from_str(lines[1]).expect("JSON");
    let forged = format!("2:{}\n", row["hash"].as_str().expect("text"));
    fs::write(trail.join("anchor"), forged).expect("ours");
    assert!(
        verify(&trail, None).is_ok(),
        "nothing in the folder tells it"
    );
    assert!(verify(&trail, Some(head)).is_err());
    fs::remove_file(trail.join("anchor")).expect("ours");
    let report = verify(&trail, None).expect("nothing in the folder tells it");
    assert!(!report.is_anchored);
    // The gateway goes on, and the trail says that there was no anchor.
    let trail = written(&folder, 0);
    assert!(text(&files(&trail)[0]).contains("\"event\":\"anchor_missing\""));
    assert!(verify(&trail, None).is_ok());
}

/// A power cut in the middle of a line: what is there is kept aside, and the trail says so.
#[test]
fn a_torn_line_is_set_aside() {
    let folder = Folder::new();
    let trail = written(&folder, 1);
    let path = files(&trail).remove(0);
    let whole = text(&path);
    fs::write(&path, format!("{whole}{{\"seq\":4,\"ti")).expect("ours");
    assert!(broken(&trail).contains("not whole"));
    written(&folder, 0);
    assert!(text(&path).starts_with(&whole));
    assert!(text(&path).contains("\"event\":\"torn\",\"bytes\":12"));
    assert_eq!(
        text(&trail.join("torn-after-000000000003")),
        "{\"seq\":4,\"ti"
    );
    assert!(verify(&trail, None).is_ok());
}

#[test]
fn the_chain_goes_over_files_and_old_ones_are_removed_with_a_row() {
    let folder = Folder::new();
    let status = Arc::new(Status::default());
    let mut writer = Writer::open(&folder.path().join(FOLDER), SMALL, status).expect("a trail");
    // 1 MiB has about 1,800 of these.
    let rows: Vec<Row> = (0..500)
        .map(|_| Row::now(Event::Request(request(&"x".repeat(300)))))
        .collect();
    let folder = folder.path().join(FOLDER);
    for _ in 0..30 {
        writer.append(&rows).expect("written");
    }
    let files = files(&folder);
    assert_eq!(
        files.len(),
        3,
        "two full ones and the present one: {files:?}"
    );
    let report = verify(&folder, None).expect("it is whole");
    assert!(report.first > 1 && report.rows < 15_000, "{report:?}");
    assert_eq!(report.head.seq, report.first + report.rows - 1);
    for file in &files {
        assert!(verify(file, None).is_ok(), "each by itself");
    }
    // A page from the middle, over the border of two files.
    let border = files::list(&folder).expect("a folder")[1].first;
    let mut asked = read::Asked {
        start_ms: 0,
        end_ms: u64::MAX,
        after: border - 3,
        limit: 4,
    };
    let page = read::page(&folder, &asked).expect("a page");
    let seqs: Vec<u64> = page
        .rows
        .iter()
        .map(|row| serde_json::from_str::<serde_json::Value>(row).expect("JSON")["seq"].as_u64())
        .map(|seq| seq.expect("a number"))
        .collect();
    assert_eq!(seqs, [border - 2, border - 1, border, border + 1]);
    assert_eq!(page.next, Some(border + 1));
    asked.start_ms = u64::MAX - 1;
    assert_eq!(
        read::page(&folder, &asked).expect("a page"),
        read::Page::default()
    );
    // Somebody else removes a file, at either end or between.
    for file in &files {
        let aside = file.with_extension("aside");
        fs::rename(file, &aside).expect("ours");
        assert!(
            matches!(verify(&folder, None), Err(TrailError::Broken(_))),
            "{file:?}"
        );
        fs::rename(&aside, file).expect("ours");
    }
    assert!(verify(&folder, None).is_ok());
}

#[test]
fn one_process_writes_a_trail() {
    let folder = Folder::new();
    let (_trail, guard) = open(&folder);
    let taken = Trail::open(folder.path(), SMALL).err();
    assert!(matches!(taken, Some(TrailError::Taken(_))), "{taken:?}");
    drop(guard);
    drop(open(&folder));
}

/// The disk takes nothing: rows wait, further ones are counted, and the trail tells both later.
#[test]
fn rows_that_had_no_place_are_told() {
    let folder = Folder::new();
    let status = Arc::new(Status::default());
    let writer = Writer::open(&folder.path().join(FOLDER), SMALL, Arc::clone(&status));
    let writer = writer.expect("a trail");
    let (queue, messages) = mpsc::channel(2);
    let trail = Trail {
        queue,
        status: Arc::clone(&status),
        folder: folder.path().join(FOLDER).into(),
    };
    // Nobody takes from the queue yet.
    for n in 0..5 {
        let place = Place::take(Some(&trail), request(&format!("/{n}")));
        assert_eq!(place.is_missing(), n >= 2);
    }
    let count = |of: &AtomicU64| of.load(Ordering::Relaxed);
    assert_eq!((count(&status.lost), count(&status.written)), (3, 1));
    let path = trail.folder();
    drop(trail);
    // The queue has no sender any more: the writer ends when it is empty.
    writer.run(messages);
    let rows = text(&files(&path)[0]);
    assert!(
        rows.contains("\"path\":\"/1\"") && !rows.contains("\"path\":\"/2\""),
        "{rows}"
    );
    assert!(rows.contains("\"event\":\"lost\",\"rows\":3"), "{rows}");
    assert!(verify(&path, None).is_ok());
}

/// A write that fails halfway leaves no half of it behind.
#[test]
fn a_write_that_failed_is_not_in_the_trail() {
    let folder = Folder::new();
    let path = folder.path().join(FOLDER);
    let status = Arc::new(Status::default());
    let mut writer = Writer::open(&path, SMALL, status).expect("a trail");
    let before = text(&files(&path)[0]);
    let row = [Row::now(Event::Request(request("/x")))];
    let full = writer
        .append_on_a_full_disk(&row)
        .expect_err("the disk is full");
    assert_eq!(full.kind(), std::io::ErrorKind::StorageFull);
    writer.append(&row).expect("written");
    let after = text(&files(&path)[0]);
    assert_eq!(after.lines().count(), before.lines().count() + 1);
    assert!(verify(&path, None).is_ok());
}
