//! Who sends a request, and whether they may.

use super::token::TokenError;
use super::{Auth, Role, cookie, is_safe, lock, unix_now};
use crate::control::admin_key::bearer;
use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderValue, Method};

/// The header that a page sends with what it was told at login.
pub(super) const CSRF_HEADER: &str = "x-csrf-token";

/// Whose request it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::control) struct Identity {
    /// `admin_key`, or the account's id.
    pub(in crate::control) actor: String,
    pub(in crate::control) role: Role,
    /// `None` for the admin key.
    pub(in crate::control) session: Option<Session>,
}

/// The token that it came with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::control) struct Session {
    pub(in crate::control) jti: String,
    /// Unix seconds.
    pub(in crate::control) exp: u64,
}

impl Identity {
    /// The value of the metric's label `method`.
    pub(in crate::control) fn method(&self) -> &'static str {
        if self.session.is_some() {
            "jwt"
        } else {
            "admin_key"
        }
    }
}

/// Why a request does not come in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::control) enum Refused {
    /// There is no key and no token, or the key is wrong.
    Key,
    /// The token is none of ours, or was given back.
    Token,
    /// The token's time is over.
    Expired,
    /// A page's session, without what only the page knows.
    Csrf,
    /// The role does not cover it.
    Role,
}

impl Refused {
    /// The labels `method` and `result` of the metric; none where the caller is known.
    pub(in crate::control) const fn labels(self) -> Option<[&'static str; 2]> {
        match self {
            Self::Key => Some(["admin_key", "invalid"]),
            Self::Token | Self::Csrf => Some(["jwt", "invalid"]),
            Self::Expired => Some(["jwt", "expired"]),
            Self::Role => None,
        }
    }

    /// What the audit trail says.
    pub(in crate::control) const fn as_str(self) -> &'static str {
        match self {
            Self::Key => "no valid key",
            Self::Token => "invalid token",
            Self::Expired => "expired token",
            Self::Csrf => "no valid CSRF token",
            Self::Role => "role",
        }
    }
}

impl Auth {
    /// Who sends a request with these headers.
    ///
    /// Where there is an `Authorization` header, cookies are not looked at.
    ///
    /// # Errors
    /// Nobody who may.
    pub(in crate::control) fn identify(
        &self,
        method: &Method,
        headers: &HeaderMap,
        secure: bool,
    ) -> Result<Identity, Refused> {
        if !headers.contains_key(AUTHORIZATION)
            && let Some(token) = cookie::token(headers, secure)
        {
            let identity = self.of_token(token)?;
            self.is_from_our_page(&identity, method, headers)?;
            return Ok(identity);
        }
        let shown = bearer(headers).ok_or(Refused::Key)?;
        let key = &self.rights().admin_key;
        if key.as_ref().is_some_and(|key| key.is(shown)) {
            return Ok(Identity {
                actor: "admin_key".to_owned(),
                role: Role::Admin,
                session: None,
            });
        }
        let is_token = shown.iter().filter(|byte| **byte == b'.').count() == 2;
        if is_token {
            self.of_token(shown)
        } else {
            Err(Refused::Key)
        }
    }

    fn of_token(&self, token: &[u8]) -> Result<Identity, Refused> {
        let claims = self.tokens.read(token, unix_now());
        let claims = claims.map_err(|error| match error {
            TokenError::Invalid => Refused::Token,
            TokenError::Expired => Refused::Expired,
        })?;
        if lock(&self.revoked).has(&claims.jti, claims.exp) {
            return Err(Refused::Token);
        }
        // The role is the account's of today; with another password the token is void.
        let rights = self.rights();
        let account = rights.accounts.find(&claims.sub);
        let account = account.filter(|account| account.fingerprint == claims.acc);
        let account = account.ok_or(Refused::Token)?;
        Ok(Identity {
            actor: account.id.clone(),
            role: account.role,
            session: Some(Session {
                jti: claims.jti,
                exp: claims.exp,
            }),
        })
    }

    /// A browser adds its cookies to whatever any page sends; that a request is from a page of
    /// ours shows in what a page of others cannot know.
    fn is_from_our_page(
        &self,
        identity: &Identity,
        method: &Method,
        headers: &HeaderMap,
    ) -> Result<(), Refused> {
        if is_safe(method) {
            return Ok(());
        }
        let site = headers.get("sec-fetch-site").map(HeaderValue::as_bytes);
        if site.is_some_and(|site| site != b"same-origin" && site != b"none") {
            return Err(Refused::Csrf);
        }
        let shown = headers.get(CSRF_HEADER).map(HeaderValue::as_bytes);
        let session = identity.session.as_ref();
        let is_ours = session
            .zip(shown)
            .is_some_and(|(session, shown)| self.tokens.is_csrf(&session.jti, shown));
        if is_ours { Ok(()) } else { Err(Refused::Csrf) }
    }
}
