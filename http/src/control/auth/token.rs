//! Tokens: what a login gives, and what is believed of one that comes back.

use super::signing_key::{SigningKey, random};
use super::{AuthError, hs256};
use crate::control::hex;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation, decode, encode};
use ring::hmac;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// Who makes the tokens.
const ISSUER: &str = "coo-llm";
/// Whom they are for.
const AUDIENCE: &str = "coo-llm/admin";
/// `{"typ":"JWT","alg":"HS256"}`: the header of every token of ours, to the byte. One that says
/// `kid`, `jku`, `jwk`, `crit` or another algorithm is none of them, and is not read further.
const HEADER: &str = "eyJ0eXAiOiJKV1QiLCJhbGciOiJIUzI1NiJ9.";
/// Longer than any token of ours.
pub(super) const TOKEN_BYTES_MAX: usize = 2048;
/// A clock that was set back may lie so many seconds behind the one that made the token. The
/// end of a token has no leeway.
const LEEWAY_S: u64 = 60;

/// What a token says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Claims {
    iss: String,
    aud: String,
    /// The account's id.
    pub(super) sub: String,
    /// Unix seconds, as are the next two.
    iat: u64,
    nbf: u64,
    pub(super) exp: u64,
    /// The token's own id, random.
    pub(super) jti: String,
    /// The account's fingerprint when it logged in.
    pub(super) acc: String,
}

/// Why a token is not believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TokenError {
    /// It is none of ours, or not for now, or not any more.
    Invalid,
    /// It was ours, and its time is over.
    Expired,
}

/// Makes and reads tokens.
pub(super) struct Tokens {
    signs: EncodingKey,
    checks: DecodingKey,
    csrf: hmac::Key,
    validation: Validation,
}

impl Tokens {
    pub(super) fn new(key: &SigningKey) -> Self {
        hs256::install();
        let mut validation = Validation::new(Algorithm::HS256);
        validation.set_required_spec_claims(&["exp", "nbf", "iss", "aud", "sub"]);
        validation.set_issuer(&[ISSUER]);
        validation.set_audience(&[AUDIENCE]);
        // Times must be there and are compared in `read`, with the caller's clock.
        validation.validate_exp = false;
        validation.validate_nbf = false;
        let own = hmac::Key::new(hmac::HMAC_SHA256, key.bytes());
        let csrf = hmac::sign(&own, b"coo-llm csrf");
        Self {
            signs: EncodingKey::from_secret(key.bytes()),
            checks: DecodingKey::from_secret(key.bytes()),
            csrf: hmac::Key::new(hmac::HMAC_SHA256, csrf.as_ref()),
            validation,
        }
    }

    /// A token for an account, from `now` (unix seconds) on.
    pub(super) fn make(
        &self,
        sub: &str,
        fingerprint: &str,
        now: u64,
        lifetime: Duration,
    ) -> Result<(String, Claims), AuthError> {
        let claims = Claims {
            iss: ISSUER.to_owned(),
            aud: AUDIENCE.to_owned(),
            sub: sub.to_owned(),
            iat: now,
            nbf: now,
            exp: now.saturating_add(lifetime.as_secs()),
            jti: hex::of(&random::<16>()?),
            acc: fingerprint.to_owned(),
        };
        let token = encode(&Header::new(Algorithm::HS256), &claims, &self.signs);
        let token = token.map_err(|_| AuthError::Signing)?;
        Ok((token, claims))
    }

    /// What a token says, if it is ours and `now` is within its time.
    pub(super) fn read(&self, token: &[u8], now: u64) -> Result<Claims, TokenError> {
        if token.len() > TOKEN_BYTES_MAX || !token.starts_with(HEADER.as_bytes()) {
            return Err(TokenError::Invalid);
        }
        let read = decode::<Claims>(token, &self.checks, &self.validation);
        let claims = read.map_err(|_| TokenError::Invalid)?.claims;
        if claims.nbf > now + LEEWAY_S || claims.iat > now + LEEWAY_S || claims.exp <= claims.iat {
            return Err(TokenError::Invalid);
        }
        if claims.exp <= now {
            return Err(TokenError::Expired);
        }
        Ok(claims)
    }

    /// What a page must send beside the cookie of this token.
    pub(super) fn csrf(&self, jti: &str) -> String {
        hex::of(hmac::sign(&self.csrf, jti.as_bytes()).as_ref())
    }

    /// Whether `shown` is that. The time it takes does not depend on where they differ.
    pub(super) fn is_csrf(&self, jti: &str, shown: &[u8]) -> bool {
        hex::digest(shown)
            .is_some_and(|shown| hmac::verify(&self.csrf, jti.as_bytes(), &shown).is_ok())
    }
}
