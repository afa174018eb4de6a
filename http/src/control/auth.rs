//! Who comes into the admin API: the admin key, logins and their tokens.
//!
//! ```text
//! headers --+--> admin key ------------------------------------+
//!           +--> bearer token --> Tokens --> Revoked, Accounts --+--> Identity | Refused
//!           +--> cookie + CSRF -->   "                         --+
//! POST /admin/login --> Lockout --> Passwords (argon2id, one at a time) --> token
//! ```
//! What is pure is beside it: [`token`], [`lockout`], [`revoked`] decide with times handed in.

mod accounts;
mod cookie;
mod error;
mod hs256;
mod identity;
mod lockout;
pub(super) mod login;
mod password;
mod revoked;
mod role;
pub(super) mod session;
mod signing_key;
mod token;

pub(in crate::control) use cookie::PLAIN_NAME as COOKIE;
pub use error::AuthError;
pub use role::Role;

pub(super) use identity::{Identity, Refused};
pub(super) use role::is_safe;

use super::AdminKey;
use super::lock;
use accounts::Accounts;
use coo_llm_config as config;
use lockout::Lockout;
use password::Passwords;
use revoked::{Revoked, RevokedFile};
use signing_key::SigningKey;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant};
use token::Tokens;

/// The folder of keys and revocations in the data folder.
const FOLDER: &str = "auth";

/// Everything that decides who comes in.
pub struct Auth {
    rights: RwLock<Arc<Rights>>,
    tokens: Tokens,
    revoked: Arc<Mutex<Revoked>>,
    /// Locked while it is written, on threads that may wait for the disk.
    revoked_file: Option<Arc<Mutex<RevokedFile>>>,
    lockout: Mutex<Lockout>,
    passwords: Passwords,
    began: Instant,
}

/// Who may come in, as a configuration says; a reload can change it.
#[derive(Clone)]
pub struct Rights {
    admin_key: Option<AdminKey>,
    metrics_need_key: bool,
    accounts: Accounts,
    lifetime: Duration,
}

impl std::fmt::Debug for Rights {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Rights").finish_non_exhaustive()
    }
}

impl Rights {
    /// Reads the accounts and the admin key; without one no key is right.
    ///
    /// # Errors
    /// A password's hash is none.
    pub fn new(server: &config::Server) -> Result<Self, AuthError> {
        let key = server.admin_api_key.as_ref();
        Ok(Self {
            admin_key: key.and_then(|key| AdminKey::new(key.expose())),
            metrics_need_key: server.metrics_auth == config::MetricsAuth::Bearer,
            accounts: Accounts::new(&server.webui)?,
            lifetime: server.webui.session_lifetime,
        })
    }
}

impl Auth {
    /// Takes the accounts of the configuration, and the signing key of its data folder; the
    /// first start makes one. Without a data folder the key is for this process alone, and so
    /// are its tokens.
    ///
    /// # Errors
    /// A password's hash is none, or the folder's files cannot be read or written.
    pub fn open(server: &config::Server) -> Result<Self, AuthError> {
        let rights = Rights::new(server)?;
        let (key, file, revoked) = match &server.data_dir {
            Some(folder) => {
                let folder = folder.join(FOLDER);
                let key = SigningKey::kept_in(&folder)?;
                let (file, revoked) = RevokedFile::open(&folder, unix_now())?;
                (key, Some(Arc::new(Mutex::new(file))), revoked)
            }
            None => (SigningKey::random()?, None, Revoked::default()),
        };
        Ok(Self {
            rights: RwLock::new(Arc::new(rights)),
            tokens: Tokens::new(&key),
            revoked: Arc::new(Mutex::new(revoked)),
            revoked_file: file,
            lockout: Mutex::new(Lockout::new()),
            passwords: Passwords::new(),
            began: Instant::now(),
        })
    }

    /// Other rights from now on. Tokens of accounts that are gone, or have another password or
    /// role, end with it.
    pub fn set(&self, rights: Rights) {
        // A panic under this lock leaves the rights whole, those before or these.
        *self.rights.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(rights);
    }

    fn rights(&self) -> Arc<Rights> {
        Arc::clone(&self.rights.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Whether a scrape needs the admin key.
    pub(super) fn metrics_need_key(&self) -> bool {
        self.rights().metrics_need_key
    }

    /// Whether the headers carry the admin key.
    pub(super) fn has_admin_key(&self, headers: &http::HeaderMap) -> bool {
        let rights = self.rights();
        rights
            .admin_key
            .as_ref()
            .is_some_and(|key| key.is_in(headers))
    }

    /// Time since the start, for locks.
    fn uptime(&self) -> Duration {
        self.began.elapsed()
    }

    /// Gives a token back, on a thread that may wait for the disk.
    async fn revoke(&self, jti: String, exp: u64) -> std::io::Result<()> {
        let Some(file) = self.revoked_file.clone() else {
            let _lines = lock(&self.revoked).revoke(&jti, exp, unix_now());
            return Ok(());
        };
        let revoked = Arc::clone(&self.revoked);
        let work = move || lock(&file).revoke(&revoked, &jti, exp, unix_now());
        let done = tokio::task::spawn_blocking(work).await;
        done.unwrap_or_else(|error| Err(std::io::Error::other(error)))
    }
}

impl std::fmt::Debug for Auth {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Auth").finish_non_exhaustive()
    }
}

/// Unix seconds; 0 on a clock before 1970.
fn unix_now() -> u64 {
    coo_llm_runtime::unix_ms() / 1000
}
