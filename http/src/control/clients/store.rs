//! The file of entries: a journal, `clients/clients.log` in the data folder.
//!
//! A change is a line, on the disk before anyone is told. A line without an end was being
//! written when the process or the machine stopped: nobody was told of it. Any other line that
//! is not as it was written ends the start.

use super::entry::{Entries, Entry};
use super::roster::Change;
use super::row;
use std::fmt;
use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

const FOLDER: &str = "clients";
const FILE: &str = "clients.log";
const LOCK: &str = "lock";
/// The first line: what the file is.
const HEADER: &str = "coo-llm clients 1\n";

/// The file is written anew, an entry a line, when it has so many lines more than twice the
/// entries: each is then written two times or so.
const SPARE_LINES: usize = 1024;

/// Why the store cannot be opened. The file is as it was.
#[derive(Debug)]
#[non_exhaustive]
pub enum ClientStoreError {
    /// The folder or a file in it cannot be used.
    File(PathBuf, io::Error),
    /// Another process uses it.
    InUse(PathBuf),
    /// Others than its owner may read it.
    IsOpen(PathBuf),
    /// It is some other file.
    Foreign(PathBuf),
    /// A line is not as it was written.
    Damaged {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: u64,
        /// What is wrong with it.
        reason: &'static str,
    },
}

impl fmt::Display for ClientStoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path, error) => write!(f, "{}: {error}", path.display()),
            Self::InUse(path) => write!(
                f,
                "{}: another process uses it; give each gateway a data folder of its own",
                path.display()
            ),
            Self::IsOpen(path) => write!(
                f,
                "{}: others than its owner can read it; chmod 600 it",
                path.display()
            ),
            Self::Foreign(path) => write!(
                f,
                "{}: does not begin as a file of clients; restore it from a copy, or move it away \
                 to go on without the clients that were made or changed over the admin API",
                path.display()
            ),
            Self::Damaged { path, line, reason } => write!(
                f,
                "{}: line {line} is damaged: {reason}; restore the file from a copy, or cut it \
                 before that line to lose the changes from there on, or move it away to go on \
                 without the clients that were made or changed over the admin API",
                path.display()
            ),
        }
    }
}

impl std::error::Error for ClientStoreError {}

/// See the module. It has one writer: it locks its folder.
#[derive(Debug)]
pub struct ClientStore {
    path: PathBuf,
    pub(super) file: File,
    /// What is good of the file.
    bytes: u64,
    pub(super) lines: u64,
    entries: Entries,
    /// A write failed, and what it left could not be taken back.
    is_stuck: bool,
    _lock: File,
}

impl ClientStore {
    /// Opens that of a data folder, or makes it.
    ///
    /// # Errors
    /// It is damaged, in use or not to be read or written.
    pub fn open(data_dir: &Path) -> Result<Self, ClientStoreError> {
        let folder = data_dir.join(FOLDER);
        let wrong = |error| ClientStoreError::File(folder.clone(), error);
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&folder)
            .map_err(wrong)?;
        let lock = lock(&folder)?;
        let path = folder.join(FILE);
        let of_file = |error| ClientStoreError::File(path.clone(), error);
        if !path.try_exists().map_err(of_file)? {
            write_whole(&path, HEADER).map_err(of_file)?;
        }
        let Contents {
            entries,
            lines,
            bytes,
        } = read(&path)?;
        let file = OpenOptions::new().append(true).open(&path);
        let file = file.map_err(of_file)?;
        // What nobody was told of is not to stand before what comes next.
        file.set_len(bytes).map_err(of_file)?;
        file.sync_all().map_err(of_file)?;
        Ok(Self {
            path,
            file,
            bytes,
            lines,
            entries,
            is_stuck: false,
            _lock: lock,
        })
    }

    /// What there is in a data folder, without opening or changing anything; nothing where
    /// there is no store.
    ///
    /// # Errors
    /// As [`ClientStore::open`].
    pub fn peek(data_dir: &Path) -> Result<Kept, ClientStoreError> {
        let path = data_dir.join(FOLDER).join(FILE);
        match path.try_exists() {
            Ok(true) => Ok(Kept(read(&path)?.entries)),
            Ok(false) => Ok(Kept(Entries::new())),
            Err(error) => Err(ClientStoreError::File(path, error)),
        }
    }

    /// What is in it.
    #[must_use]
    pub fn kept(&self) -> Kept {
        Kept(self.entries.clone())
    }

    /// Writes a change down; it is on the disk when this returns.
    ///
    /// # Errors
    /// It is not: the store is as it was.
    pub(super) fn keep(&mut self, change: &Change) -> io::Result<()> {
        if self.is_stuck {
            let message = "an earlier write failed half way; restart the gateway";
            return Err(io::Error::other(message));
        }
        let line = row::line(self.lines + 1, &change.id, change.entry.as_deref());
        let written = self.file.write_all(line.as_bytes());
        if let Err(error) = written.and_then(|()| self.file.sync_data()) {
            let taken_back = self.file.set_len(self.bytes);
            self.is_stuck = taken_back.and_then(|()| self.file.sync_data()).is_err();
            return Err(error);
        }
        self.lines += 1;
        self.bytes += line.len() as u64;
        change.put_into(&mut self.entries);
        if self.lines as usize > 2 * self.entries.len() + SPARE_LINES
            && let Err(error) = self.rewrite()
        {
            // The old file has it all, so that nothing is lost by it.
            tracing::warn!(%error, path = %self.path.display(), "the file of clients was not written anew");
        }
        Ok(())
    }

    /// Writes the file anew, beside the old one until it is whole.
    fn rewrite(&mut self) -> io::Result<()> {
        let mut text = HEADER.to_owned();
        for (number, (id, entry)) in (1..).zip(&self.entries) {
            text.push_str(&row::line(number, id, Some(entry)));
        }
        write_whole(&self.path, &text)?;
        // The old file is gone: what cannot be opened now cannot be written to either.
        let file = OpenOptions::new().append(true).open(&self.path);
        self.is_stuck = file.is_err();
        self.file = file?;
        self.lines = self.entries.len() as u64;
        self.bytes = text.len() as u64;
        Ok(())
    }
}

/// What a store has.
#[derive(Clone, Debug, Default)]
pub struct Kept(pub(super) Entries);

struct Contents {
    entries: Entries,
    lines: u64,
    /// Up to the end of the last whole line.
    bytes: u64,
}

fn lock(folder: &Path) -> Result<File, ClientStoreError> {
    let path = folder.join(LOCK);
    let wrong = |error| ClientStoreError::File(path.clone(), error);
    let mut options = OpenOptions::new();
    let options = options.create(true).append(true).mode(0o600);
    let file = options.open(&path).map_err(wrong)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(ClientStoreError::InUse(folder.to_owned())),
        Err(TryLockError::Error(error)) => Err(wrong(error)),
    }
}

/// Puts a file there that has all of the text, or leaves the one that is there.
fn write_whole(path: &Path, text: &str) -> io::Result<()> {
    let draft = path.with_extension("new");
    let mut options = OpenOptions::new();
    let options = options.write(true).create(true).truncate(true).mode(0o600);
    let mut file = options.open(&draft)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(&draft, path)?;
    match path.parent() {
        Some(folder) => File::open(folder)?.sync_all(),
        None => Ok(()),
    }
}

fn read(path: &Path) -> Result<Contents, ClientStoreError> {
    let wrong = |error| ClientStoreError::File(path.to_owned(), error);
    let mut file = File::open(path).map_err(wrong)?;
    let mode = file.metadata().map_err(wrong)?.permissions().mode();
    if mode & 0o077 != 0 {
        return Err(ClientStoreError::IsOpen(path.to_owned()));
    }
    let mut text = Vec::new();
    file.read_to_end(&mut text).map_err(wrong)?;
    let Some(mut rest) = text.strip_prefix(HEADER.as_bytes()) else {
        return Err(ClientStoreError::Foreign(path.to_owned()));
    };
    let mut contents = Contents {
        entries: Entries::new(),
        lines: 0,
        bytes: HEADER.len() as u64,
    };
    while let Some(end) = memchr::memchr(b'\n', rest) {
        let number = contents.lines + 1;
        let (id, entry) =
            row::read(&rest[..end], number).map_err(|reason| ClientStoreError::Damaged {
                path: path.to_owned(),
                line: number + 1,
                reason,
            })?;
        let change = Change {
            id: id.into(),
            entry: entry.map(Arc::new),
        };
        change.put_into(&mut contents.entries);
        contents.lines = number;
        contents.bytes += end as u64 + 1;
        rest = &rest[end + 1..];
    }
    if !rest.is_empty() {
        tracing::warn!(
            path = %path.display(),
            bytes = rest.len(),
            "the last line of the file of clients has no end: nobody was told of that change"
        );
    }
    Ok(contents)
}

impl Change {
    fn put_into(&self, entries: &mut Entries) {
        let id = Arc::clone(&self.id);
        match &self.entry {
            Some(entry) => entries.insert(id, Arc::<Entry>::clone(entry)),
            None => entries.remove(&id),
        };
    }
}
