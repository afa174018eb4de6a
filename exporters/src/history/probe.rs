//! Whether the file takes a row now, and its disk has room.

use super::{History, HistoryError, file, lock};
use coo_llm_core::UnixMillis;
use std::fs;

/// A disk without room for so much has none for rows. Less could lie in space that SQLite's log
/// has already.
const ROOM_BYTES: usize = 16 * 1024;

impl History {
    /// Writes and commits what is in the file anyway, and a small file beside it, which goes again.
    ///
    /// It waits for a flush that is under way, and for the disk: not to be called where that
    /// matters.
    ///
    /// # Errors
    /// Where the file takes nothing now or is gone, or its disk is full or read-only.
    pub fn probe(&self) -> Result<(), HistoryError> {
        let folder_error = |error| HistoryError::Folder {
            path: self.path().to_owned(),
            error,
        };
        // SQLite goes on in a file that has no name any more.
        fs::metadata(self.path()).map_err(folder_error)?;
        let touched = lock(&self.writer).save_stamp(UnixMillis(0));
        touched.map_err(|error| HistoryError::of(self.path(), error))?;
        let beside = file::beside(self.path(), ".probe");
        let written = fs::write(&beside, [0; ROOM_BYTES]);
        let removed = fs::remove_file(&beside);
        written.and(removed).map_err(|error| HistoryError::Folder {
            path: beside,
            error,
        })
    }
}
