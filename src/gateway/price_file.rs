//! The file of `prices`: read at the start, and again when it changes.
//!
//! [`PriceFile`] decides; [`watch()`] waits, on the control side. Workers get a new book
//! whole, and none where the new file is bad.

use crate::logging::Rfc3339;
use coo_llm_config::{PRICE_FILE_BYTES_MAX, PriceTable, PriceTableError};
use coo_llm_http::gateway::{Plan, PriceBook};
use std::fs::{File, Metadata};
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::runtime::Handle;
use tokio::sync::{Notify, watch};

/// How often the file's length and time are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(3);

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

    /// Looks whether the file has another content; without `is_asked` only where its length
    /// or time differ from those that were read last.
    fn look(&mut self, is_asked: bool) -> Looked {
        let now = std::fs::metadata(&self.path).ok().as_ref().map(Stamp::from);
        if !is_asked && now == self.stamp {
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

/// What the control side holds of the prices.
#[derive(Clone, Debug)]
pub(super) struct Prices {
    file: Option<Arc<Mutex<PriceFile>>>,
    asked: Arc<Notify>,
}

impl Prices {
    /// What is in use, for `/metrics`; `None` without a file.
    pub(super) fn in_use(&self) -> Option<InUse> {
        Some(locked(self.file.as_deref()?).in_use.clone())
    }

    /// Reads the file again, soon; says whether there is one.
    pub(super) fn reload(&self) -> bool {
        self.asked.notify_one();
        self.file.is_some()
    }
}

fn locked(file: &Mutex<PriceFile>) -> std::sync::MutexGuard<'_, PriceFile> {
    // What a panic left behind is a file as it was read last.
    file.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Makes the first book, and further ones when the file changes.
///
/// # Errors
/// What is wrong with the file.
pub(super) fn watch(
    path: Option<&Path>,
    plan: &Arc<Plan>,
    runtime: &Handle,
) -> Result<(Prices, watch::Receiver<Arc<PriceBook>>), PriceTableError> {
    let opened = path.map(PriceFile::open).transpose()?;
    let (file, table) = opened.unzip();
    let book = PriceBook::new(plan, table.as_ref());
    if let Some((path, table)) = path.zip(table.as_ref()) {
        announce(path, table, &book, plan);
    }
    let (publish, books) = watch::channel(Arc::new(book));
    let prices = Prices {
        file: file.map(|file| Arc::new(Mutex::new(file))),
        asked: Arc::default(),
    };
    let Prices { file, asked } = prices.clone();
    let plan = Arc::clone(plan);
    runtime.spawn(async move {
        let Some(file) = file else {
            // Kept open: workers take a closed channel for the end.
            publish.closed().await;
            return;
        };
        loop {
            let is_asked = tokio::time::timeout(LOOK_EVERY, asked.notified())
                .await
                .is_ok();
            let (file, plan) = (Arc::clone(&file), Arc::clone(&plan));
            // The control thread does not wait for the disk, nor for megabytes of JSON.
            let looked = tokio::task::spawn_blocking(move || look(&file, is_asked, &plan)).await;
            match looked {
                Ok(Some(book)) => {
                    publish.send_replace(Arc::new(book));
                }
                Ok(None) => {}
                Err(error) => tracing::error!(%error, "the price file was not looked at"),
            }
        }
    });
    Ok((prices, books))
}

/// One look at the file; a book where its content is new and good.
fn look(file: &Mutex<PriceFile>, is_asked: bool, plan: &Plan) -> Option<PriceBook> {
    let mut file = locked(file);
    match file.look(is_asked) {
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
        assert!(matches!(file.look(false), Looked::Unchanged));
        assert!(matches!(file.look(true), Looked::Unchanged));

        fs::write(&path, text("12e-6")).expect("a file");
        assert!(matches!(file.look(false), Looked::New(_)));
        let second = file.in_use.clone();
        assert_ne!(second.hash, first.hash);
        // The same content, written again.
        assert!(matches!(file.look(true), Looked::Unchanged));

        fs::write(&path, text("-123e-6")).expect("a file");
        assert!(matches!(file.look(false), Looked::Bad(_)));
        let bad = file.in_use.clone();
        assert_eq!((&bad.hash, bad.is_current), (&second.hash, false));
        assert!(
            matches!(file.look(false), Looked::Unchanged),
            "it is read once"
        );
        fs::remove_file(&path).expect("the file is there");
        assert!(matches!(
            file.look(false),
            Looked::Bad(PriceTableError::Unreadable(_))
        ));

        fs::write(&path, text("12e-6")).expect("a file");
        assert!(
            matches!(file.look(false), Looked::Unchanged),
            "what is in use is back"
        );
        assert!(file.in_use.is_current);
        fs::remove_dir_all(&folder).expect("the folder is there");
    }
}
