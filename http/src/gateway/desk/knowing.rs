//! What an attempt teaches: of its key, of its provider.

use super::Desk;
use super::stop::Stop;
use crate::gateway::error::UpstreamFault;
use crate::gateway::plan::Kind;
use crate::gateway::routing::Trouble;
use crate::gateway::upstream::UpstreamBody;
use crate::wire::retry_after::retry_after;
use http::Response;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant, UNIX_EPOCH};

/// What came of an attempt that another one may mend.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lesson {
    pub(super) trouble: Trouble,
    pub(super) retry_after: Option<Duration>,
}

impl Desk {
    /// Notes what came of an attempt, and says whether another one may mend it.
    pub(super) fn learn(
        &self,
        stop: &Stop,
        answer: &Result<Response<UpstreamBody>, UpstreamFault>,
        latency: Duration,
        now: Instant,
    ) -> Option<Lesson> {
        let plan = &self.plan.providers[stop.provider];
        let key = &plan.keys[stop.key];
        let (status, trouble) = match answer {
            Ok(response) => {
                key.quota.note(response.headers());
                let status = response.status().as_u16();
                (status, Trouble::of_status(status))
            }
            Err(fault) => (0, Some(Trouble::from(*fault))),
        };
        let Some(trouble) = trouble else {
            key.aside.worked();
            self.keys[stop.provider].succeeded(stop.key, latency, now);
            self.answers(stop.provider, now);
            return None;
        };
        if trouble != Trouble::StaleConnection {
            self.keys[stop.provider].failed(stop.key, now);
        }
        let retry_after = answer.as_ref().ok().and_then(|response| {
            let now = UNIX_EPOCH + Duration::from_millis(self.unix_millis(now).0);
            retry_after(response.headers(), now)
        });
        let rule = &self.plan.policy.key_cooldown;
        // The simulator has no key that could be refused.
        let sets_aside = rule.enabled && !matches!(plan.kind, Kind::Simulator(_));
        match trouble {
            Trouble::RateLimit | Trouble::Auth => {
                let now_ms = self.plan.millis(now);
                if sets_aside && trouble == Trouble::RateLimit {
                    key.aside.limited(now_ms, retry_after, rule);
                } else if sets_aside {
                    key.aside.refused(status, now_ms, rule);
                }
                self.answers(stop.provider, now);
            }
            Trouble::StaleConnection => {}
            Trouble::Timeout
            | Trouble::Connect
            | Trouble::Upstream5xx
            | Trouble::UpstreamProtocol => {
                let opened = self.breakers[stop.provider].borrow_mut().failed(now);
                self.is_left_alone(stop.provider, opened);
            }
        }
        Some(Lesson {
            trouble,
            retry_after,
        })
    }

    /// An answer broke off that had begun well.
    pub(crate) fn broke_off(&self, provider: usize, key: usize, now: Instant) {
        self.keys[provider].failed(key, now);
        let opened = self.breakers[provider].borrow_mut().broke_off(now);
        self.is_left_alone(provider, opened);
    }

    fn answers(&self, provider: usize, now: Instant) {
        if self.breakers[provider].borrow_mut().succeeded(now) {
            let plan = &self.plan.providers[provider];
            plan.down_until_ms.store(0, Ordering::Relaxed);
            tracing::info!(provider = %plan.id, "the provider answers again");
        }
    }

    fn is_left_alone(&self, provider: usize, until: Option<Instant>) {
        if let Some(until) = until {
            let plan = &self.plan.providers[provider];
            let until = self.plan.millis(until);
            plan.down_until_ms.store(until, Ordering::Relaxed);
            tracing::warn!(provider = %plan.id, "the provider fails and is left alone for a while");
        }
    }
}
