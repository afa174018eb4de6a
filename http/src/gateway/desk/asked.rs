//! A client's request, kept until it is answered: each attempt is made from it.

use crate::gateway::dialect::{Hearing, Order};
use crate::gateway::error::Refusal;
use crate::gateway::headers::{Stash, address, to_upstreams};
use crate::gateway::limits::Estimate;
use crate::gateway::plan::{HttpTarget, KeyPlan, Kind, ModelPlan, ProviderPlan};
use crate::wire::envelope::Envelope;
use bytes::Bytes;
use coo_llm_core::record::Endpoint;
use http::header::{HeaderMap, HeaderValue};
use http::request::Parts;
use http::{Method, Request, Uri};
use std::cell::RefCell;
use std::sync::Arc;

/// See the module.
pub(super) struct Asked<'a> {
    uri: Uri,
    /// Those that go on to any provider, until the first attempt takes them.
    headers: RefCell<Option<HeaderMap>>,
    /// The same for later attempts, if there can be any.
    stash: RefCell<Stash>,
    body: &'a Bytes,
    envelope: &'a Envelope<'a>,
    pub(super) endpoint: Endpoint,
    pub(super) request_id: HeaderValue,
    now_unix_s: u64,
    /// What was made for the provider of the next attempt.
    made: RefCell<Option<(Arc<str>, Made)>>,
}

/// What a provider is sent.
struct Made {
    /// Of the service, in the provider's dialect.
    place: usize,
    body: Bytes,
    hearing: Hearing,
}

/// An attempt, ready to go.
pub(super) struct Outgoing<'p> {
    pub(super) to: Recipient<'p>,
    /// How the answer is read, and what the client gets of it.
    pub(super) hearing: Hearing,
}

/// Who gets it, and what.
#[expect(
    clippy::large_enum_variant,
    reason = "it is taken apart at once; a box would be an allocation a request"
)]
pub(super) enum Recipient<'p> {
    Http(&'p HttpTarget, Request<Bytes>),
    Simulator(Bytes),
}

impl<'a> Asked<'a> {
    /// `envelope` is that of `body`.
    pub(super) fn new(
        head: Parts,
        body: &'a Bytes,
        envelope: &'a Envelope<'a>,
        endpoint: Endpoint,
        request_id: HeaderValue,
        now_unix_s: u64,
    ) -> Self {
        let Parts {
            uri, mut headers, ..
        } = head;
        to_upstreams(&mut headers, &request_id);
        Self {
            uri,
            headers: RefCell::new(Some(headers)),
            stash: RefCell::default(),
            body,
            envelope,
            endpoint,
            request_id,
            now_unix_s,
            made: RefCell::new(None),
        }
    }

    /// The tokens that it may use.
    pub(super) fn estimate(&self) -> Estimate {
        Estimate::new(self.endpoint, self.body.len(), self.envelope)
    }

    /// Makes what this provider is sent for the model, and keeps it for the attempt.
    ///
    /// # Errors
    /// A refusal where the provider does not serve the endpoint, or where what the client
    /// asks for cannot be said in its dialect.
    pub(super) fn prepare(&self, provider: &ProviderPlan, model: &str) -> Result<(), Refusal> {
        let made = self.made(provider, model)?;
        self.made.replace(Some((Arc::clone(&provider.id), made)));
        Ok(())
    }

    fn made(&self, provider: &ProviderPlan, model: &str) -> Result<Made, Refusal> {
        let dialect = provider.dialect;
        let place = dialect
            .place(self.endpoint)
            .ok_or_else(|| dialect.refusal(self.endpoint))?;
        let (body, hearing) = (dialect.services()[place].make)(&Order {
            body: self.body,
            envelope: self.envelope,
            model,
            now_unix_s: self.now_unix_s,
        })?;
        Ok(Made {
            place,
            body,
            hearing,
        })
    }

    /// Makes the request that this provider gets, from what the client sent and as the
    /// provider's dialect has it.
    ///
    /// `is_last` says that no other attempt can follow, so that nothing need be kept.
    ///
    /// # Errors
    /// As [`Self::prepare`], where that was not called for this provider.
    pub(super) fn outgoing<'p>(
        &self,
        provider: &'p ProviderPlan,
        model: &ModelPlan,
        key: &KeyPlan,
        is_last: bool,
    ) -> Result<Outgoing<'p>, Refusal> {
        // A provider gets the same model in every attempt.
        let made = self.made.take().filter(|(id, _)| *id == provider.id);
        let Made {
            place,
            body,
            hearing,
        } = match made {
            Some((_, made)) => made,
            None => self.made(provider, &model.name)?,
        };
        let to = match &provider.kind {
            Kind::Simulator(_) => Recipient::Simulator(body),
            Kind::Http(target) => {
                let uri = target.uri(place, &model.name, self.uri.query());
                let mut headers = self.headers(is_last);
                let service = &provider.dialect.services()[place];
                address(&mut headers, &target.authority, service, key.sent.as_ref());
                let mut request = Request::new(body);
                *request.method_mut() = Method::POST;
                *request.uri_mut() = uri;
                *request.headers_mut() = headers;
                Recipient::Http(target, request)
            }
        };
        Ok(Outgoing { to, hearing })
    }

    fn headers(&self, is_last: bool) -> HeaderMap {
        match self.headers.take() {
            Some(headers) => {
                if !is_last {
                    self.stash.replace(Stash::of(&headers));
                }
                headers
            }
            None => self.stash.borrow().headers(),
        }
    }
}
