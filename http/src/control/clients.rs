//! Clients over the admin API: what was made and changed there, beside those of the file.
//!
//! ```text
//! endpoint --Order--> who reloads:  Roster.change --> Change     400, 404, 409: nothing has changed
//!                                   Clients.keep    on the disk  503: nothing has changed
//!                                   plan, ledgers   --> every worker
//!                                   Clients.publish --> endpoint shows it
//! start, reload --------------------> Roster::new(entries, file)
//! ```
//! A client that was changed here goes before that of the file with the same id, whole; one
//! that was deleted here stays so. docs/clients.md says what users can rely on.

mod answer;
pub(super) mod endpoint;
mod entry;
mod roster;
mod row;
mod store;
#[cfg(test)]
mod tests;

pub use answer::{ClientChanged, ShownOnce};
pub use entry::Source;
pub use roster::{Change, ClientOrder, Listed, Roster};
pub use store::{ClientStore, ClientStoreError};

use super::lock;
use std::io;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

/// The clients in use, and where changes are kept.
#[derive(Debug, Default)]
pub struct Clients {
    roster: RwLock<Arc<Roster>>,
    /// `None` without a data folder: nothing can be changed then.
    store: Mutex<Option<ClientStore>>,
}

impl Clients {
    /// Begins with a roster, and the store that its entries came from.
    #[must_use]
    pub fn new(roster: Roster, store: Option<ClientStore>) -> Self {
        Self {
            roster: RwLock::new(Arc::new(roster)),
            store: Mutex::new(store),
        }
    }

    /// The clients in use.
    #[must_use]
    pub fn current(&self) -> Arc<Roster> {
        // A panic under this lock leaves the roster whole, the one before or this.
        let roster = self.roster.read().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(&roster)
    }

    /// Whether changes can be kept.
    #[must_use]
    pub fn can_change(&self) -> bool {
        lock(&self.store).is_some()
    }

    /// Writes a change down; it is on the disk when this returns. It may wait for that.
    ///
    /// # Errors
    /// The disk takes nothing, or there is no data folder; the store is as it was.
    pub fn keep(&self, change: &Change) -> io::Result<()> {
        let mut store = lock(&self.store);
        let none = || io::Error::other("there is no data folder: server.data_dir is none");
        store.as_mut().ok_or_else(none)?.keep(change)
    }

    /// Shows other clients from now on.
    pub fn publish(&self, roster: Roster) {
        *self.roster.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(roster);
    }
}
