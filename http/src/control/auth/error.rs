//! Why the gateway cannot tell who may come in.

use std::path::PathBuf;
use std::{fmt, io};

/// Why [`Auth`](super::Auth) cannot be opened.
#[derive(Debug)]
#[non_exhaustive]
pub enum AuthError {
    /// The password's hash of this account is none.
    PasswordHash(String),
    /// To check a password of this account takes too much memory.
    PasswordMemory {
        /// The account.
        id: String,
        /// What its hash asks for.
        kib: u32,
        /// What is allowed.
        kib_max: u32,
    },
    /// A file cannot be read or written.
    File(PathBuf, io::Error),
    /// Others than its owner may read the signing key.
    KeyIsOpen(PathBuf),
    /// The signing key's file holds something else.
    KeyIsBroken(PathBuf),
    /// The file of revoked tokens holds something else.
    RevokedIsBroken(PathBuf),
    /// The system gives no random bytes.
    Random,
    /// A token cannot be signed.
    Signing,
}

impl AuthError {
    /// Whether the configuration is to blame, and not the system.
    #[must_use]
    pub const fn is_of_config(&self) -> bool {
        matches!(self, Self::PasswordHash(_) | Self::PasswordMemory { .. })
    }
}

impl fmt::Display for AuthError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::PasswordHash(id) => write!(
                f,
                "server.webui: the password hash of `{id}` is not an argon2id hash; make one \
                 with `coo-llm hash-password`"
            ),
            Self::PasswordMemory { id, kib, kib_max } => write!(
                f,
                "server.webui: the password hash of `{id}` needs {kib} KiB of memory for each \
                 login; at most {kib_max} are allowed"
            ),
            Self::File(path, error) => write!(f, "{}: {error}", path.display()),
            Self::KeyIsOpen(path) => write!(
                f,
                "{}: others can read the key that signs tokens; remove it, and a new one is made \
                 (everybody logs in again)",
                path.display()
            ),
            Self::KeyIsBroken(path) => write!(
                f,
                "{}: is not a signing key; remove it, and a new one is made (everybody logs in \
                 again)",
                path.display()
            ),
            Self::RevokedIsBroken(path) => write!(
                f,
                "{}: cannot be understood; remove it together with signing.key (everybody logs \
                 in again)",
                path.display()
            ),
            Self::Random => f.write_str("the system gives no random bytes"),
            Self::Signing => f.write_str("a token cannot be signed"),
        }
    }
}

impl std::error::Error for AuthError {}
