//! What providers speak: everything in which they differ, in one file each.
//!
//! A [`Dialect`] is a list of [`Service`]s: for an endpoint of the gateway the path at the
//! provider, where the key goes, how the request is made from the client's, and how the
//! answer is read. docs/adding-a-provider.md goes through it.

mod anthropic;
mod gemini;
mod hearing;
mod openai;
mod refusals;
mod simulator;

pub(crate) use hearing::{Hearing, Translation};
pub(crate) use refusals::in_the_shape_of;

use crate::gateway::error::Refusal;
use crate::wire::envelope::Envelope;
use crate::wire::openai_error::ErrorKind;
use bytes::Bytes;
use coo_llm_config::ProviderType;
use coo_llm_core::record::Endpoint;

/// What a provider speaks.
#[derive(Debug)]
pub(crate) struct Dialect {
    /// As the configuration spells it.
    name: &'static str,
    services: &'static [Service],
}

/// How one endpoint of the gateway is served.
#[derive(Debug)]
pub(crate) struct Service {
    pub(crate) endpoint: Endpoint,
    /// The path at the provider, from that of its base URL (without a final `/`).
    pub(crate) path: fn(&str) -> String,
    /// What follows the path where it names the model: `{path}/{model}{verb}`.
    pub(crate) verb: Option<&'static str>,
    pub(crate) credential: Credential,
    /// A header that must be there, with its value where the client sends none.
    pub(crate) header: Option<(&'static str, &'static str)>,
    /// Makes the provider's body from the client's, and says how the answer is heard.
    pub(crate) make: fn(&Order<'_>) -> Result<(Bytes, Hearing), Refusal>,
}

/// Where the provider's key goes.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Credential {
    /// `Authorization: Bearer KEY`.
    Bearer,
    /// A header of its own, with the key and nothing else.
    Header(&'static str),
}

/// What a client ordered, for one attempt at one provider.
pub(crate) struct Order<'a> {
    pub(crate) body: &'a Bytes,
    pub(crate) envelope: &'a Envelope<'a>,
    /// The model's name at the provider.
    pub(crate) model: &'a str,
    pub(crate) now_unix_s: u64,
}

impl Dialect {
    /// That of a type of provider.
    pub(crate) const fn of(kind: ProviderType) -> &'static Self {
        match kind {
            ProviderType::OpenAi | ProviderType::Custom => &openai::DIALECT,
            ProviderType::Anthropic => &anthropic::DIALECT,
            ProviderType::Gemini => &gemini::DIALECT,
            ProviderType::Simulator => &simulator::DIALECT,
        }
    }

    pub(crate) const fn services(&self) -> &'static [Service] {
        self.services
    }

    /// The place of the service of an endpoint.
    pub(crate) fn place(&self, endpoint: Endpoint) -> Option<usize> {
        self.services
            .iter()
            .position(|service| service.endpoint == endpoint)
    }

    /// Why a request for an endpoint that it does not serve is refused.
    pub(crate) fn refusal(&self, endpoint: Endpoint) -> Refusal {
        let served: Vec<_> = self.services.iter().map(|s| s.endpoint.as_str()).collect();
        let message = format!(
            "The model is at a provider of type {}, which does not serve {}; it serves {}.",
            self.name,
            endpoint.as_str(),
            served.join(", ")
        );
        let kind = ErrorKind::InvalidRequest;
        Refusal::with_body(kind, kind.body_with(&message, Some("model")))
    }
}
