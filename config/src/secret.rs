//! Text that must not be seen: it prints as a mask, and only [`Secret::expose`] gives it away.

use sha2::{Digest as _, Sha256};
use std::fmt;

/// What any secret looks like when it is printed.
pub const MASK: &str = "sk-****";

/// A secret from the configuration. `Debug` and `Display` print [`MASK`], whatever it holds.
///
/// ```
/// let key = coo_llm_config::Secret::new("hunter2");
/// assert_eq!(format!("{key} {key:?}"), "sk-**** sk-****");
/// assert_eq!(key.expose(), "hunter2");
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Takes the text in.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The secret itself. Never pass it to anything that prints.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// The SHA-256 of the secret.
    #[must_use]
    pub fn digest(&self) -> KeyDigest {
        KeyDigest(Sha256::digest(self.0.as_bytes()).into())
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(MASK)
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(MASK)
    }
}

/// The SHA-256 of a key: enough to recognise the key, useless to call with.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct KeyDigest(pub [u8; 32]);

impl KeyDigest {
    /// Reads 64 hexadecimal digits, in either case; `None` for anything else.
    #[must_use]
    pub fn from_hex(text: &str) -> Option<Self> {
        let digits = text.as_bytes();
        if digits.len() != 64 {
            return None;
        }
        let mut bytes = [0; 32];
        for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
            let high = char::from(pair[0]).to_digit(16)?;
            let low = char::from(pair[1]).to_digit(16)?;
            *byte = u8::try_from(high * 16 + low).ok()?;
        }
        Some(Self(bytes))
    }

    /// The first 8 hexadecimal digits: the public part of a key's id.
    #[must_use]
    pub fn short_hex(&self) -> String {
        let [a, b, c, d, ..] = self.0;
        format!("{:08x}", u32::from_be_bytes([a, b, c, d]))
    }
}

impl fmt::Debug for KeyDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sha256:{}...", self.short_hex())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_is_sha_256() {
        // The test vector "abc" of FIPS 180-4.
        let hex = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        let digest = Secret::new("abc").digest();
        assert_eq!(Some(digest), KeyDigest::from_hex(hex));
        assert_eq!(Some(digest), KeyDigest::from_hex(&hex.to_uppercase()));
        assert_eq!(digest.short_hex(), "ba7816bf");
        assert_eq!(format!("{digest:?}"), "sha256:ba7816bf...");
    }

    #[test]
    fn what_is_no_digest_is_refused() {
        for text in [
            "",
            "ba78",
            &"g".repeat(64),
            &"a".repeat(63),
            &"é".repeat(32),
        ] {
            assert_eq!(KeyDigest::from_hex(text), None, "{text}");
        }
    }
}
