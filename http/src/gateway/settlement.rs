//! The one record of a request, made whatever happens to it.
//!
//! A [`Settlement`] is born with the request and goes where the request goes. It is
//! settled once: by who finishes the request, or by its drop where the client went
//! away. Nothing else records.

use super::desk::{Desk, Stop};
use super::error::{Refusal, UpstreamFault, outcome};
use super::limits::{Claim, KeyClaim, Moment};
use super::plan::ModelPlan;
use super::price_book::BookInUse;
use super::request_line::RequestLine;
use crate::wire::request_id::RequestId;
use crate::wire::terms::Terms;
use crate::wire::usage::UsageOutcome;
use coo_llm_core::catalog::Route;
use coo_llm_core::record::{
    Attempt, Endpoint, ErrorType, Limit, Outcome, Record, Tokens, UsageSource,
};
use coo_llm_core::{Micros, NanoUsd};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The status that is logged where the client went away; nginx's number for it.
const CLIENT_CLOSED_REQUEST: u16 = 499;
/// Bytes that stand for a token in an estimate; OpenAI's rule of thumb for English.
pub(crate) const BYTES_PER_TOKEN: u64 = 4;

/// What is known of the tokens when no more is to come.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Seen {
    pub(crate) usage: UsageOutcome,
    /// How they are billed.
    pub(crate) terms: Terms,
    /// Non-empty deltas of a stream.
    pub(crate) deltas: u64,
    /// Bytes of a JSON answer that came.
    pub(crate) answer_bytes: u64,
}

/// What was made of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Used {
    tokens: Tokens,
    source: Option<UsageSource>,
}

/// An attempt at a provider.
#[derive(Debug)]
struct Trying {
    provider: usize,
    key: usize,
    model: Arc<ModelPlan>,
    prices: Rc<BookInUse>,
    started: Instant,
    /// When the head of an answer came, or it was sure that none does.
    headed: Option<Instant>,
    ended: Option<Instant>,
    outcome: Option<Outcome>,
    limited: Option<Limit>,
    /// Whether the provider may have done work for it.
    worked: bool,
    /// What it has taken of its key's limits.
    claim: Option<KeyClaim>,
}

impl Trying {
    /// What it was, at its end or `now`; `error` is the request's.
    fn attempt(&self, now: Instant, error: Option<ErrorType>) -> Attempt {
        Attempt {
            route: self.model.routes[self.key],
            outcome: self.outcome.unwrap_or(outcome(error)),
            latency: Micros::from(self.ended.unwrap_or(now) - self.started),
            limited: self.limited,
        }
    }
}

/// A request that is not settled yet; see the module.
///
/// Boxed: each step of a request is given it, and the futures of the steps that lie in each
/// other had its 630 bytes twice each.
pub(crate) type Settlement = Box<Unsettled>;

/// See [`Settlement`].
#[derive(Debug)]
pub(crate) struct Unsettled {
    desk: Rc<Desk>,
    request_id: RequestId,
    arrived: Instant,
    endpoint: Endpoint,
    client: Option<usize>,
    /// The attempt that is under way, or was the last.
    trying: Option<Trying>,
    /// The attempts before it: none, and no allocation, where the first one succeeds.
    past: Vec<Attempt>,
    /// Bytes of the request's body.
    asked_bytes: u64,
    status: u16,
    is_stream: bool,
    first_token: Option<Instant>,
    seen: Seen,
    error: Option<ErrorType>,
    /// What it has claimed of its client's limits.
    claim: Option<Claim>,
    /// The limit of the gateway that refused it.
    limited: Option<Limit>,
    /// The series of the key that was at it.
    limited_key: Option<Route>,
    is_settled: bool,
}

impl Unsettled {
    pub(crate) fn new(desk: Rc<Desk>, endpoint: Endpoint, request_id: RequestId) -> Settlement {
        Box::new(Self {
            desk,
            request_id,
            arrived: Instant::now(),
            endpoint,
            client: None,
            trying: None,
            past: Vec::new(),
            asked_bytes: 0,
            status: CLIENT_CLOSED_REQUEST,
            is_stream: false,
            first_token: None,
            seen: Seen::default(),
            error: None,
            claim: None,
            limited: None,
            limited_key: None,
            is_settled: false,
        })
    }

    pub(crate) fn request_id(&self) -> &RequestId {
        &self.request_id
    }

    pub(crate) fn endpoint(&self) -> Endpoint {
        self.endpoint
    }

    pub(crate) fn of_client(&mut self, client: usize) {
        self.client = Some(client);
    }

    /// When the request came.
    pub(crate) fn arrived(&self) -> Instant {
        self.arrived
    }

    /// The client's limits have room for it; what it claimed is settled with it.
    pub(crate) fn claimed(&mut self, claim: Claim) {
        self.claim = Some(claim);
    }

    /// A limit of the gateway refuses it.
    pub(crate) fn limited(&mut self, limit: Option<Limit>) {
        self.limited = limit;
    }

    /// The limit of a provider's key refuses it, and there was no other key.
    pub(crate) fn limited_by_key(&mut self, limit: Limit, key: Route) {
        self.limited = Some(limit);
        self.limited_key = Some(key);
    }

    pub(crate) fn asked(&mut self, bytes: usize, is_stream: bool) {
        self.asked_bytes = bytes as u64;
        self.is_stream = is_stream;
    }

    /// An attempt begins; the one before is over.
    pub(crate) fn begin(&mut self, stop: &Stop, claim: Option<KeyClaim>) {
        let now = Instant::now();
        let Stop { provider, key, .. } = *stop;
        self.upstream_ended_at(now);
        if let Some(trying) = self.trying.take() {
            self.past.push(trying.attempt(now, None));
            if let Some(claim) = trying.claim.filter(|_| !trying.worked) {
                self.desk.limits().settle_key(&claim, 0, now);
            }
            self.status = CLIENT_CLOSED_REQUEST;
        }
        self.desk.begins(provider, key);
        self.trying = Some(Trying {
            provider,
            key,
            model: Arc::clone(&stop.model),
            prices: self.desk.prices(),
            started: now,
            headed: None,
            ended: None,
            outcome: None,
            limited: None,
            worked: true,
            claim,
        });
    }

    /// The answer's head is there, or it is sure that none comes; the time it took.
    pub(crate) fn head_came(&mut self, now: Instant) -> Duration {
        if let Some(trying) = &mut self.trying {
            trying.headed = Some(now);
        }
        self.tried_for()
    }

    /// How long the attempt took to the head of its answer.
    pub(crate) fn tried_for(&self) -> Duration {
        let times = self.trying.as_ref().map(|trying| {
            let headed = trying.headed.unwrap_or(trying.started);
            headed.saturating_duration_since(trying.started)
        });
        times.unwrap_or_default()
    }

    /// The provider answered with this status: for that name, if it was not sure before,
    /// `model` is the series from now on.
    pub(crate) fn answered(&mut self, status: u16, error: Option<ErrorType>) {
        self.status = status;
        let Some(trying) = &mut self.trying else {
            return;
        };
        if error.is_none() {
            trying.model = self.desk.confirmed(trying.provider, &trying.model);
        } else {
            // An error answer says that no tokens were used.
            trying.worked = false;
            trying.outcome = Some(outcome(error));
            trying.limited = (error == Some(ErrorType::RateLimit)).then_some(Limit::Requests);
        }
    }

    /// The attempt failed without an answer. A provider that could not be reached did
    /// nothing; another may have.
    pub(crate) fn failed(&mut self, fault: UpstreamFault) {
        if let Some(trying) = &mut self.trying {
            trying.worked = fault != UpstreamFault::Connect;
            trying.outcome = Some(outcome(Some(fault.error())));
        }
        self.upstream_ended();
    }

    /// Notes the first token of a stream, now.
    pub(crate) fn first_token(&mut self) {
        self.first_token.get_or_insert_with(Instant::now);
    }

    /// Notes what is known of the tokens so far.
    pub(crate) fn seen(&mut self, seen: Seen) {
        self.seen = seen;
    }

    /// The provider has nothing more to say.
    pub(crate) fn upstream_ended(&mut self) {
        self.upstream_ended_at(Instant::now());
    }

    fn upstream_ended_at(&mut self, now: Instant) {
        if let Some(trying) = &mut self.trying
            && trying.ended.is_none()
        {
            trying.ended = Some(now);
            self.desk.ends(trying.provider, trying.key);
        }
    }

    /// The cost of what was seen, where it is known.
    pub(crate) fn cost(&self) -> Option<NanoUsd> {
        self.cost_of(&self.used())
    }

    /// The answer is the gateway's own.
    pub(crate) fn refuse(mut self: Box<Self>, refusal: &Refusal) {
        self.status = refusal.kind.status();
        self.settle(Some(refusal.error));
    }

    /// The request is over; `error` is why it failed, if it did.
    pub(crate) fn finish(mut self: Box<Self>, error: Option<ErrorType>) {
        self.settle(error);
    }

    /// The request is over, without a provider.
    pub(crate) fn finish_with(mut self: Box<Self>, status: u16) {
        self.status = status;
        self.settle(None);
    }

    /// The request is over, without a provider; `error` is why it failed, if it did.
    pub(crate) fn end_with(mut self, status: u16, error: Option<ErrorType>) {
        self.status = status;
        self.settle(error);
    }

    fn used(&self) -> Used {
        let none = Used {
            tokens: Tokens::default(),
            source: None,
        };
        let Some(trying) = &self.trying else {
            return none;
        };
        let Seen {
            usage,
            deltas,
            answer_bytes,
            ..
        } = self.seen;
        if let UsageOutcome::Reported(tokens) = usage {
            return Used {
                tokens,
                source: Some(UsageSource::Provider),
            };
        }
        if !trying.worked {
            return none;
        }
        if self.endpoint == Endpoint::CountTokens {
            // Its answer is a number of tokens that nobody used.
            return none;
        }
        if deltas == 0 && answer_bytes == 0 && usage.tokens().is_none() {
            // The provider may have worked and billed; nobody knows what.
            return Used {
                source: Some(UsageSource::Missing),
                ..none
            };
        }
        let output = match self.endpoint {
            Endpoint::Embeddings => 0,
            _ if deltas > 0 => deltas,
            _ => answer_bytes.div_ceil(BYTES_PER_TOKEN),
        };
        let mut tokens = Tokens {
            input: self.asked_bytes.div_ceil(BYTES_PER_TOKEN),
            output,
            ..Tokens::default()
        };
        if let UsageOutcome::Malformed {
            sure,
            is_input_known,
            is_output_known,
            ..
        } = usage
        {
            let estimate = tokens;
            tokens = sure;
            if !is_input_known {
                tokens.input = estimate.input;
            }
            if !is_output_known {
                tokens.output = estimate.output;
            }
        }
        Used {
            tokens,
            source: Some(UsageSource::Estimated),
        }
    }

    /// Nothing used costs nothing; what is not known is `None`.
    fn cost_of(&self, used: &Used) -> Option<NanoUsd> {
        match used.source {
            None => Some(NanoUsd::ZERO),
            Some(UsageSource::Missing) => None,
            Some(_) => {
                let trying = self.trying.as_ref()?;
                let list = trying.prices.0.of(trying.provider, &trying.model)?;
                list.cost(&self.seen.terms.bill(used.tokens)?)
            }
        }
    }

    fn settle(&mut self, error: Option<ErrorType>) {
        self.is_settled = true;
        self.error = error;
        let now = Instant::now();
        self.upstream_ended_at(now);
        self.learn_of_the_end(error, now);
        let used = self.used();
        let cost = self.cost_of(&used);
        let Used { tokens, source } = used;
        let latency = Micros::from(now - self.arrived);
        let last = self
            .trying
            .as_ref()
            .map(|trying| trying.attempt(now, error));
        let mut attempts = std::mem::take(&mut self.past);
        let attempts = if attempts.is_empty() {
            last.as_slice()
        } else {
            attempts.extend(last);
            &attempts
        };
        // One after the other, so that their sum is the time in which one was waited for.
        let waited: u64 = attempts.iter().map(|attempt| attempt.latency.0).sum();
        let no_one = self.desk.plan().no_one;
        let per_token = self.first_token.and_then(|first| {
            let last = self
                .trying
                .as_ref()
                .and_then(|trying| trying.ended)
                .unwrap_or(now);
            let gaps = tokens
                .total_output()
                .checked_sub(1)
                .filter(|gaps| *gaps > 0)?;
            Some(Micros(
                Micros::from(last.saturating_duration_since(first))
                    .0
                    .div_ceil(gaps),
            ))
        });
        let finished = self.desk.unix_millis(now);
        let record = Record {
            route: last.map_or(self.limited_key.unwrap_or(no_one.route), |last| last.route),
            client: self
                .client
                .map_or(no_one.client, |at| self.desk.plan().clients[at].series),
            endpoint: self.endpoint,
            request_id: Some(self.request_id.as_str()),
            finished,
            latency,
            overhead: Some(Micros(latency.0.saturating_sub(waited))),
            time_to_first_token: self
                .first_token
                .map(|first| Micros::from(first - self.arrived)),
            time_per_output_token: per_token,
            tokens,
            usage: source,
            cost,
            error,
            limited: self.limited,
            attempts,
        };
        self.desk.record(&record);
        // Nobody knows what a missing usage was: what was estimated stands.
        let is_known = source != Some(UsageSource::Missing);
        let used = is_known.then(|| tokens.total());
        let of_key = self.trying.as_mut().and_then(|trying| trying.claim.take());
        if let (Some(claim), Some(used)) = (of_key, used) {
            self.desk.limits().settle_key(&claim, used, now);
        }
        if let Some(claim) = self.claim.take() {
            let at = Moment {
                now,
                wall: finished,
            };
            self.desk.limits().settle(&claim, used, cost, at);
        }
        self.log(&record);
    }

    /// An answer whose beginning was fine has taught all there was, unless it broke off.
    fn learn_of_the_end(&self, error: Option<ErrorType>, now: Instant) {
        let broke_off = matches!(
            error,
            Some(ErrorType::Timeout | ErrorType::UpstreamProtocol | ErrorType::Upstream5xx)
        );
        if let Some(trying) = &self.trying
            && trying.outcome.is_none()
            && broke_off
        {
            self.desk.broke_off(trying.provider, trying.key, now);
        }
    }

    fn log(&self, record: &Record<'_>) {
        let plan = self.desk.plan();
        let none = || self.desk.none();
        let client = self.client.map(|at| &plan.clients[at]);
        let trying = self.trying.as_ref();
        self.desk.log(RequestLine {
            finished: record.finished,
            request_id: self.request_id,
            provider: trying.map_or_else(none, |t| plan.providers[t.provider].id.clone()),
            model: trying.map_or_else(none, |trying| trying.model.name.clone()),
            client_id: client.map_or_else(none, |client| client.id.clone()),
            client_key: client.map_or_else(none, |client| client.key_hint.clone()),
            status: self.status,
            latency: record.latency,
            tokens_used: record.tokens.total(),
            cost: record.cost,
            stream: self.is_stream,
            error: record.error,
        });
    }
}

impl Drop for Unsettled {
    fn drop(&mut self) {
        if !self.is_settled {
            self.status = CLIENT_CLOSED_REQUEST;
            self.settle(Some(ErrorType::ClientAbort));
        }
    }
}
