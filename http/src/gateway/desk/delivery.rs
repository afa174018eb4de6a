//! A request's way to a provider, in one attempt or several.
//!
//! ```text
//! stop -> attempt -> learn --> an answer that is the client's: relay it
//!  ^                    \--> trouble: is there another stop?  no: the client gets this one
//!  \------ pause <- set down <-----------------------------/ yes
//! ```
//! Nothing has gone to the client before `relay`, so until then anything may be tried again.

use super::Desk;
use super::answer::{Reply, refuse};
use super::asked::{Asked, Recipient};
use super::knowing::Lesson;
use super::stop::{Stop, Way};
use crate::gateway::dialect::Hearing;
use crate::gateway::error::{UpstreamFault, of_status};
use crate::gateway::headers::{X_COO_ATTEMPTS, X_COO_MODEL, X_COO_PROVIDER, to_client};
use crate::gateway::plan::{Choice, HttpTarget};
use crate::gateway::reply::ReplyBody;
use crate::gateway::routing::{Trip, Trouble, pause};
use crate::gateway::settlement::Settlement;
use crate::gateway::simulated::{self, SimBody};
use crate::gateway::upstream::{self, UpstreamBody};
use bytes::{Bytes, BytesMut};
use coo_llm_core::record::Endpoint;
use coo_llm_runtime::{coarse_now, sleep, timeout};
use http::header::{HeaderMap, HeaderValue, RETRY_AFTER};
use http::response::Parts;
use http::{Request, Response, StatusCode};
use std::future::poll_fn;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The body of an answer that is not passed on is read up to here, so that its
/// connection can be used again, and the client can still get it.
const LEFTOVER_BYTES_MAX: usize = 64 * 1024;
/// And for so long; error answers come in one piece.
const LEFTOVER_TIME_MAX: Duration = Duration::from_millis(500);

type Answer = Result<Response<UpstreamBody>, UpstreamFault>;

/// How it goes on after trouble.
enum Next {
    /// At the same provider, after a pause.
    Here { after: Duration },
    /// At another provider, at once.
    There(Stop),
}

/// An answer, or none, that another attempt is to make up for.
enum Left {
    Answer(Box<Parts>, Bytes),
    Fault(UpstreamFault),
}

impl Desk {
    /// Tries providers until one answers, and begins the answer.
    pub(super) async fn deliver(
        &self,
        asked: Asked<'_>,
        choice: Choice<'_>,
        client: usize,
        mut settlement: Settlement,
    ) -> Reply {
        let provider = &self.plan.providers[choice.provider];
        if let Err(refusal) = asked.prepare(provider, choice.model) {
            return refuse(settlement, &refusal);
        }
        // A tenth of a second is nothing to a trip, and too much only to be refused for.
        let arrived = coarse_now();
        let mut trip = Trip::new(self.plan.policy.retry, arrived);
        let mut way = Way::new(choice, client, &asked, &self.limits);
        let mut first = self.first_stop(&mut way, arrived);
        if first.is_none() {
            way = Way::new(choice, client, &asked, &self.limits);
            first = self.first_stop(&mut way, Instant::now());
        }
        let Some(mut stop) = first else {
            let nowhere = self.nowhere(&way, Instant::now());
            if let Some((limit, key)) = nowhere.limited {
                settlement.limited_by_key(limit, key);
            }
            let mut reply = refuse(settlement, &nowhere.refusal);
            let after = seconds(nowhere.after);
            reply.headers_mut().insert(RETRY_AFTER, after);
            return reply;
        };
        let mut reply = loop {
            let plan = &self.plan.providers[stop.provider];
            trip.begins();
            let is_last = !trip.has_more_here() && !self.has_next(&way);
            let outgoing = asked.outgoing(plan, &stop.model, &plan.keys[stop.key], is_last);
            let outgoing = match outgoing {
                Ok(outgoing) => outgoing,
                Err(refusal) => return refuse(settlement, &refusal),
            };
            if let Some(because) = stop.because {
                self.count(because);
            }
            settlement.begin(&stop, way.claim());
            let answer = match outgoing.to {
                Recipient::Simulator(body) => {
                    self.simulate(stop.provider, asked.endpoint, &body).await
                }
                Recipient::Http(target, request) => self.send(stop.provider, target, request).await,
            };
            let now = Instant::now();
            let latency = settlement.head_came(now);
            let lesson = self.learn(&stop, &answer, latency, now);
            let next = lesson.and_then(|lesson| self.next(&mut way, &trip, &stop, lesson, now));
            if let (Some(next), Some(lesson)) = (next, lesson) {
                // Boxed: it is rare, and would be a part of each request's future.
                let again = self.again(&mut way, &stop, lesson, next, answer, &mut settlement);
                match Box::pin(again).await {
                    Ok(next) => {
                        if next.provider != stop.provider {
                            trip.moves_on();
                        }
                        stop = next;
                        continue;
                    }
                    Err(left) => {
                        break leave(left, outgoing.hearing, settlement, &asked.request_id);
                    }
                }
            }
            break match answer {
                Ok(response) => {
                    let (hearing, id) = (outgoing.hearing, &asked.request_id);
                    self.relay(response, stop.provider, hearing, settlement, id)
                        .await
                }
                Err(fault) => {
                    settlement.failed(fault);
                    refuse(settlement, &fault.refusal())
                }
            };
        };
        self.mark(reply.headers_mut(), &stop, trip.all());
        reply
    }

    /// How it goes on after trouble, if it does.
    fn next(
        &self,
        way: &mut Way<'_>,
        trip: &Trip,
        stop: &Stop,
        lesson: Lesson,
        now: Instant,
    ) -> Option<Next> {
        let Lesson {
            trouble,
            retry_after,
        } = lesson;
        // What is asked for, and a little more, so that not all come back at once.
        let at_least = |asked_for: Duration| {
            let unit = self.fixtures.chance.borrow_mut().unit();
            let jitter = pause(self.plan.policy.retry.interval, trip.here(), unit);
            match asked_for {
                Duration::ZERO => jitter,
                _ => jitter.max(asked_for.saturating_add(jitter / 8)),
            }
        };
        let asked_for = retry_after.unwrap_or_default();
        let has_other = trouble.is_of_key() && self.has_other_key(way, stop, now);
        let after = match trouble {
            _ if has_other => Some(Duration::ZERO),
            // Nothing is wrong with the provider: a new connection will do.
            Trouble::StaleConnection => Some(Duration::ZERO),
            Trouble::Auth => None,
            Trouble::RateLimit => {
                let usable = self.until_usable(way, stop.provider, now);
                Some(at_least(asked_for.max(usable)))
            }
            _ => Some(at_least(asked_for)),
        };
        let is_closed = self.breakers[stop.provider].borrow().is_closed();
        let here = after.filter(|after| is_closed && trip.repeats(now, *after));
        // A provider whose last key is at its limit is not waited for if another one is there.
        let is_exhausted = here.is_none() || (trouble == Trouble::RateLimit && !has_other);
        if is_exhausted
            && trip.goes_on(now)
            && let Some(stop) = self.next_stop(way, stop.provider, now)
        {
            return Some(Next::There(stop));
        }
        here.map(|after| Next::Here { after })
    }

    /// Ends an attempt without an answer for the client, and makes ready for the next one.
    ///
    /// # Errors
    /// What is left of the attempt, where after the pause no provider takes another one.
    async fn again(
        &self,
        way: &mut Way<'_>,
        stop: &Stop,
        lesson: Lesson,
        next: Next,
        answer: Answer,
        settlement: &mut Settlement,
    ) -> Result<Stop, Left> {
        let left = set_down(answer, settlement).await;
        let after = match next {
            Next::There(stop) => return Ok(stop),
            Next::Here { after } => after,
        };
        if !after.is_zero() {
            sleep(after).await;
        }
        let now = Instant::now();
        // Where no pause was needed, it is for the sake of another key.
        let not = (after.is_zero() && lesson.trouble.is_of_key()).then_some(stop.key);
        if let Some(next) = self.stop_at(way, (stop.provider, &stop.model), not, now) {
            let retries = &self.plan.providers[next.provider].retries;
            return Ok(Stop {
                because: Some(retries[lesson.trouble as usize]),
                ..next
            });
        }
        self.next_stop(way, stop.provider, now).ok_or(left)
    }

    /// What is said of every answer from a provider.
    fn mark(&self, headers: &mut HeaderMap, stop: &Stop, attempts: u32) {
        let provider = &self.plan.providers[stop.provider].id;
        for (name, value) in [(X_COO_PROVIDER, provider), (X_COO_MODEL, &stop.model.name)] {
            // A name that no header can carry is left out.
            if let Ok(value) = HeaderValue::from_str(value) {
                headers.insert(name, value);
            }
        }
        if attempts > 1 {
            headers.insert(X_COO_ATTEMPTS, attempts.into());
        }
    }

    async fn send(
        &self,
        provider: usize,
        target: &HttpTarget,
        request: Request<Bytes>,
    ) -> Result<Response<UpstreamBody>, UpstreamFault> {
        let addresses = Arc::clone(&self.addresses.borrow());
        let (pool, plan) = (&self.pools[provider], &self.plan.providers[provider]);
        upstream::send(pool, plan, target, addresses.of(provider), &request).await
    }

    async fn simulate(
        &self,
        provider: usize,
        endpoint: Endpoint,
        body: &[u8],
    ) -> Result<Response<UpstreamBody>, UpstreamFault> {
        let now_unix_s = self.fixtures.unix_seconds();
        let reply = self.simulators[provider].as_ref().and_then(|simulator| {
            let simulator = &mut simulator.borrow_mut();
            simulated::reply(simulator, endpoint, body, now_unix_s)
        });
        let reply = reply.ok_or(UpstreamFault::Protocol)?;
        sleep(reply.after).await;
        let mut response = Response::new(());
        *response.status_mut() =
            StatusCode::from_u16(reply.status).map_err(|_| UpstreamFault::Protocol)?;
        *response.headers_mut() = simulated::headers(&reply);
        Ok(response.map(|()| UpstreamBody::Simulated(SimBody::new(reply.content))))
    }
}

/// Ends an attempt whose answer the client does not get, or not yet.
async fn set_down(answer: Answer, settlement: &mut Settlement) -> Left {
    let response = match answer {
        Ok(response) => response,
        Err(fault) => {
            settlement.failed(fault);
            return Left::Fault(fault);
        }
    };
    let (head, mut body) = response.into_parts();
    let status = head.status.as_u16();
    settlement.answered(status, of_status(status));
    let whole = timeout(LEFTOVER_TIME_MAX, leftover(&mut body)).await;
    settlement.upstream_ended();
    match whole {
        Ok(Some(body)) => Left::Answer(Box::new(head), body),
        // Its connection goes with it.
        _ => Left::Fault(UpstreamFault::Protocol),
    }
}

/// The whole body, if it is short.
async fn leftover(body: &mut UpstreamBody) -> Option<Bytes> {
    let mut whole = BytesMut::new();
    while let Some(data) = poll_fn(|cx| body.poll_data(cx)).await {
        whole.extend_from_slice(&data.ok()?);
        if whole.len() > LEFTOVER_BYTES_MAX {
            return None;
        }
    }
    Some(whole.freeze())
}

/// Gives the client what an attempt has left, since there is no other one after all.
fn leave(left: Left, hearing: Hearing, settlement: Settlement, request_id: &HeaderValue) -> Reply {
    match left {
        Left::Fault(fault) => refuse(settlement, &fault.refusal()),
        Left::Answer(head, body) => {
            let mut head = *head;
            to_client(&mut head.headers, request_id);
            let error = of_status(head.status.as_u16());
            let Some(body) = hearing.told(&mut head, body, error.is_some()) else {
                return refuse(settlement, &UpstreamFault::Protocol.refusal());
            };
            settlement.finish(error);
            Response::from_parts(head, ReplyBody::whole(body))
        }
    }
}

/// A `Retry-After` of whole seconds, one at least.
fn seconds(after: Duration) -> HeaderValue {
    let more = u64::from(after.subsec_nanos() > 0);
    (after.as_secs() + more).max(1).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_after_is_never_too_early() {
        for (ms, seconds) in [(0, "1"), (1000, "1"), (1001, "2"), (59_999, "60")] {
            let value = super::seconds(Duration::from_millis(ms));
            assert_eq!(value.to_str().ok(), Some(seconds));
        }
    }
}
