//! Whether a trail is what was written.

use super::chain::{GENESIS, Link};
use super::error::{Broken, TrailError};
use super::files::{self, Segment};
use super::{anchor, files::walk};
use crate::control::hex;
use std::path::Path;

/// A row that somebody wrote down elsewhere: its number and its hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Anchor {
    /// The row's number.
    pub seq: u64,
    hash: [u8; 32],
}

impl Anchor {
    /// Reads `number:hash`, as the log and `coo-llm audit verify` write it.
    #[must_use]
    pub fn parse(text: &[u8]) -> Option<Self> {
        let colon = text.iter().position(|byte| *byte == b':')?;
        let (seq, hash) = (&text[..colon], &text[colon + 1..]);
        let is_plain = seq.iter().all(u8::is_ascii_digit) && !seq.starts_with(b"0");
        let seq = std::str::from_utf8(seq).ok()?.parse().ok()?;
        let hash = hex::digest(hash)?;
        is_plain.then_some(Self { seq, hash })
    }
}

impl std::fmt::Display for Anchor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", self.seq, hex::of(&self.hash))
    }
}

impl From<Link> for Anchor {
    fn from(link: Link) -> Self {
        Self {
            seq: link.seq,
            hash: link.hash,
        }
    }
}

/// What was found of a trail that is whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// Its files.
    pub files: usize,
    /// Its rows.
    pub rows: u64,
    /// The number of the first row: above 1 where older ones were removed to make room.
    pub first: u64,
    /// The last row, to be written down elsewhere.
    pub head: Anchor,
    /// Whether the folder's own anchor was there: without it a cut end cannot be seen.
    pub is_anchored: bool,
}

/// Checks every row of a trail: `path` is its folder, or one file of it.
///
/// Of one file alone, what came before it and what should come behind it is not known.
///
/// # Errors
/// A file cannot be read; or the trail is broken: where, and how.
pub fn verify(path: &Path, elsewhere: Option<Anchor>) -> Result<Report, TrailError> {
    let is_folder = path.is_dir();
    let (segments, own) = if is_folder {
        (files::list(path)?, anchor::read(path)?)
    } else {
        let first = first_of(path)?;
        let path = path.to_owned();
        (vec![Segment { first, path }], None)
    };
    let anchors: Vec<Anchor> = own.into_iter().chain(elsewhere).collect();
    let mut met = vec![false; anchors.len()];
    let mut changed = None;
    let mut removed = Vec::new();
    let mut first = None;
    let (mut before, mut rows) = (None, 0);
    for (n, segment) in segments.iter().enumerate() {
        if let Some(last) = before
            && segment.first != Link::seq_after(last)
        {
            let what = format!(
                "the file begins with row {}, but the one before ends with row {}",
                segment.first, last.seq
            );
            return Err(broken(segment, 1, what).into());
        }
        // The very first row follows nothing; of any other first row it is seen at the end.
        let follows = before.or((segment.first == 1).then_some(GENESIS));
        let walked = walk(segment, follows, |row, line| {
            first.get_or_insert(*row);
            for (anchor, met) in anchors.iter().zip(&mut met) {
                if anchor.seq == row.link.seq {
                    *met = true;
                    if anchor.hash != row.link.hash {
                        changed = Some(anchor.seq);
                    }
                }
            }
            removed.extend(Removed::of(line));
        })?;
        if !walked.torn.is_empty() {
            let what = "the line is not whole: its end is missing".to_owned();
            return Err(broken(segment, walked.rows + 1, what).into());
        }
        if walked.rows == 0 && n + 1 < segments.len() {
            return Err(broken(segment, 1, "the file is empty".to_owned()).into());
        }
        before = walked.last;
        rows += walked.rows;
    }
    if let Some(seq) = changed {
        let what = format!("row {seq} is not the one that was written down");
        return Err(Broken { place: None, what }.into());
    }
    let head = before.unwrap_or(GENESIS);
    for (anchor, met) in anchors.iter().zip(met) {
        if !met && anchor.seq > head.seq {
            let what = format!(
                "the trail ends with row {}, but there was a row {}: its end was cut off",
                head.seq, anchor.seq
            );
            return Err(Broken { place: None, what }.into());
        }
    }
    let first_seq = first.map_or(1, |row| row.link.seq);
    if let Some(row) = first.filter(|row| is_folder && row.link.seq > 1) {
        let is_told =
            |gone: &Removed| gone.last + 1 == row.link.seq && gone.last_hash == hex::of(&row.prev);
        if !removed.iter().any(is_told) {
            let what = format!(
                "the trail begins with row {first_seq}, and no row says that those before were \
                 removed to make room"
            );
            return Err(Broken { place: None, what }.into());
        }
    }
    if rows == 0 && is_folder {
        let what = "there is no row".to_owned();
        return Err(Broken { place: None, what }.into());
    }
    Ok(Report {
        files: segments.len(),
        rows,
        first: first_seq,
        head: head.into(),
        is_anchored: own.is_some(),
    })
}

fn broken(segment: &Segment, line: u64, what: String) -> Broken {
    Broken {
        place: Some((segment.path.clone(), line)),
        what,
    }
}

impl Link {
    fn seq_after(self) -> u64 {
        self.seq + 1
    }
}

/// The number of a file's first row, from the row itself.
fn first_of(path: &Path) -> Result<u64, TrailError> {
    use std::io::{BufRead, BufReader, Read};
    let wrong = |error| TrailError::File(path.to_owned(), error);
    let file = std::fs::File::open(path).map_err(wrong)?;
    let mut line = Vec::new();
    BufReader::new(file.take(super::chain::LINE_BYTES_MAX))
        .read_until(b'\n', &mut line)
        .map_err(wrong)?;
    let row = super::chain::Read::of(&line).map_err(|what| Broken {
        place: Some((path.to_owned(), 1)),
        what: what.to_owned(),
    })?;
    Ok(row.link.seq)
}

/// What a row says of a file that was removed.
#[derive(serde::Deserialize)]
struct Removed {
    last: u64,
    last_hash: String,
}

impl Removed {
    fn of(line: &[u8]) -> Option<Self> {
        // Behind seq and time; a client's text has its quotes escaped.
        let is_one = memchr::memmem::find(line, b",\"event\":\"removed\",").is_some();
        is_one.then(|| serde_json::from_slice(line).ok()).flatten()
    }
}
