//! The files of a trail: `audit-000000000001.jsonl`, named by their first row.

use super::chain::{LINE_BYTES_MAX, Link, Read as Line};
use super::error::{Broken, TrailError};
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

/// A file of the trail.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Segment {
    /// The number of its first row.
    pub(super) first: u64,
    pub(super) path: PathBuf,
}

impl Segment {
    pub(super) fn new(folder: &Path, first: u64) -> Self {
        let path = folder.join(format!("audit-{first:012}.jsonl"));
        Self { first, path }
    }
}

/// The files of a folder, the oldest first. Other files are not looked at.
pub(super) fn list(folder: &Path) -> Result<Vec<Segment>, TrailError> {
    let wrong = |error| TrailError::File(folder.to_owned(), error);
    let mut segments = Vec::new();
    for entry in fs::read_dir(folder).map_err(wrong)? {
        let name = entry.map_err(wrong)?.file_name();
        let number = name.to_str().and_then(|name| {
            let digits = name.strip_prefix("audit-")?.strip_suffix(".jsonl")?;
            (digits.len() == 12).then(|| digits.parse().ok()).flatten()
        });
        if let Some(first) = number {
            segments.push(Segment::new(folder, first));
        }
    }
    segments.sort();
    Ok(segments)
}

/// What a file's rows come to.
pub(super) struct Walked {
    /// The last row; that before the file where it has none.
    pub(super) last: Option<Link>,
    pub(super) rows: u64,
    /// Bytes up to the end of the last whole line.
    pub(super) bytes: u64,
    /// What stands behind it.
    pub(super) torn: Vec<u8>,
}

/// Goes over all rows of a file. The first must follow `before`, where that is known.
pub(super) fn walk(
    segment: &Segment,
    before: Option<Link>,
    mut visit: impl FnMut(&Line, &[u8]),
) -> Result<Walked, TrailError> {
    let wrong = |error| TrailError::File(segment.path.clone(), error);
    let mut reader = BufReader::new(File::open(&segment.path).map_err(wrong)?);
    let mut walked = Walked {
        last: before,
        rows: 0,
        bytes: 0,
        torn: Vec::new(),
    };
    let mut line = Vec::new();
    loop {
        line.clear();
        let mut part = (&mut reader).take(LINE_BYTES_MAX);
        let read = part.read_until(b'\n', &mut line).map_err(wrong)? as u64;
        if read == 0 {
            return Ok(walked);
        }
        let broken = |what: String| Broken {
            place: Some((segment.path.clone(), walked.rows + 1)),
            what,
        };
        if !line.ends_with(b"\n") {
            if read == LINE_BYTES_MAX {
                return Err(broken("the line is too long".to_owned()).into());
            }
            walked.torn = line;
            return Ok(walked);
        }
        let row = Line::of(&line).map_err(|what| broken(what.to_owned()))?;
        match walked.last {
            Some(last) => row.follows(last).map_err(broken)?,
            None if row.link.seq != segment.first => {
                let what = format!(
                    "row {} is not the one that the file is named by",
                    row.link.seq
                );
                return Err(broken(what).into());
            }
            None => {}
        }
        visit(&row, &line);
        walked.last = Some(row.link);
        walked.rows += 1;
        walked.bytes += read;
    }
}

/// The last row of a file, without a look at the others; `None` where it has none.
pub(super) fn last(segment: &Segment) -> Result<Option<Link>, TrailError> {
    let wrong = |error| TrailError::File(segment.path.clone(), error);
    let mut file = File::open(&segment.path).map_err(wrong)?;
    let bytes = file.metadata().map_err(wrong)?.len();
    let from = bytes.saturating_sub(LINE_BYTES_MAX);
    file.seek(SeekFrom::Start(from)).map_err(wrong)?;
    let mut tail = Vec::new();
    file.read_to_end(&mut tail).map_err(wrong)?;
    if tail.is_empty() {
        return Ok(None);
    }
    let before_end = tail.len() - 1;
    let start = tail[..before_end].iter().rposition(|byte| *byte == b'\n');
    let line = Line::of(&tail[start.map_or(0, |at| at + 1)..]);
    let line = line.map_err(|what| Broken {
        place: None,
        what: format!("{}: its last line: {what}", segment.path.display()),
    })?;
    Ok(Some(line.link))
}
