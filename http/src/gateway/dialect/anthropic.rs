//! Anthropic's Messages API: passed through, and OpenAI's chat translated to it.

use super::hearing::Wish;
use super::{Credential, Dialect, Hearing, Order, Service, Translation};
use crate::gateway::error::Refusal;
use crate::wire::anthropic::chat_stream::ChatStream;
use crate::wire::anthropic::{chat_answer, chat_request, error};
use crate::wire::openai_error::ErrorKind;
use crate::wire::sse::SseUsage;
use crate::wire::{UsageDialect, rewrite};
use bytes::Bytes;
use coo_llm_core::record::Endpoint;

pub(super) const DIALECT: Dialect = Dialect {
    name: "anthropic",
    services: &[
        service(
            Endpoint::Messages,
            |base| format!("{}/v1/messages", root(base)),
            as_asked,
        ),
        service(
            Endpoint::CountTokens,
            |base| format!("{}/v1/messages/count_tokens", root(base)),
            as_asked,
        ),
        service(
            Endpoint::ChatCompletions,
            |base| format!("{}/v1/messages", root(base)),
            translated,
        ),
    ],
};

/// The version of the API: where the client names none, and of what is translated. The
/// next one, 2026-10-21, has no `temperature` and `top_p`, which clients of OpenAI send.
const VERSION: (&str, &str) = ("anthropic-version", "2023-06-01");

static CHAT: Translation = Translation {
    usage: UsageDialect::Anthropic,
    stream: |wish| {
        let chat = ChatStream::new(wish.created_unix_s, wish.include_usage);
        SseUsage::translating(chat)
    },
    answer: |body, wish| chat_answer::translate(body, wish.created_unix_s),
    error: error::to_openai,
};

const fn service(
    endpoint: Endpoint,
    path: fn(&str) -> String,
    make: fn(&Order<'_>) -> Result<(Bytes, Hearing), Refusal>,
) -> Service {
    Service {
        endpoint,
        path,
        verb: None,
        credential: Credential::Header("x-api-key"),
        header: Some(VERSION),
        make,
    }
}

/// Base URLs come with and without the version; Anthropic's SDK has them without.
fn root(base: &str) -> &str {
    base.strip_suffix("/v1").unwrap_or(base)
}

fn as_asked(order: &Order<'_>) -> Result<(Bytes, Hearing), Refusal> {
    let body = rewrite(order.body, order.envelope, Some(order.model), false);
    Ok((body, Hearing::Pass(UsageDialect::Anthropic)))
}

fn translated(order: &Order<'_>) -> Result<(Bytes, Hearing), Refusal> {
    let body = chat_request::translate(order.body, order.model).map_err(|error| {
        let kind = ErrorKind::InvalidRequest;
        Refusal::with_body(kind, kind.body_with(&error.message, Some(&error.param)))
    })?;
    let wish = Wish {
        include_usage: order.envelope.include_usage == Some(true),
        created_unix_s: order.now_unix_s,
    };
    Ok((body, Hearing::Translated { by: &CHAT, wish }))
}
