//! The thread that writes the trail.

use super::chain::{GENESIS, Link};
use super::error::{Broken, TrailError};
use super::files::{self, Segment};
use super::row::{Event, Row};
use super::verify::Anchor;
use super::{Message, Status, anchor};
use crate::control::hex;
use coo_llm_config as config;
use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};
use tokio::sync::mpsc::Receiver;

/// Rows that are written at once.
const BATCH_ROWS_MAX: usize = 512;
/// The time after which a write that failed is tried again.
const RETRY: Duration = Duration::from_secs(1);
/// How often the log names the last row, where there are new ones.
const TELL_EVERY: Duration = Duration::from_secs(600);

/// The trail's only writer.
pub(super) struct Writer {
    folder: PathBuf,
    /// Locked as long as we write.
    _lock: File,
    file: File,
    /// Bytes of whole rows in it; what stands behind them is a write that failed.
    bytes: u64,
    is_dirty: bool,
    head: Link,
    bytes_max: u64,
    files_max: usize,
    status: Arc<Status>,
    /// Of the lost rows, how many the trail tells of.
    lost_told: u64,
    told: (Instant, u64),
    /// Whether a request has been written down; before, the log has nothing to name.
    has_requests: bool,
}

impl Writer {
    pub(super) fn open(
        folder: &Path,
        settings: config::Audit,
        status: Arc<Status>,
    ) -> Result<Self, TrailError> {
        let wrong = |error| TrailError::File(folder.to_owned(), error);
        let mut builder = DirBuilder::new();
        builder.recursive(true).mode(0o700);
        builder.create(folder).map_err(wrong)?;
        let mut lock = options();
        lock.write(true).create(true).truncate(false);
        let lock = lock.open(folder.join("lock")).map_err(wrong)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(TrailError::Taken(folder.to_owned())),
            Err(TryLockError::Error(error)) => return Err(wrong(error)),
        }
        let found = Found::look(folder)?;
        let segment = found.segment.clone();
        let segment = segment.unwrap_or_else(|| Segment::new(folder, found.head.seq + 1));
        let file = append(&segment.path).map_err(wrong)?;
        let mut writer = Self {
            folder: folder.to_owned(),
            _lock: lock,
            file,
            bytes: found.bytes,
            is_dirty: !found.torn.is_empty(),
            head: found.head,
            bytes_max: settings.max_size_mb.saturating_mul(1024 * 1024),
            files_max: usize::try_from(settings.max_files).unwrap_or(usize::MAX),
            status,
            lost_told: 0,
            told: (Instant::now(), 0),
            has_requests: false,
        };
        let mut rows = Vec::new();
        if !found.torn.is_empty() {
            let aside = folder.join(format!("torn-after-{:012}", found.head.seq));
            fs::write(aside, &found.torn).map_err(wrong)?;
            rows.push(Row::now(Event::Torn(found.torn.len() as u64)));
        }
        if found.is_unanchored {
            rows.push(Row::now(Event::AnchorMissing));
        }
        rows.push(Row::now(Event::Start));
        sync_folder(folder).map_err(wrong)?;
        writer.append(&rows).map_err(wrong)?;
        Ok(writer)
    }

    /// Writes what comes, until it is told to stop.
    pub(super) fn run(mut self, mut messages: Receiver<Message>) {
        let mut rows = Vec::new();
        let mut flushed = Vec::new();
        while let Some(first) = messages.blocking_recv() {
            let mut next = Some(first);
            while let Some(message) = next {
                match message {
                    Message::Row(row) => rows.push(*row),
                    Message::Flush(done) => flushed.push(done),
                    Message::Wake => {}
                }
                next = (rows.len() < BATCH_ROWS_MAX)
                    .then(|| messages.try_recv().ok())
                    .flatten();
            }
            let stops = self.stops() && messages.is_empty();
            if stops {
                rows.push(Row::now(Event::Stop));
            }
            self.write(&mut rows, &mut flushed);
            for done in flushed.drain(..) {
                // Who asked may have left.
                let _unawaited = done.send(());
            }
            if stops {
                break;
            }
        }
        self.tell();
    }

    fn stops(&self) -> bool {
        self.status.stops.load(Ordering::Relaxed)
    }

    /// Writes rows, as often as it takes; gives up only at the end of the process. Who waits for
    /// a flush is told of a failure by the drop of its sender.
    fn write(&mut self, rows: &mut Vec<Row>, flushed: &mut Vec<tokio::sync::oneshot::Sender<()>>) {
        if rows.is_empty() {
            return;
        }
        let lost = self.status.lost.load(Ordering::Relaxed);
        if lost > self.lost_told {
            rows.push(Row::now(Event::Lost(lost - self.lost_told)));
        }
        loop {
            match self.append(rows) {
                Ok(()) => {
                    self.lost_told = lost;
                    rows.clear();
                    return;
                }
                Err(error) => {
                    self.status.failures.fetch_add(1, Ordering::Relaxed);
                    tracing::error!(%error, rows = rows.len(), "the audit trail cannot be written");
                    flushed.clear();
                    if self.stops() {
                        tracing::error!(rows = rows.len(), "rows of the audit trail are lost");
                        rows.clear();
                        return;
                    }
                    std::thread::sleep(RETRY);
                }
            }
        }
    }

    /// Writes rows to the disk. On an error none of them is in the trail.
    pub(super) fn append(&mut self, rows: &[Row]) -> io::Result<()> {
        if self.is_dirty {
            self.file.set_len(self.bytes)?;
            self.is_dirty = false;
        }
        let mut removed = Vec::new();
        if self.bytes >= self.bytes_max {
            removed = self.begin_file()?;
        }
        let told = removed.iter().map(|(_, row)| row);
        let (mut text, mut head) = (String::new(), self.head);
        for row in rows.iter().chain(told) {
            let (line, link) = head.next(row.time_ms, &row.members());
            text.push_str(&line);
            head = link;
        }
        self.is_dirty = true;
        self.file.write_all(text.as_bytes())?;
        self.file.sync_data()?;
        self.is_dirty = false;
        self.bytes += text.len() as u64;
        let written = head.seq - self.head.seq;
        self.head = head;
        self.status.written.fetch_add(written, Ordering::Relaxed);
        self.status.head.store(head.seq, Ordering::Relaxed);
        // The rows are there; without it only a cut end would go unseen until the next ones.
        if let Err(error) = anchor::write(&self.folder, head) {
            self.status.failures.fetch_add(1, Ordering::Relaxed);
            tracing::error!(%error, "the audit trail's anchor cannot be written");
        }
        for (segment, _) in removed {
            if let Err(error) = fs::remove_file(&segment.path) {
                tracing::error!(%error, path = %segment.path.display(), "it cannot be removed");
            }
        }
        let is_request = |row: &Row| matches!(row.event, Event::Request(_));
        let is_first = !self.has_requests && rows.iter().any(is_request);
        self.has_requests |= is_first;
        if is_first || self.told.0.elapsed() >= TELL_EVERY {
            self.tell();
        }
        Ok(())
    }

    /// Appends on a full disk, of which half a line gets to the file.
    #[cfg(test)]
    pub(super) fn append_on_a_full_disk(&mut self, rows: &[Row]) -> io::Result<()> {
        let full = OpenOptions::new().write(true).open("/dev/full")?;
        let ours = std::mem::replace(&mut self.file, full);
        let failed = self.append(rows);
        self.file = ours;
        self.file.write_all(b"{\"seq\":")?;
        failed
    }

    /// Goes on in a new file; gives the files that are now too many, with the rows that tell so.
    fn begin_file(&mut self) -> io::Result<Vec<(Segment, Row)>> {
        let segment = Segment::new(&self.folder, self.head.seq + 1);
        self.file = append(&segment.path)?;
        self.bytes = self.file.metadata()?.len();
        sync_folder(&self.folder)?;
        let segments = files::list(&self.folder).map_err(io::Error::other)?;
        let full = segments.len().saturating_sub(1);
        let too_many = full.saturating_sub(self.files_max);
        let mut removed = Vec::new();
        for pair in segments.windows(2).take(too_many) {
            let last = files::last(&pair[0]).map_err(io::Error::other)?;
            let last = last.ok_or_else(|| io::Error::other("a full file has no row"))?;
            let row = Row::now(Event::Removed {
                first: pair[0].first,
                last: last.seq,
                last_hash: hex::of(&last.hash),
            });
            removed.push((pair[0].clone(), row));
        }
        Ok(removed)
    }

    /// Names the last row in the log: who keeps the log elsewhere has an anchor there.
    fn tell(&mut self) {
        if self.has_requests && self.told.1 != self.head.seq {
            self.told = (Instant::now(), self.head.seq);
            tracing::info!(target: "audit", anchor = %Anchor::from(self.head), "the audit trail's last row");
        }
    }
}

/// What is there at a start.
struct Found {
    segment: Option<Segment>,
    head: Link,
    bytes: u64,
    torn: Vec<u8>,
    is_unanchored: bool,
}

impl Found {
    /// Checks the newest file and the anchor; the older files are for `verify`.
    fn look(folder: &Path) -> Result<Self, TrailError> {
        let segments = files::list(folder)?;
        let anchor = anchor::read(folder)?;
        let mut found = Self {
            segment: None,
            head: GENESIS,
            bytes: 0,
            torn: Vec::new(),
            is_unanchored: false,
        };
        let mut is_changed = false;
        if let Some((newest, older)) = segments.split_last() {
            let before = match older.last() {
                Some(last) => files::last(last)?,
                None => (newest.first == 1).then_some(GENESIS),
            };
            let walked = files::walk(newest, before, |row, _| {
                let is_it = anchor.filter(|anchor| anchor.seq == row.link.seq);
                is_changed |= is_it.is_some_and(|anchor| anchor != Anchor::from(row.link));
            })?;
            found.segment = Some(newest.clone());
            found.head = walked.last.unwrap_or(GENESIS);
            found.bytes = walked.bytes;
            found.torn = walked.torn;
            found.is_unanchored = anchor.is_none() && found.head.seq > 0;
        }
        if let Some(anchor) = anchor
            && (is_changed || anchor.seq > found.head.seq)
        {
            let what = format!(
                "row {} was changed or cut off; the trail ends with row {}",
                anchor.seq, found.head.seq
            );
            return Err(Broken { place: None, what }.into());
        }
        Ok(found)
    }
}

fn options() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.mode(0o600);
    options
}

fn append(path: &Path) -> io::Result<File> {
    options().append(true).create(true).open(path)
}

/// Makes the names of new files last.
fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}
