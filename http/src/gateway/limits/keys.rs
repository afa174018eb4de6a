//! The limits of providers' keys: a key without room is passed over.

use super::{Counter, Estimate, Windows};
use coo_llm_core::limiter::Taken;
use coo_llm_core::record::Limit;
use std::time::Instant;

/// What an attempt has taken of its key's limits.
#[derive(Debug)]
pub(crate) struct KeyClaim {
    provider: usize,
    key: usize,
    requests: Option<Taken>,
    tokens: Option<Taken>,
}

impl Counter {
    /// How many milliseconds until a key has room for a request, and which limit it is
    /// at; `None` where it has room now.
    pub(crate) fn key_wait(
        &self,
        provider: usize,
        key: usize,
        estimate: Estimate,
        now: Instant,
    ) -> Option<(u64, Limit)> {
        let windows = self.windows(provider, key)?;
        let ms = self.ms(now);
        let requests = windows.requests.as_ref();
        let requests = requests.and_then(|(limit, window)| window.wait_ms(*limit, 1, ms));
        let tokens = windows.tokens.as_ref();
        let tokens =
            tokens.and_then(|(limit, window)| window.wait_ms(*limit, estimate.total(), ms));
        // The later one is what is waited for.
        requests
            .map(|wait| (wait, Limit::Requests))
            .into_iter()
            .chain(tokens.map(|wait| (wait, Limit::Tokens)))
            .max_by_key(|(wait, _)| *wait)
    }

    /// Takes a request and what it may use; all of it, or `None`.
    pub(crate) fn take_key(
        &self,
        provider: usize,
        key: usize,
        estimate: Estimate,
        now: Instant,
    ) -> Option<KeyClaim> {
        let mut claim = KeyClaim {
            provider,
            key,
            requests: None,
            tokens: None,
        };
        let Some(windows) = self.windows(provider, key) else {
            return Some(claim);
        };
        let ms = self.ms(now);
        if let (Some((limit, window)), Some(seat)) =
            (&windows.requests, &mut *self.seat.borrow_mut())
        {
            claim.requests = Some(window.take(seat, *limit, 1, ms).ok()?);
        }
        if let (Some((limit, window)), Some(seat)) = (&windows.tokens, &mut *self.seat.borrow_mut())
        {
            claim.tokens = window.take(seat, *limit, estimate.total(), ms).ok();
            if claim.tokens.is_none() {
                if let (Some((_, window)), Some(taken)) = (&windows.requests, &claim.requests) {
                    window.settle(seat, taken, 0, ms);
                }
                return None;
            }
        }
        Some(claim)
    }

    /// The attempt is not made after all.
    pub(crate) fn give_key_back(&self, claim: &KeyClaim, now: Instant) {
        let windows = self.windows(claim.provider, claim.key);
        if let (Some((_, window)), Some(taken), Some(seat)) = (
            windows.and_then(|windows| windows.requests.as_ref()),
            &claim.requests,
            &mut *self.seat.borrow_mut(),
        ) {
            window.settle(seat, taken, 0, self.ms(now));
        }
        self.settle_key(claim, 0, now);
    }

    /// Puts the tokens that an attempt used in the place of those that it took.
    pub(crate) fn settle_key(&self, claim: &KeyClaim, tokens: u64, now: Instant) {
        let windows = self.windows(claim.provider, claim.key);
        if let (Some((_, window)), Some(taken), Some(seat)) = (
            windows.and_then(|windows| windows.tokens.as_ref()),
            &claim.tokens,
            &mut *self.seat.borrow_mut(),
        ) {
            window.settle(seat, taken, tokens, self.ms(now));
        }
    }

    fn windows(&self, provider: usize, key: usize) -> Option<&Windows> {
        self.ledgers.keys[provider].get(key)
    }
}
