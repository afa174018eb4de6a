//! Who may do what on the control plane; it can change while it serves.

use super::{AdminKey, lock};
use http::HeaderMap;
use std::sync::{Arc, Mutex};

/// The rights. Clones share them; a request is judged by those of the moment.
#[derive(Clone, Debug)]
pub struct Access(Arc<Mutex<Rights>>);

#[derive(Clone, Debug)]
struct Rights {
    admin_key: Option<AdminKey>,
    metrics_need_it: bool,
}

impl Access {
    /// Rights of who shows the admin key; without one every admin request is refused.
    /// `metrics_need_it` says that a scrape needs it too (`metrics_auth: bearer`).
    #[must_use]
    pub fn new(admin_key: Option<AdminKey>, metrics_need_it: bool) -> Self {
        Self(Arc::new(Mutex::new(Rights {
            admin_key,
            metrics_need_it,
        })))
    }

    /// Other rights from now on.
    pub fn set(&self, admin_key: Option<AdminKey>, metrics_need_it: bool) {
        *lock(&self.0) = Rights {
            admin_key,
            metrics_need_it,
        };
    }

    /// Whether the headers carry the admin key.
    pub(super) fn is_admin(&self, headers: &HeaderMap) -> bool {
        let key = &lock(&self.0).admin_key;
        key.as_ref().is_some_and(|key| key.is_in(headers))
    }

    /// Whether a scrape needs the admin key.
    pub(super) fn metrics_need_it(&self) -> bool {
        lock(&self.0).metrics_need_it
    }
}
