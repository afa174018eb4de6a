//! A page of the trail.

use super::chain::{LINE_BYTES_MAX, Link, Read as Line};
use super::error::TrailError;
use super::files::{self, Segment};
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom};
use std::path::Path;

/// Below so many bytes a file is read from there on instead of halved once more.
const HALVED_BYTES_MIN: u64 = 64 * 1024;

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Asked {
    /// Unix milliseconds, half-open.
    pub(super) start_ms: u64,
    pub(super) end_ms: u64,
    /// Rows behind this one.
    pub(super) after: u64,
    /// How many at most.
    pub(super) limit: usize,
}

impl Asked {
    /// Whether a row is before those that are asked for. Rows are in order of both.
    fn is_before(&self, link: Link) -> bool {
        link.time_ms < self.start_ms || link.seq <= self.after
    }
}

/// What was found.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Page {
    /// Lines without their end, the oldest first.
    pub(super) rows: Vec<String>,
    /// The last row, where there are more.
    pub(super) next: Option<u64>,
}

/// Reads a page; a row that is just being written is not in it.
pub(super) fn page(folder: &Path, asked: &Asked) -> Result<Page, TrailError> {
    let segments = files::list(folder)?;
    let mut page = Page::default();
    let mut last = None;
    for (n, segment) in segments.iter().enumerate() {
        if let Some(next) = segments.get(n + 1)
            && first_row(next)?.is_some_and(|row| asked.is_before(row))
        {
            continue;
        }
        let wrong = |error| TrailError::File(segment.path.clone(), error);
        let mut file = File::open(&segment.path).map_err(wrong)?;
        let from = find(&mut file, asked).map_err(wrong)?;
        file.seek(SeekFrom::Start(from)).map_err(wrong)?;
        let mut reader = BufReader::new(file);
        while let Some((link, line)) = next_row(&mut reader).map_err(wrong)? {
            if asked.is_before(link) {
                continue;
            }
            if link.time_ms >= asked.end_ms {
                return Ok(page);
            }
            if page.rows.len() == asked.limit {
                page.next = last;
                return Ok(page);
            }
            last = Some(link.seq);
            page.rows.push(line);
        }
    }
    Ok(page)
}

fn first_row(segment: &Segment) -> Result<Option<Link>, TrailError> {
    let wrong = |error| TrailError::File(segment.path.clone(), error);
    let file = File::open(&segment.path).map_err(wrong)?;
    let row = next_row(&mut BufReader::new(file)).map_err(wrong)?;
    Ok(row.map(|(link, _)| link))
}

/// The begin of a line with no row that is asked for before it, and few that are not behind it.
fn find(file: &mut File, asked: &Asked) -> std::io::Result<u64> {
    let (mut low, mut high) = (0, file.metadata()?.len());
    while high - low > HALVED_BYTES_MIN {
        let middle = low + (high - low) / 2;
        file.seek(SeekFrom::Start(middle))?;
        let mut reader = BufReader::new(&mut *file);
        let mut skipped = Vec::new();
        let skipped = (&mut reader)
            .take(LINE_BYTES_MAX)
            .read_until(b'\n', &mut skipped)?;
        match next_row(&mut reader)? {
            Some((link, _)) if asked.is_before(link) => low = middle + skipped as u64,
            _ => high = middle,
        }
    }
    Ok(low)
}

/// The next row; `None` at the end, and at what is not a whole row of ours.
fn next_row(reader: &mut impl BufRead) -> std::io::Result<Option<(Link, String)>> {
    let mut line = Vec::new();
    reader.take(LINE_BYTES_MAX).read_until(b'\n', &mut line)?;
    let Ok(row) = Line::of(&line) else {
        return Ok(None);
    };
    line.pop();
    let line = String::from_utf8(line).map_err(std::io::Error::other)?;
    Ok(Some((row.link, line)))
}
