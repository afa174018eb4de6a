//! The file of `prices`: read at the start, and again when it changes.
//!
//! [`PriceFile`] decides; the task of `reloading.rs` looks, on the control side. Workers
//! get a new book whole, and none where the new file is bad.

use crate::logging::Rfc3339;
use coo_llm_config::{PRICE_FILE_BYTES_MAX, PriceTable, PriceTableError};
use coo_llm_http::gateway::{Plan, PriceBook};
use std::fs::{File, Metadata};
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// How often the file's length and time are looked at.
pub(super) const LOOK_EVERY: Duration = Duration::from_secs(3);

/// What tells, without reading it, that a file may have changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    bytes: u64,
    modified: Option<SystemTime>,
}

impl From<&Metadata> for Stamp {
    fn from(metadata: &Metadata) -> Self {
        Self {
            bytes: metadata.len(),
            modified: metadata.modified().ok(),
        }
    }
}

/// The table in use, as `/metrics` shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct InUse {
    /// What the file says of itself, else the day on which it was written.
    pub(super) version: String,
    pub(super) hash: String,
    /// Whether the last reading of the file was of use.
    pub(super) is_current: bool,
}

/// A file of prices and what was read of it last.
#[derive(Debug)]
pub(super) struct PriceFile {
    path: PathBuf,
    stamp: Option<Stamp>,
    in_use: InUse,
}

/// What a look at the file gave.
#[derive(Debug)]
enum Looked {
    Unchanged,
    New(PriceTable),
    Bad(PriceTableError),
}

/// Reads a table.
///
/// # Errors
/// That it cannot be read, or what is wrong with it.
pub(crate) fn read(path: &Path) -> Result<PriceTable, PriceTableError> {
    stamped(path).map(|(table, _)| table)
}

fn stamped(path: &Path) -> Result<(PriceTable, Stamp), PriceTableError> {
    let unreadable = |why: String| PriceTableError::Unreadable(why);
    let file = File::open(path).map_err(|error| unreadable(error.to_string()))?;
    // Before the content: what changes in between is seen at the next look.
    let metadata = file
        .metadata()
        .map_err(|error| unreadable(error.to_string()))?;
    let mut content = Vec::new();
    file.take(PRICE_FILE_BYTES_MAX + 1)
        .read_to_end(&mut content)
        .map_err(|error| unreadable(error.to_string()))?;
    if content.len() as u64 > PRICE_FILE_BYTES_MAX {
        return Err(unreadable(format!(
            "is larger than {PRICE_FILE_BYTES_MAX} bytes"
        )));
    }
    PriceTable::parse(&content).map(|table| (table, Stamp::from(&metadata)))
}

impl PriceFile {
    /// Reads the file for the first time.
    ///
    /// # Errors
    /// What is wrong with it: a gateway does not start with prices that nobody meant.
    pub(super) fn open(path: &Path) -> Result<(Self, PriceTable), PriceTableError> {
        let (table, stamp) = stamped(path)?;
        let file = Self {
            path: path.to_owned(),
            stamp: Some(stamp),
            in_use: InUse {
                version: version(&table, stamp),
                hash: table.hash().to_owned(),
                is_current: true,
            },
        };
        Ok((file, table))
    }

    /// Looks whether the file has another content, where its length or time differ from
    /// those that were read last.
    fn look(&mut self) -> Looked {
        let now = std::fs::metadata(&self.path).ok().as_ref().map(Stamp::from);
        if now == self.stamp {
            return Looked::Unchanged;
        }
        // Also where it is bad: it is read again when it changes again.
        self.stamp = now;
        match stamped(&self.path) {
            Ok((table, stamp)) => {
                self.stamp = Some(stamp);
                self.in_use.is_current = true;
                if table.hash() == self.in_use.hash {
                    return Looked::Unchanged;
                }
                self.in_use.version = version(&table, stamp);
                self.in_use.hash = table.hash().to_owned();
                Looked::New(table)
            }
            Err(error) => {
                self.in_use.is_current = false;
                Looked::Bad(error)
            }
        }
    }
}

fn version(table: &PriceTable, stamp: Stamp) -> String {
    let written = stamp
        .modified
        .and_then(|at| at.duration_since(UNIX_EPOCH).ok());
    let day = || {
        let millis = u64::try_from(written?.as_millis()).ok()?;
        Some(Rfc3339(millis).to_string().chars().take(10).collect())
    };
    let version = table.version().map(str::to_owned);
    version.or_else(day).unwrap_or_else(|| "unknown".to_owned())
}

/// The file of prices in use, if there is one. Clones share it.
#[derive(Clone, Debug)]
pub(super) struct Prices(Arc<Mutex<Option<PriceFile>>>);

impl Prices {
    /// Reads the file, if one is configured.
    ///
    /// # Errors
    /// What is wrong with it: nobody meant to go by other prices.
    pub(super) fn open(path: Option<&Path>) -> Result<(Self, Option<PriceTable>), String> {
        let opened = path.map(PriceFile::open).transpose().map_err(|error| {
            let path = path.unwrap_or(Path::new(""));
            format!("prices: {}: {error}", path.display())
        })?;
        let (file, table) = opened.unzip();
        Ok((Self(Arc::new(Mutex::new(file))), table))
    }

    /// What is in use, for `/metrics`; `None` without a file.
    pub(super) fn in_use(&self) -> Option<InUse> {
        Some(self.lock().as_ref()?.in_use.clone())
    }

    /// Goes by the file of the other one from now on.
    pub(super) fn replace(&self, other: &Self) {
        *self.lock() = other.lock().take();
    }

    /// One look at the file; a book for `plan` where its content is new and good. It
    /// blocks on the disk.
    pub(super) fn look(&self, plan: &Plan) -> Option<PriceBook> {
        let mut file = self.lock();
        let file = file.as_mut()?;
        match file.look() {
            Looked::Unchanged => None,
            Looked::New(table) => {
                let book = PriceBook::new(plan, Some(&table));
                announce(&file.path, &table, &book, plan);
                Some(book)
            }
            Looked::Bad(error) => {
                tracing::error!(
                    file = %file.path.display(), %error,
                    "the price file is bad: the prices that were read before stay"
                );
                None
            }
        }
    }

    /// Says in the log what was read.
    pub(super) fn announce(&self, table: Option<&PriceTable>, book: &PriceBook, plan: &Plan) {
        if let (Some(file), Some(table)) = (&*self.lock(), table) {
            announce(&file.path, table, book, plan);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Option<PriceFile>> {
        // What a panic left behind is a file as it was read last.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn announce(path: &Path, table: &PriceTable, book: &PriceBook, plan: &Plan) {
    let (priced, unpriced) = table.counts();
    let (file, hash, rounded) = (path.display(), table.hash(), table.rounded());
    tracing::info!(%file, hash, priced, unpriced, rounded, "prices are read");
    for (provider, model) in book.unpriced(plan) {
        tracing::warn!(
            provider,
            model,
            "no price is known; its requests are counted as unpriced"
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn text(price: &str) -> String {
        format!(
            r#"{{"m": {{"mode": "chat", "input_cost_per_token": {price}, "output_cost_per_token": 0}}}}"#
        )
    }

    #[test]
    fn a_change_is_seen_and_a_bad_file_changes_nothing() {
        let folder = std::env::temp_dir().join(format!("coo-llm-prices-{}", std::process::id()));
        fs::create_dir_all(&folder).expect("a folder");
        let path = folder.join("prices.json");
        fs::write(&path, text("1e-6")).expect("a file");
        let (mut file, table) = PriceFile::open(&path).expect("a table");
        let first = file.in_use.clone();
        assert_eq!(
            (first.hash.as_str(), first.is_current),
            (table.hash(), true)
        );
        assert_eq!(first.version.len(), "2026-01-01".len());
        assert!(matches!(file.look(), Looked::Unchanged));

        fs::write(&path, text("12e-6")).expect("a file");
        assert!(matches!(file.look(), Looked::New(_)));
        let second = file.in_use.clone();
        assert_ne!(second.hash, first.hash);

        fs::write(&path, text("-123e-6")).expect("a file");
        assert!(matches!(file.look(), Looked::Bad(_)));
        let bad = file.in_use.clone();
        assert_eq!((&bad.hash, bad.is_current), (&second.hash, false));
        assert!(matches!(file.look(), Looked::Unchanged), "it is read once");
        fs::remove_file(&path).expect("the file is there");
        assert!(matches!(
            file.look(),
            Looked::Bad(PriceTableError::Unreadable(_))
        ));

        fs::write(&path, text("12e-6")).expect("a file");
        assert!(
            matches!(file.look(), Looked::Unchanged),
            "what is in use is back"
        );
        assert!(file.in_use.is_current);
        fs::remove_dir_all(&folder).expect("the folder is there");
    }
}
