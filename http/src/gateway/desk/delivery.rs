//! A request's way to a provider, in one attempt or several.

use super::Desk;
use super::answer::{Reply, refuse};
use super::asked::{Asked, Recipient};
use crate::gateway::error::UpstreamFault;
use crate::gateway::headers::{X_COO_MODEL, X_COO_PROVIDER};
use crate::gateway::plan::{Choice, HttpTarget};
use crate::gateway::settlement::Settlement;
use crate::gateway::simulated::{self, SimBody};
use crate::gateway::upstream::{self, UpstreamBody};
use bytes::Bytes;
use coo_llm_core::record::Endpoint;
use http::header::{HeaderMap, HeaderValue};
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use std::sync::Arc;

impl Desk {
    /// Tries providers until one answers, and begins the answer.
    pub(super) async fn deliver(
        &self,
        mut asked: Asked<'_>,
        choice: Choice<'_>,
        mut settlement: Settlement,
    ) -> Reply {
        let provider = choice.provider;
        let plan = &self.plan.providers[provider];
        let model = self.model(provider, choice.model);
        let key = self.key(provider);
        let marks = Marks {
            provider: HeaderValue::from_str(&plan.id).ok(),
            model: HeaderValue::from_str(&model.name).ok(),
        };
        let outgoing = asked.outgoing(plan, &model, &plan.keys[key], true);
        settlement.begin(provider, model, key);
        let response = match outgoing.to {
            Recipient::Simulator(body) => self.simulate(provider, asked.endpoint, &body).await,
            Recipient::Http(target, request) => self.send(provider, target, request).await,
        };
        let mut reply = match response {
            Ok(response) => {
                let request_id = &asked.request_id;
                self.relay(response, provider, outgoing.mode, settlement, request_id)
                    .await
            }
            Err(fault) => {
                settlement.failed(fault);
                refuse(settlement, &fault.refusal())
            }
        };
        marks.put(reply.headers_mut());
        reply
    }

    async fn send(
        &self,
        provider: usize,
        target: &HttpTarget,
        request: Request<Full<Bytes>>,
    ) -> Result<Response<UpstreamBody>, UpstreamFault> {
        let addresses = Arc::clone(&self.addresses.borrow());
        let (pool, plan) = (&self.pools[provider], &self.plan.providers[provider]);
        let sent = upstream::send(pool, plan, target, addresses.of(provider), request).await?;
        let (response, lease) = sent;
        Ok(response.map(|incoming| UpstreamBody::Http {
            incoming,
            lease: Some(lease),
        }))
    }

    async fn simulate(
        &self,
        provider: usize,
        endpoint: Endpoint,
        body: &[u8],
    ) -> Result<Response<UpstreamBody>, UpstreamFault> {
        let now_unix_s = self.anchor.get().1.0 / 1000;
        let reply = self.simulators[provider].as_ref().and_then(|simulator| {
            let simulator = &mut simulator.borrow_mut();
            simulated::reply(simulator, endpoint, body, now_unix_s)
        });
        let reply = reply.ok_or(UpstreamFault::Protocol)?;
        coo_llm_runtime::sleep(reply.after).await;
        let mut response = Response::new(());
        *response.status_mut() =
            StatusCode::from_u16(reply.status).map_err(|_| UpstreamFault::Protocol)?;
        *response.headers_mut() = simulated::headers(&reply);
        Ok(response.map(|()| UpstreamBody::Simulated(SimBody::new(reply.content))))
    }
}

/// What is said of every answer from a provider.
struct Marks {
    provider: Option<HeaderValue>,
    model: Option<HeaderValue>,
}

impl Marks {
    fn put(self, headers: &mut HeaderMap) {
        for (name, value) in [(X_COO_PROVIDER, self.provider), (X_COO_MODEL, self.model)] {
            // A name that no header can carry is left out.
            if let Some(value) = value {
                headers.insert(name, value);
            }
        }
    }
}
