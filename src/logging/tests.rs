//! The log as a whole: what is sent arrives, in order, or is counted.

use super::line::tests::request;
use super::output::Output;
use super::rotate::RotatingFile;
use super::*;
use std::fs;
use std::path::{Path, PathBuf};

/// A temp folder of one test.
pub(super) struct Folder(PathBuf);

impl Folder {
    pub(super) fn new() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("coo-llm-log-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        fs::create_dir_all(&path).expect("a temp folder");
        Self(path)
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).expect("the temp folder is ours");
    }
}

fn start_file(path: &Path, bytes_max: u64, backups: u32, level: LogLevel) -> (LogHandle, LogGuard) {
    let file = RotatingFile::open(path, bytes_max, backups).expect("a log file");
    start_with(Output::file(file), level).expect("a log thread")
}

fn lines(path: &Path) -> Vec<serde_json::Value> {
    let text = fs::read_to_string(path).expect("a log file");
    text.lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect()
}

#[test]
fn events_and_requests_arrive_in_order_and_filtered_by_level() {
    let folder = Folder::new();
    let path = folder.path("app.log");
    let (log, guard) = start_file(&path, 1 << 20, 1, LogLevel::Info);
    let subscriber = subscriber::JsonSubscriber::new(log.clone());
    tracing::subscriber::with_default(subscriber, || {
        tracing::info!(
            worker = 3_u64,
            ratio = 0.5,
            level = "odd",
            up = true,
            "started\n[FAKE]"
        );
        tracing::debug!("not wanted");
        tracing::error!(error = ?io::Error::other("x\u{1b}y"), nan = f64::NAN, "failed");
    });
    log.request(request(200));
    drop(guard);
    let lines = lines(&path);
    assert_eq!(lines.len(), 3, "{lines:#?}");
    assert_eq!(lines[0]["message"], "started\n[FAKE]");
    assert_eq!(lines[0]["level"], "INFO");
    assert_eq!(lines[0]["level_"], "odd");
    assert_eq!(lines[0]["worker"], 3);
    assert_eq!(lines[0]["ratio"], 0.5);
    assert_eq!(lines[0]["up"], true);
    assert_eq!(lines[1]["level"], "ERROR");
    assert_eq!(lines[1]["nan"], "NaN");
    assert_eq!(lines[2]["target"], "coo_llm::request");
    assert_eq!(log.lines_dropped(), 0);
}

#[test]
fn a_quiet_level_takes_only_failed_requests() {
    let folder = Folder::new();
    let path = folder.path("app.log");
    let (log, guard) = start_file(&path, 1 << 20, 1, LogLevel::Warn);
    for status in [200, 404, 502] {
        log.request(request(status));
    }
    drop(guard);
    let statuses: Vec<u64> = lines(&path)
        .iter()
        .filter_map(|l| l["status"].as_u64())
        .collect();
    assert_eq!(statuses, [404, 502]);
}

#[test]
fn the_configuration_names_level_and_file() {
    let folder = Folder::new();
    let mut config = coo_llm_config::Config::builtin().logging;
    config.level = LogLevel::Error;
    config.file.enabled = true;
    config.file.path = folder.path("logs/app.log");
    let (log, guard) = start(&config).expect("a log");
    log.request(request(404));
    log.request(request(500));
    drop(guard);
    assert_eq!(lines(&config.file.path).len(), 1);
    config.file.path = folder.path("logs/app.log/below-a-file");
    assert!(start(&config).is_err());
}

/// Four threads send more than the queue holds: written plus dropped is what was sent.
#[test]
fn what_does_not_fit_is_counted() {
    const EACH: u64 = 20_000;
    let folder = Folder::new();
    let path = folder.path("app.log");
    let (log, guard) = start_file(&path, u64::MAX, 1, LogLevel::Info);
    thread::scope(|scope| {
        for _ in 0..4 {
            let log = log.clone();
            scope.spawn(move || {
                for _ in 0..EACH {
                    log.request(request(200));
                }
            });
        }
    });
    drop(guard);
    let written = lines(&path).len() as u64;
    assert_eq!(written + log.lines_dropped(), 4 * EACH);
    assert!(written >= QUEUE_LINES_MAX as u64);
    // After the end, lines are lost and said to be lost.
    log.request(request(200));
    assert_eq!(written + log.lines_dropped(), 4 * EACH + 1);
}

#[test]
fn files_rotate_at_line_ends_and_lose_nothing() {
    let folder = Folder::new();
    let path = folder.path("app.log");
    let (log, guard) = start_file(&path, 1000, 100, LogLevel::Info);
    for status in 200..300 {
        log.request(request(status));
    }
    drop(guard);
    let mut files = vec![path.clone()];
    files.extend(
        (1..=100)
            .map(|n| folder.path(&format!("app.log.{n}")))
            .filter(|p| p.exists()),
    );
    assert!(files.len() > 10, "{files:?}");
    let mut statuses: Vec<u64> = Vec::new();
    for file in files.iter().rev() {
        assert!(fs::metadata(file).expect("a file").len() <= 1000);
        statuses.extend(
            lines(file)
                .iter()
                .filter_map(|line| line["status"].as_u64()),
        );
    }
    assert_eq!(statuses, (200..300).collect::<Vec<u64>>());
}

/// A disk that takes nothing: every line is counted, and who logs does not notice.
#[test]
#[cfg(target_os = "linux")]
fn a_full_disk_is_counted() {
    let (log, guard) = start_file(Path::new("/dev/full"), u64::MAX, 0, LogLevel::Info);
    for _ in 0..10 {
        log.request(request(200));
    }
    drop(guard);
    assert_eq!(log.lines_dropped(), 10);
}
