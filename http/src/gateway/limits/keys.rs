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

/// What was taken for an attempt that is not made yet. It goes back with its holder: a
/// client may leave, or a request be refused, before the attempt begins.
#[derive(Debug)]
pub(crate) struct Held<'a> {
    counter: &'a Counter,
    claim: Option<KeyClaim>,
}

impl<'a> Held<'a> {
    pub(crate) fn nothing(counter: &'a Counter) -> Self {
        Self {
            counter,
            claim: None,
        }
    }

    /// Holds this; what was held before goes back.
    pub(crate) fn hold(&mut self, claim: KeyClaim) {
        self.give_back();
        self.claim = Some(claim);
    }

    /// For the attempt that is made now, which settles it.
    pub(crate) fn take(&mut self) -> Option<KeyClaim> {
        self.claim.take()
    }

    fn give_back(&mut self) {
        if let Some(claim) = self.claim.take() {
            self.counter.give_key_back(&claim, Instant::now());
        }
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.give_back();
    }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gateway::limits::Ledgers;
    use crate::gateway::plan::Plan;
    use crate::wire::envelope::Envelope;
    use coo_llm_core::Meter;
    use coo_llm_core::record::Endpoint;
    use std::sync::Arc;

    const CONFIG: &str = "
llm_providers:
  - { id: p, type: custom, base_url: \"http://127.0.0.1:1/v1\", api_keys: [k], limits: { req_per_min: 1, tokens_per_min: 1000 } }
";

    #[test]
    fn what_is_held_goes_back_unless_an_attempt_takes_it() {
        let config = coo_llm_config::parse(CONFIG, &|_| None).expect("a configuration");
        let plan = Plan::new(&config, &Meter::new(100)).expect("a plan");
        let ledgers = Arc::new(Ledgers::new(&plan, 1, &[]));
        let seat = ledgers.seat(0);
        let counter = Counter::new(ledgers, seat);
        let body = br#"{"model":"m"}"#;
        let envelope = Envelope::parse(body).expect("a body");
        let estimate = Estimate::new(Endpoint::ChatCompletions, body.len(), &envelope);
        let now = Instant::now();
        let take = || counter.take_key(0, 0, estimate, now);
        let is_free = || counter.key_wait(0, 0, estimate, now).is_none();

        let mut held = Held::nothing(&counter);
        held.hold(take().expect("a key without requests"));
        assert!(!is_free() && take().is_none());
        drop(held);
        assert!(is_free(), "the client left before the attempt");

        let mut held = Held::nothing(&counter);
        held.hold(take().expect("it came back"));
        let claim = held.take().expect("it was held");
        drop(held);
        assert!(!is_free(), "the attempt has it");
        counter.settle_key(&claim, 0, now);
        assert!(!is_free(), "a request that was made counts");
        assert_eq!(
            counter.key_wait(0, 0, estimate, now).map(|wait| wait.1),
            Some(Limit::Requests)
        );
    }
}
