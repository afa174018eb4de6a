//! OpenAI's API, and whatever speaks it. The body passes byte for byte but for the
//! model's name and the wish for a stream's usage.

use super::{Credential, Dialect, Hearing, Order, Service};
use crate::gateway::error::Refusal;
use crate::wire::{UsageDialect, rewrite};
use bytes::Bytes;
use coo_llm_core::record::Endpoint;

pub(super) const DIALECT: Dialect = Dialect {
    name: "openai",
    services: &[
        CHAT_COMPLETIONS,
        COMPLETIONS,
        EMBEDDINGS,
        service(
            Endpoint::Responses,
            |base| format!("{base}/responses"),
            as_asked,
        ),
    ],
};

pub(super) const CHAT_COMPLETIONS: Service = service(
    Endpoint::ChatCompletions,
    |base| format!("{base}/chat/completions"),
    with_usage,
);

pub(super) const COMPLETIONS: Service = service(
    Endpoint::Completions,
    |base| format!("{base}/completions"),
    with_usage,
);

pub(super) const EMBEDDINGS: Service = service(
    Endpoint::Embeddings,
    |base| format!("{base}/embeddings"),
    as_asked,
);

const fn service(
    endpoint: Endpoint,
    path: fn(&str) -> String,
    make: fn(&Order<'_>) -> Result<(Bytes, Hearing), Refusal>,
) -> Service {
    Service {
        endpoint,
        path,
        verb: None,
        credential: Credential::Bearer,
        header: None,
        make,
    }
}

/// A stream without usage is asked for it; the client does not see what it did not ask.
fn with_usage(order: &Order<'_>) -> Result<(Bytes, Hearing), Refusal> {
    let asks = order.envelope.can_ask_usage();
    let body = rewrite(order.body, order.envelope, Some(order.model), asks);
    let hearing = if asks {
        Hearing::HideUsage
    } else {
        Hearing::Pass(UsageDialect::OpenAi)
    };
    Ok((body, hearing))
}

fn as_asked(order: &Order<'_>) -> Result<(Bytes, Hearing), Refusal> {
    let body = rewrite(order.body, order.envelope, Some(order.model), false);
    Ok((body, Hearing::Pass(UsageDialect::OpenAi)))
}
