//! The admin key, and what a request shows of it.

use http::HeaderMap;
use http::header::AUTHORIZATION;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

/// The admin key, kept as its SHA-256: neither Debug nor a core dump shows it.
#[derive(Clone)]
pub struct AdminKey([u8; 32]);

impl AdminKey {
    /// Takes a key; `None` where it is empty.
    #[must_use]
    pub fn new(key: &str) -> Option<Self> {
        (!key.is_empty()).then(|| Self(Sha256::digest(key).into()))
    }

    /// Whether `key` is this one. The time it takes does not depend on where they differ.
    #[must_use]
    pub fn is(&self, key: &[u8]) -> bool {
        let digest: [u8; 32] = Sha256::digest(key).into();
        digest.ct_eq(&self.0).into()
    }

    /// Whether the headers carry this key as a bearer token.
    pub(super) fn is_in(&self, headers: &HeaderMap) -> bool {
        bearer(headers).is_some_and(|key| self.is(key))
    }
}

impl std::fmt::Debug for AdminKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("AdminKey(****)")
    }
}

/// The token of `Authorization: Bearer`; `None` too where the header came twice.
pub(super) fn bearer(headers: &HeaderMap) -> Option<&[u8]> {
    let mut all = headers.get_all(AUTHORIZATION).iter();
    let (Some(value), None) = (all.next(), all.next()) else {
        return None;
    };
    let value = value.as_bytes();
    let at = value.iter().position(|byte| *byte == b' ')?;
    let (scheme, token) = value.split_at(at);
    // RFC 9110, 11.1: the scheme's case does not matter.
    scheme
        .eq_ignore_ascii_case(b"bearer")
        .then(|| token.trim_ascii())
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    fn shows(values: &[&str]) -> bool {
        let key = AdminKey::new("secret").expect("not empty");
        let mut headers = HeaderMap::new();
        for value in values {
            let value = HeaderValue::from_str(value).expect("a header value");
            headers.append(AUTHORIZATION, value);
        }
        key.is_in(&headers)
    }

    #[test]
    fn only_the_key_as_the_one_bearer_token_is_it() {
        assert!(shows(&["Bearer secret"]));
        assert!(shows(&["bearer  secret "]));
        for wrong in [
            "Bearer secre",
            "Bearer secrets",
            "Basic secret",
            "secret",
            "",
            "Bearer",
        ] {
            assert!(!shows(&[wrong]), "{wrong:?}");
        }
        assert!(!shows(&[]));
        assert!(!shows(&["Bearer secret", "Bearer secret"]));
        assert!(AdminKey::new("").is_none());
    }

    #[test]
    fn debug_does_not_show_it() {
        let key = AdminKey::new("secret").expect("not empty");
        assert_eq!(format!("{key:?}"), "AdminKey(****)");
    }
}
