//! Who may log in, as the configuration says.

use super::{AuthError, Role};
use argon2::Params;
use argon2::password_hash::phc::PasswordHash;
use coo_llm_config as config;
use sha2::{Digest, Sha256};

/// The most memory that the check of one password may take.
const MEMORY_KIB_MAX: u32 = 256 * 1024;

/// Somebody who may log in.
#[derive(Clone)]
pub(super) struct Account {
    pub(super) id: String,
    pub(super) role: Role,
    /// Argon2id, in PHC form.
    pub(super) hash: String,
    /// Changes with the password and with the role, and is told to nobody but in tokens.
    pub(super) fingerprint: String,
}

/// Everybody who may log in; the first is `webui.admin_id`, where it has a password.
#[derive(Clone, Default)]
pub(super) struct Accounts(Vec<Account>);

impl Accounts {
    pub(super) fn new(webui: &config::WebUi) -> Result<Self, AuthError> {
        let admin = (&webui.admin_id, &webui.admin_password_hash, Role::Admin);
        let users = webui.users.iter();
        let users = users.map(|user| (&user.id, &user.password_hash, user.role.into()));
        let mut accounts = Vec::new();
        for (id, hash, role) in std::iter::once(admin).chain(users) {
            if let Some(hash) = hash {
                accounts.push(Account::new(id, hash.expose(), role)?);
            }
        }
        Ok(Self(accounts))
    }

    pub(super) fn find(&self, id: &str) -> Option<&Account> {
        self.0.iter().find(|account| account.id == id)
    }

    /// One whose hash takes as long to check as a real one.
    pub(super) fn any(&self) -> Option<&Account> {
        self.0.first()
    }
}

impl Account {
    fn new(id: &str, hash: &str, role: Role) -> Result<Self, AuthError> {
        let wrong = || AuthError::PasswordHash(id.to_owned());
        let parsed = PasswordHash::new(hash).map_err(|_| wrong())?;
        let params = Params::try_from(&parsed).map_err(|_| wrong())?;
        if parsed.hash.is_none() || parsed.salt.is_none() {
            return Err(wrong());
        }
        if params.m_cost() > MEMORY_KIB_MAX {
            return Err(AuthError::PasswordMemory {
                id: id.to_owned(),
                kib: params.m_cost(),
                kib_max: MEMORY_KIB_MAX,
            });
        }
        let mut digest = Sha256::new();
        // Length first, so that no two accounts run together.
        digest.update((id.len() as u64).to_be_bytes());
        for part in [id, role.as_str(), hash] {
            digest.update(part.as_bytes());
            digest.update([0]);
        }
        let digest: [u8; 32] = digest.finalize().into();
        Ok(Self {
            id: id.to_owned(),
            role,
            hash: hash.to_owned(),
            fingerprint: crate::control::hex::of(&digest[..16]),
        })
    }
}
