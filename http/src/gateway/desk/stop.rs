//! Where the next attempt goes: a provider, its model and one of its keys.

use super::Desk;
use super::asked::Asked;
use crate::gateway::error::Refusal;
use crate::gateway::limits::{Counter, Estimate, Held, KeyClaim};
use crate::gateway::plan::{Choice, ModelPlan};
use crate::gateway::routing::Why;
use crate::wire::openai_error::ErrorKind;
use coo_llm_core::catalog::{EventId, Route};
use coo_llm_core::record::Limit;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// See the module.
#[derive(Clone, Debug)]
pub(crate) struct Stop {
    pub(crate) provider: usize,
    pub(crate) model: Arc<ModelPlan>,
    pub(crate) key: usize,
    /// The series that counts why it goes there, where it is not the first and usual one.
    pub(crate) because: Option<EventId>,
}

/// What a request may still try.
pub(super) struct Way<'a> {
    /// What the client asked for, resolved.
    choice: Choice<'a>,
    client: usize,
    asked: &'a Asked<'a>,
    /// The tokens that it may use.
    estimate: Estimate,
    /// What the next attempt has taken of its key's limits.
    held: Held<'a>,
    /// The place in the plan's fallbacks that is looked at next.
    next: usize,
}

/// Why a key may not be used now.
#[derive(Clone, Copy, Debug)]
enum Wait {
    /// It is set aside: its provider refused it.
    Aside(Why),
    /// It is at a limit of the gateway.
    Limit(Limit),
}

/// No provider takes a request.
pub(super) struct Nowhere {
    pub(super) refusal: Refusal,
    /// When to ask again.
    pub(super) after: Duration,
    /// The limit of the gateway that refuses it, and the series of the key that is at it.
    pub(super) limited: Option<(Limit, Route)>,
}

impl<'a> Way<'a> {
    pub(super) fn new(
        choice: Choice<'a>,
        client: usize,
        asked: &'a Asked<'a>,
        limits: &'a Counter,
    ) -> Self {
        Self {
            choice,
            client,
            asked,
            estimate: asked.estimate(),
            held: Held::nothing(limits),
            next: 0,
        }
    }

    /// What the attempt that is made now has taken of its key's limits.
    pub(super) fn claim(&mut self) -> Option<KeyClaim> {
        self.held.take()
    }
}

impl Desk {
    /// How long until a key may be used for a request, in milliseconds, and why not now;
    /// `None` where it may.
    ///
    /// Each choice of a key asks this, in the first attempt and in later ones.
    fn key_wait(
        &self,
        provider: usize,
        key: usize,
        estimate: Estimate,
        now: Instant,
    ) -> Option<(u64, Wait)> {
        let aside = self.aside(provider, key, now);
        let full = self.limits.key_wait(provider, key, estimate, now);
        let full = full.map(|(ms, limit)| (ms, Wait::Limit(limit)));
        aside.into_iter().chain(full).max_by_key(|(ms, _)| *ms)
    }

    /// How long a key is set aside, in milliseconds.
    fn aside(&self, provider: usize, key: usize, now: Instant) -> Option<(u64, Wait)> {
        let now_ms = self.plan.millis(now);
        let aside = self.plan.providers[provider].keys[key].aside.until(now_ms);
        aside.map(|(at, why)| (at - now_ms, Wait::Aside(why)))
    }

    /// Whether a provider has a usable key but this one.
    pub(super) fn has_other_key(&self, way: &Way<'_>, stop: &Stop, now: Instant) -> bool {
        self.keys[stop.provider].any(|key| {
            let wait = || self.key_wait(stop.provider, key, way.estimate, now);
            key != stop.key && wait().is_none()
        })
    }

    /// How long until one of a provider's keys may be used.
    pub(super) fn until_usable(&self, way: &Way<'_>, provider: usize, now: Instant) -> Duration {
        let keys = 0..self.plan.providers[provider].keys.len();
        let wait = |key| {
            let wait = self.key_wait(provider, key, way.estimate, now);
            // Clocks are cut to milliseconds: one more is never too early.
            wait.map_or(0, |(ms, _)| ms + 1)
        };
        Duration::from_millis(keys.map(wait).min().unwrap_or(0))
    }

    /// A stop at this provider, with another key than `not`, if it takes requests now.
    pub(super) fn stop_at(
        &self,
        way: &mut Way<'_>,
        (provider, model): (usize, &Arc<ModelPlan>),
        not: Option<usize>,
        now: Instant,
    ) -> Option<Stop> {
        let key = self.key(way, provider, not, now)?;
        Some(Stop {
            provider,
            model: Arc::clone(model),
            key,
            because: None,
        })
    }

    /// A key of a provider that takes requests now. Only for an attempt that is made: the
    /// breaker lets one request try, and keys take turns.
    fn key(
        &self,
        way: &mut Way<'_>,
        provider: usize,
        not: Option<usize>,
        now: Instant,
    ) -> Option<usize> {
        let mut breaker = self.breakers[provider].borrow_mut();
        if breaker.closed_until(now).is_some() {
            return None;
        }
        let (algorithm, estimate) = (self.plan.policy.algorithm, way.estimate);
        // Between look and take another worker may be faster: once a key, it is looked again.
        let keys = self.plan.providers[provider].keys.len();
        let (key, claim) = (0..keys)
            .map_while(|_| {
                self.keys[provider].choose(algorithm, now, |key| {
                    // Of one that is the only one it is enough to take.
                    let may = || match keys {
                        1 => self.aside(provider, key, now).is_none(),
                        _ => self.key_wait(provider, key, estimate, now).is_none(),
                    };
                    Some(key) != not && may()
                })
            })
            .find_map(|key| {
                let claim = self.limits.take_key(provider, key, estimate, now)?;
                Some((key, claim))
            })?;
        if !breaker.admits(now) {
            self.limits.give_key_back(&claim, now);
            return None;
        }
        way.held.hold(claim);
        Some(key)
    }

    /// The first stop: at the provider that was asked for, else at a fallback.
    pub(super) fn first_stop(&self, way: &mut Way<'_>, now: Instant) -> Option<Stop> {
        let Choice { provider, model } = way.choice;
        match self.key(way, provider, None, now) {
            Some(key) => Some(Stop {
                provider,
                model: self.model(provider, model),
                key,
                because: None,
            }),
            None => self.next_stop(way, provider, now),
        }
    }

    /// A stop at the next fallback that takes the request.
    pub(super) fn next_stop(&self, way: &mut Way<'_>, from: usize, now: Instant) -> Option<Stop> {
        let allowed = &self.plan.clients[way.client].allowed;
        while let Some(&provider) = self.plan.fallback.get(way.next) {
            let place = way.next;
            way.next += 1;
            if provider == way.choice.provider || !allowed[provider] {
                continue;
            }
            let plan = &self.plan.providers[provider];
            let Some(model) = plan.instead_of(way.choice.model) else {
                continue;
            };
            if way.asked.prepare(plan, model).is_err() {
                // It does not serve the endpoint, or has no words for what is asked.
                continue;
            }
            if let Some(key) = self.key(way, provider, None, now) {
                return Some(Stop {
                    provider,
                    model: self.model(provider, model),
                    key,
                    because: Some(self.plan.providers[from].fallbacks[place]),
                });
            }
        }
        None
    }

    /// Whether a fallback is left to look at.
    pub(super) fn has_next(&self, way: &Way<'_>) -> bool {
        way.next < self.plan.fallback.len()
    }

    /// What a client is told where no provider takes its request.
    pub(super) fn nowhere(&self, way: &Way<'_>, now: Instant) -> Nowhere {
        let provider = way.choice.provider;
        let plan = &self.plan.providers[provider];
        if let Some(until) = self.breakers[provider].borrow().closed_until(now) {
            let message = format!("The provider `{}` fails; try again later.", plan.id);
            let body = ErrorKind::Unavailable.body_with(&message, None);
            return Nowhere {
                refusal: Refusal::with_body(ErrorKind::Unavailable, body),
                after: until.saturating_duration_since(now),
                limited: None,
            };
        }
        // The key that is free first says why it is not yet.
        let waits = (0..plan.keys.len()).filter_map(|key| {
            let (ms, wait) = self.key_wait(provider, key, way.estimate, now)?;
            Some((ms, wait, key))
        });
        let first = waits.min_by_key(|(ms, ..)| *ms);
        let (kind, what) = match first {
            Some((_, Wait::Limit(Limit::Requests), _)) => {
                (ErrorKind::RequestLimit, "has reached its limit of requests")
            }
            Some((_, Wait::Limit(Limit::Tokens), _)) => {
                (ErrorKind::TokenLimit, "has reached its limit of tokens")
            }
            Some((_, Wait::Aside(Why::RateLimit), _)) => {
                (ErrorKind::RequestLimit, "has reached its rate limit")
            }
            _ => (ErrorKind::Unavailable, "is refused"),
        };
        let limited = match first {
            Some((_, Wait::Limit(limit), key)) => {
                let model = self.model(provider, way.choice.model);
                Some((limit, model.routes[key]))
            }
            _ => None,
        };
        let message = format!("Every key of the provider `{}` {what}.", plan.id);
        Nowhere {
            refusal: Refusal::with_body(kind, kind.body_with(&message, None)),
            after: Duration::from_millis(first.map_or(0, |(ms, ..)| ms)),
            limited,
        }
    }
}
