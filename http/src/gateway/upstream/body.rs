//! The body of a provider's answer, whoever the provider is.

use super::pool::Lease;
use crate::gateway::error::UpstreamFault;
use crate::gateway::simulated::SimBody;
use crate::wire::http1::BodyDecoder;
use bytes::Bytes;
use std::task::{Context, Poll, ready};

#[derive(Debug)]
pub(crate) enum UpstreamBody {
    Http {
        decoder: BodyDecoder,
        /// Until the body has ended.
        lease: Option<Lease>,
    },
    Simulated(SimBody),
}

impl UpstreamBody {
    /// The next bytes; `None` at the end, after which the connection is free again.
    pub(crate) fn poll_data(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, UpstreamFault>>> {
        let (decoder, open) = match self {
            Self::Simulated(body) => return body.poll_data(cx).map(|data| data.map(Ok)),
            Self::Http { decoder, lease } => (decoder, lease),
        };
        let Some(lease) = open else {
            return Poll::Ready(None);
        };
        Poll::Ready(match ready!(lease.connection.poll_body(cx, decoder)) {
            Some(Ok(data)) => Some(Ok(data)),
            Some(Err(error)) => {
                tracing::debug!(%error, "a provider's answer broke off");
                open.take();
                Some(Err(UpstreamFault::Protocol))
            }
            None => {
                if let Some(lease) = open.take() {
                    lease.give_back();
                }
                None
            }
        })
    }

    /// The length, where it was announced.
    pub(crate) fn exact_bytes(&self) -> Option<u64> {
        match self {
            Self::Http { decoder, .. } => decoder.left_bytes(),
            Self::Simulated(body) => body.exact_bytes(),
        }
    }
}
