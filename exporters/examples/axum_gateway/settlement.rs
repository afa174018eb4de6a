//! One record a request, whatever happens to it.

use crate::{Gateway, now};
use coo_llm_core::catalog::{ClientId, Route};
use coo_llm_core::record::{Attempt, Endpoint, ErrorType, Outcome, Record, Tokens, UsageSource};
use coo_llm_core::{Micros, NanoUsd};
use std::sync::Arc;
use std::time::Instant;

/// A request under way. Its drop makes the record: at the end of the handler, or when axum
/// drops the handler because the client has left, which is how it counts unless it is told
/// otherwise.
pub(crate) struct Settlement {
    gateway: Arc<Gateway>,
    client: ClientId,
    began: Instant,
    /// The model that was asked, and when.
    sent: Option<(Route, Instant)>,
    error: Option<ErrorType>,
    outcome: Outcome,
    /// What was used and what it cost; `None` where no model did work.
    used: Option<(Tokens, NanoUsd)>,
}

impl Settlement {
    pub(crate) fn begin(gateway: &Arc<Gateway>, client: &str) -> Self {
        let client = gateway
            .desks
            .here(|desk, catalog| desk.names.client(catalog, client));
        Self {
            client,
            gateway: Arc::clone(gateway),
            began: Instant::now(),
            sent: None,
            error: Some(ErrorType::ClientAbort),
            outcome: Outcome::ClientAbort,
            used: None,
        }
    }

    /// The model is being asked.
    pub(crate) fn sent_to(&mut self, route: Route) {
        self.sent = Some((route, Instant::now()));
        self.gateway
            .desks
            .here(|desk, _| desk.writer.active(route.provider, 1));
    }

    /// The model has answered.
    pub(crate) fn answered(&mut self, tokens: Tokens, cost: NanoUsd) {
        self.error = None;
        self.outcome = Outcome::Success;
        self.used = Some((tokens, cost));
    }

    /// No model was asked.
    pub(crate) fn failed(&mut self, error: ErrorType) {
        self.error = Some(error);
    }

    /// The model was asked and has not answered.
    pub(crate) fn refused_by_provider(&mut self, error: ErrorType, outcome: Outcome) {
        self.error = Some(error);
        self.outcome = outcome;
    }
}

impl Drop for Settlement {
    fn drop(&mut self) {
        let ended = Instant::now();
        let latency = Micros::from(ended - self.began);
        let attempt = self.sent.map(|(route, sent)| Attempt {
            route,
            outcome: self.outcome,
            latency: Micros::from(ended - sent),
            limited: None,
        });
        // Where a model was asked and its usage is not known, neither is the cost.
        let (tokens, usage, cost) = match (self.used, attempt) {
            (Some((tokens, cost)), _) => (tokens, Some(UsageSource::Provider), Some(cost)),
            (None, Some(_)) => (Tokens::default(), Some(UsageSource::Missing), None),
            (None, None) => (Tokens::default(), None, Some(NanoUsd::ZERO)),
        };
        let waited = attempt.map_or(Micros(0), |attempt| attempt.latency);
        let record = Record {
            route: attempt.map_or(self.gateway.nowhere, |attempt| attempt.route),
            client: self.client,
            endpoint: Endpoint::ChatCompletions,
            request_id: None,
            finished: now(),
            latency,
            overhead: Some(Micros(latency.0.saturating_sub(waited.0))),
            time_to_first_token: None,
            time_per_output_token: None,
            tokens,
            usage,
            cost,
            error: self.error,
            limited: None,
            attempts: attempt.as_slice(),
        };
        // Perhaps another thread than the one that began: the meter adds both up.
        self.gateway.desks.here(|desk, _| {
            desk.writer.record(&record);
            if let Some(attempt) = attempt {
                desk.writer.active(attempt.route.provider, -1);
            }
        });
    }
}
