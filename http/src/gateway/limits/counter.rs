//! A worker's side of the limits: claims before, settles after.

use super::standing::push_duration;
use super::{ClientLedger, Estimate, Ledgers, OwnSeat, Standing};
use crate::gateway::error::Refusal;
use crate::wire::openai_error::ErrorKind;
use bytes::BytesMut;
use coo_llm_core::limiter::{Full, Level, Reserved, Seat, Spent, Taken, Terms, Window};
use coo_llm_core::record::Limit;
use coo_llm_core::{NanoUsd, UnixMillis};
use std::sync::Arc;
use std::time::Instant;

/// What a client's request has claimed until it is over.
#[derive(Debug)]
pub(crate) struct Claim {
    client: usize,
    requests: Option<Taken>,
    tokens: Option<Taken>,
    money: Option<Reserved>,
}

/// What a client has of its limits and its budget; `None` where it has no such limit.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Account {
    pub(crate) requests: Option<(u64, Level)>,
    pub(crate) tokens: Option<(u64, Level)>,
    pub(crate) budget: Option<(Terms, Spent)>,
}

/// A refusal, and the limit it is counted under.
#[derive(Debug)]
pub(crate) struct Denied {
    pub(crate) refusal: Refusal,
    pub(crate) limit: Option<Limit>,
}

/// A moment, by both clocks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Moment {
    pub(crate) now: Instant,
    pub(crate) wall: UnixMillis,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Counter {
    pub(super) ledgers: Arc<Ledgers>,
    pub(super) seat: OwnSeat,
}

impl Counter {
    pub(crate) fn new(ledgers: Arc<Ledgers>, seat: OwnSeat) -> Self {
        Self { ledgers, seat }
    }

    /// Whether the client has limits or a budget.
    pub(crate) fn concerns(&self, client: usize) -> bool {
        self.ledgers.clients[client].is_some()
    }

    /// Whether anything is reserved for a request of this client: by its own limits, or by
    /// those of a key that it may get.
    pub(crate) fn reserves_for(&self, client: usize) -> bool {
        self.concerns(client) || self.ledgers.has_limited_keys
    }

    /// Claims what a request may use; all of it or nothing. `cost` is asked for where
    /// there is a budget.
    ///
    /// # Errors
    /// The first limit that it would exceed.
    pub(crate) fn claim(
        &self,
        client: usize,
        estimate: Estimate,
        cost: impl FnOnce() -> Option<NanoUsd>,
        at: Moment,
        standing: &mut Standing,
    ) -> Result<Claim, Denied> {
        let mut claim = Claim {
            client,
            requests: None,
            tokens: None,
            money: None,
        };
        let mut seat = self.seat.borrow_mut();
        let (Some(ledger), Some(seat)) = (&self.ledgers.clients[client], &mut *seat) else {
            return Ok(claim);
        };
        let ms = self.ms(at.now);
        match ledger.claim(&mut claim, seat, estimate, cost, (ms, at.wall), standing) {
            Ok(()) => Ok(claim),
            Err(denied) => {
                ledger.give_back(&claim, seat, ms, standing);
                Err(denied)
            }
        }
    }

    /// Puts what was used in the place of what was claimed. Tokens that nobody knows
    /// count as they were estimated, money that nobody knows as none.
    pub(crate) fn settle(
        &self,
        claim: &Claim,
        tokens: Option<u64>,
        cost: Option<NanoUsd>,
        at: Moment,
    ) {
        let mut seat = self.seat.borrow_mut();
        let (Some(ledger), Some(seat)) = (&self.ledgers.clients[claim.client], &mut *seat) else {
            return;
        };
        if let (Some((_, window)), Some(taken), Some(tokens)) =
            (&ledger.windows.tokens, &claim.tokens, tokens)
        {
            window.settle(seat, taken, tokens, self.ms(at.now));
        }
        if let (Some((terms, spending)), Some(reserved)) = (&ledger.budget, &claim.money) {
            spending.settle(seat, terms.per, reserved, cost, at.wall);
        }
    }

    /// What a client has of its limits and its budget.
    pub(crate) fn account(&self, client: usize, at: Moment) -> Account {
        let Some(ledger) = &self.ledgers.clients[client] else {
            return Account::default();
        };
        let ms = self.ms(at.now);
        let level = |window: &Option<(u64, Arc<Window>)>| {
            let (limit, window) = window.as_ref()?;
            Some((*limit, window.level(*limit, ms)))
        };
        Account {
            requests: level(&ledger.windows.requests),
            tokens: level(&ledger.windows.tokens),
            budget: ledger
                .budget
                .as_ref()
                .map(|(terms, spending)| (*terms, spending.read(terms.per, at.wall))),
        }
    }

    pub(super) fn ms(&self, now: Instant) -> u64 {
        let passed = now.saturating_duration_since(self.ledgers.epoch);
        u64::try_from(passed.as_millis()).unwrap_or(u64::MAX)
    }
}

impl ClientLedger {
    /// Claims limit by limit, up to the first that refuses.
    fn claim(
        &self,
        claim: &mut Claim,
        seat: &mut Seat,
        estimate: Estimate,
        cost: impl FnOnce() -> Option<NanoUsd>,
        (ms, wall): (u64, UnixMillis),
        standing: &mut Standing,
    ) -> Result<(), Denied> {
        if let Some((limit, window)) = &self.windows.requests {
            let taken = window.take(seat, *limit, 1, ms);
            let taken = taken.map_err(|full| denied(Limit::Requests, *limit, full, standing))?;
            standing.of_requests(*limit, taken.level);
            claim.requests = Some(taken);
        }
        if let Some((limit, window)) = &self.windows.tokens {
            let taken = window.take(seat, *limit, estimate.total(), ms);
            let taken = taken.map_err(|full| denied(Limit::Tokens, *limit, full, standing))?;
            standing.of_tokens(*limit, taken.level);
            claim.tokens = Some(taken);
        }
        if let Some((terms, spending)) = &self.budget {
            // What has no price reserves nothing, and will spend nothing.
            let amount = cost().unwrap_or(NanoUsd::ZERO);
            let reserved = spending
                .reserve(seat, terms, amount, wall)
                .map_err(|spent| {
                    standing.refused_for(spent.resets.0.saturating_sub(wall.0));
                    Denied {
                        refusal: Refusal::new(ErrorKind::BudgetExceeded),
                        limit: None,
                    }
                })?;
            if reserved.is_over {
                standing.budget_is_spent(*terms);
            }
            claim.money = Some(reserved);
        }
        Ok(())
    }

    /// Takes back what a refused request has claimed, and says how its client stands then.
    #[cold]
    fn give_back(&self, claim: &Claim, seat: &mut Seat, ms: u64, standing: &mut Standing) {
        if let Some((limit, window)) = &self.windows.requests {
            if let Some(taken) = &claim.requests {
                window.settle(seat, taken, 0, ms);
            }
            standing.of_requests(*limit, window.level(*limit, ms));
        }
        if let Some((limit, window)) = &self.windows.tokens {
            if let Some(taken) = &claim.tokens {
                window.settle(seat, taken, 0, ms);
            }
            standing.of_tokens(*limit, window.level(*limit, ms));
        }
    }
}

fn denied(limit: Limit, per_minute: u64, full: Full, standing: &mut Standing) -> Denied {
    standing.refused_for(full.retry_after_ms);
    let mut after = BytesMut::new();
    push_duration(&mut after, full.retry_after_ms);
    let after = String::from_utf8_lossy(&after);
    let (kind, unit) = match limit {
        Limit::Requests => (ErrorKind::RequestLimit, "requests"),
        Limit::Tokens => (ErrorKind::TokenLimit, "tokens"),
    };
    let message = format!(
        "Rate limit reached for {unit}: the limit is {per_minute} a minute. Please try again in {after}."
    );
    Denied {
        refusal: Refusal::with_body(kind, kind.body_with(&message, None)),
        limit: Some(limit),
    }
}
