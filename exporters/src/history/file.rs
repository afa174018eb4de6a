//! The file: made whole or not at all, opened by one process, and looked at before use.

use super::error::HistoryError;
use super::schema;
use rusqlite::{Connection, OpenFlags};
use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Files up to this size are checked whole at the start, in about a second; of larger ones
/// what is read first. The rest shows when it is read.
const CHECKED_BYTES_MAX: u64 = 128 << 20;
/// How long a statement waits for an operator's `sqlite3` that holds the write lock.
const BUSY_WAIT: Duration = Duration::from_secs(5);
/// Statements that a connection keeps ready: more than there are.
const STATEMENTS_MAX: usize = 64;
/// Pages that the writer keeps: an hour's and a day's rows of some thousand pairs, which
/// flushes come back to. SQLite's 2 MiB are read again and again.
const WRITER_CACHE_KIB: u32 = 16 * 1024;

/// The one writing connection and the lock that keeps other processes out.
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) connection: Connection,
    pub(super) is_new: bool,
    pub(super) lock: File,
}

pub(super) fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// Opens the history, or makes it where there is none.
pub(super) fn open(path: &Path) -> Result<Opened, HistoryError> {
    let folder_error = |path: &Path| {
        let path = path.to_owned();
        move |error| HistoryError::Folder { path, error }
    };
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    fs::create_dir_all(folder).map_err(folder_error(folder))?;
    let lock = lock(path)?;
    let damaged = |detail: &str| HistoryError::Damaged {
        path: path.to_owned(),
        detail: detail.to_owned(),
    };
    let is_new = match fs::metadata(path) {
        Ok(file) if file.len() == 0 => return Err(damaged("it is empty")),
        Ok(_) => false,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let wal = beside(path, "-wal");
            if fs::metadata(&wal).is_ok_and(|wal| wal.len() > 0) {
                return Err(damaged("it is gone, and its -wal is there"));
            }
            create(path, folder)?;
            true
        }
        Err(error) => return Err(folder_error(path)(error)),
    };
    let store = |error| HistoryError::of(path, error);
    let connection = connect(path).map_err(store)?;
    let version = check(path, &connection)?;
    // FULL: a commit is on the disk; once a flush, so nobody waits for it.
    connection
        .execute_batch("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;")
        .map_err(store)?;
    schema::add_functions(&connection).map_err(store)?;
    if version == 1 {
        let sql = format!("BEGIN IMMEDIATE; {} COMMIT;", schema::from_version_1());
        connection.execute_batch(&sql).map_err(store)?;
    }
    connection.set_prepared_statement_cache_capacity(STATEMENTS_MAX);
    connection
        .execute_batch(&format!("PRAGMA cache_size = -{WRITER_CACHE_KIB}"))
        .map_err(store)?;
    Ok(Opened {
        connection,
        is_new,
        lock,
    })
}

/// Keeps other processes out for as long as the file is open.
fn lock(path: &Path) -> Result<File, HistoryError> {
    let lock_path = beside(path, ".lock");
    let error = |error| HistoryError::Folder {
        path: lock_path.clone(),
        error,
    };
    let options = || {
        fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(&lock_path)
    };
    let file = options().map_err(error)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(HistoryError::InUse {
            path: path.to_owned(),
        }),
        Err(TryLockError::Error(io)) => Err(error(io)),
    }
}

/// Makes an empty history under another name first: one that is there is whole.
fn create(path: &Path, folder: &Path) -> Result<(), HistoryError> {
    let making = beside(path, ".new");
    let io = |error| HistoryError::Folder {
        path: making.clone(),
        error,
    };
    match fs::remove_file(&making) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(io(error)),
        _ => {}
    }
    let store = |error| HistoryError::of(&making, error);
    let connection = Connection::open(&making).map_err(store)?;
    let sql = format!("BEGIN; {} COMMIT;", schema::create());
    connection.execute_batch(&sql).map_err(store)?;
    connection.close().map_err(|(_, error)| store(error))?;
    fs::rename(&making, path).map_err(io)?;
    let synced = File::open(folder).and_then(|folder| folder.sync_all());
    synced.map_err(io)
}

/// A connection to a file that is there.
fn connect(path: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(BUSY_WAIT)?;
    connection.execute_batch("PRAGMA cell_size_check = ON;")?;
    Ok(connection)
}

/// A connection for a query.
pub(super) fn connect_reader(path: &Path) -> rusqlite::Result<Connection> {
    let connection = connect(path)?;
    connection.execute_batch("PRAGMA query_only = ON;")?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS_MAX);
    Ok(connection)
}

/// A connection that writes nothing, for who reads much at once.
pub(super) fn connect_archive(path: &Path) -> Result<Connection, HistoryError> {
    // SQLite's own word for a file that is not there says nothing of it.
    fs::metadata(path).map_err(|error| HistoryError::Folder {
        path: path.to_owned(),
        error,
    })?;
    let store = |error| HistoryError::of(path, error);
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags).map_err(store)?;
    connection.busy_timeout(BUSY_WAIT).map_err(store)?;
    connection
        .execute_batch("PRAGMA cell_size_check = ON;")
        .map_err(store)?;
    is_ours(path, &connection)?;
    Ok(connection)
}

/// Whether it is a history of ours; its version.
fn is_ours(path: &Path, connection: &Connection) -> Result<i32, HistoryError> {
    let store = |error| HistoryError::of(path, error);
    let pragma = |name: &str| connection.pragma_query_value(None, name, |row| row.get::<_, i32>(0));
    let path = || path.to_owned();
    let id = pragma("application_id").map_err(store)?;
    let version = pragma("user_version").map_err(store)?;
    if id != schema::APPLICATION_ID {
        return Err(HistoryError::Foreign { path: path() });
    }
    if !(1..=schema::VERSION).contains(&version) {
        return Err(HistoryError::TooNew {
            path: path(),
            version,
        });
    }
    Ok(version)
}

/// Whether it is a history of ours, and whole as far as can be told; its version.
fn check(path: &Path, connection: &Connection) -> Result<i32, HistoryError> {
    let version = is_ours(path, connection)?;
    let store = |error| HistoryError::of(path, error);
    let path = || path.to_owned();
    let bytes = fs::metadata(path()).map_or(0, |file| file.len());
    if bytes <= CHECKED_BYTES_MAX {
        let found: String = connection
            .query_row("PRAGMA quick_check(1)", [], |row| row.get(0))
            .map_err(store)?;
        if found != "ok" {
            return Err(HistoryError::Damaged {
                path: path(),
                detail: found.replace('\n', " "),
            });
        }
    }
    Ok(version)
}
