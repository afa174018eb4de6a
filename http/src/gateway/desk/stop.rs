//! Where the next attempt goes: a provider, its model and one of its keys.

use super::Desk;
use super::asked::Asked;
use crate::gateway::error::Refusal;
use crate::gateway::plan::{Choice, ModelPlan};
use crate::gateway::routing::Why;
use crate::wire::openai_error::ErrorKind;
use coo_llm_core::catalog::EventId;
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
    /// The place in the plan's fallbacks that is looked at next.
    next: usize,
}

impl<'a> Way<'a> {
    pub(super) fn new(choice: Choice<'a>, client: usize, asked: &'a Asked<'a>) -> Self {
        Self {
            choice,
            client,
            asked,
            next: 0,
        }
    }
}

impl Desk {
    /// Whether a key may be used for a request now.
    ///
    /// Each choice of a key asks this, in the first attempt and in later ones: limits of
    /// keys belong here.
    fn is_usable(&self, provider: usize, key: usize, now_ms: u64) -> bool {
        let plan = &self.plan.providers[provider];
        plan.keys[key].aside.until(now_ms).is_none()
    }

    /// Whether a provider has a usable key but this one.
    pub(super) fn has_other_key(&self, stop: &Stop, now: Instant) -> bool {
        let now_ms = self.plan.millis(now);
        self.keys[stop.provider]
            .any(|key| key != stop.key && self.is_usable(stop.provider, key, now_ms))
    }

    /// How long until one of a provider's keys is no more set aside.
    pub(super) fn until_usable(&self, provider: usize, now: Instant) -> Duration {
        let now_ms = self.plan.millis(now);
        let keys = self.plan.providers[provider].keys.iter();
        let waits = keys.map(|key| key.aside.until(now_ms).map_or(0, |(at, _)| at - now_ms));
        // The plan's clock is cut to milliseconds: one more is never too early.
        match waits.min() {
            Some(wait) if wait > 0 => Duration::from_millis(wait + 1),
            _ => Duration::ZERO,
        }
    }

    /// A stop at this provider, with another key than `not`, if it takes requests now.
    pub(super) fn stop_at(
        &self,
        provider: usize,
        model: &Arc<ModelPlan>,
        not: Option<usize>,
        now: Instant,
    ) -> Option<Stop> {
        let key = self.key(provider, not, now)?;
        Some(Stop {
            provider,
            model: Arc::clone(model),
            key,
            because: None,
        })
    }

    /// A key of a provider that takes requests now. Only for an attempt that is made: the
    /// breaker lets one request try, and keys take turns.
    fn key(&self, provider: usize, not: Option<usize>, now: Instant) -> Option<usize> {
        let mut breaker = self.breakers[provider].borrow_mut();
        if breaker.closed_until(now).is_some() {
            return None;
        }
        let now_ms = self.plan.millis(now);
        let algorithm = self.plan.policy.algorithm;
        let key = self.keys[provider].choose(algorithm, now, |key| {
            Some(key) != not && self.is_usable(provider, key, now_ms)
        })?;
        breaker.admits(now).then_some(key)
    }

    /// The first stop: at the provider that was asked for, else at a fallback.
    pub(super) fn first_stop(&self, way: &mut Way<'_>, now: Instant) -> Option<Stop> {
        let Choice { provider, model } = way.choice;
        match self.key(provider, None, now) {
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
            if let Some(key) = self.key(provider, None, now) {
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

    /// What a client is told where no provider takes its request, and when to ask again.
    pub(super) fn nowhere(&self, way: &Way<'_>, now: Instant) -> (Refusal, Duration) {
        let provider = way.choice.provider;
        let plan = &self.plan.providers[provider];
        if let Some(until) = self.breakers[provider].borrow().closed_until(now) {
            let message = format!("The provider `{}` fails; try again later.", plan.id);
            let body = ErrorKind::Unavailable.body_with(&message, None);
            let refusal = Refusal::with_body(ErrorKind::Unavailable, body);
            return (refusal, until.saturating_duration_since(now));
        }
        let now_ms = self.plan.millis(now);
        let why = plan.keys.iter().filter_map(|key| key.aside.until(now_ms));
        let is_limit = why.min().is_some_and(|(_, why)| why == Why::RateLimit);
        let (kind, what) = if is_limit {
            (ErrorKind::RequestLimit, "has reached its rate limit")
        } else {
            (ErrorKind::Unavailable, "is refused")
        };
        let message = format!("Every key of the provider `{}` {what}.", plan.id);
        let refusal = Refusal::with_body(kind, kind.body_with(&message, None));
        (refusal, self.until_usable(provider, now))
    }
}
