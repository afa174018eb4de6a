//! Whether the file takes a row now.

use super::{History, HistoryError, lock};
use coo_llm_core::UnixMillis;

impl History {
    /// Writes and commits a word that is in the file anyway: the moment up to which it was filled.
    /// When this returns the disk has it.
    ///
    /// It waits for a flush that is under way, and for the disk: not to be called where that
    /// matters.
    ///
    /// # Errors
    /// Where the file takes nothing now, as on a full disk.
    pub fn probe(&self) -> Result<(), HistoryError> {
        let touched = lock(&self.writer).touch(UnixMillis(0));
        touched.map_err(|error| HistoryError::of(self.path(), error))
    }
}
