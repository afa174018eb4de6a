//! The simulator as a provider: its answers, in time.

use super::plan::SimPlan;
use crate::wire::simulator::{
    SimContent, SimEndpoint, SimFrame, SimReply, SimRequest, SimStream, Simulator,
};
use bytes::Bytes;
use coo_llm_core::record::Endpoint;
use coo_llm_runtime::{LocalBoxFuture, sleep};
use http::header::{CONTENT_TYPE, HeaderMap, HeaderValue, RETRY_AFTER};
use std::fmt;
use std::task::{Context, Poll, ready};

/// A simulator for one worker.
pub(crate) fn simulator(plan: &SimPlan, worker: usize) -> Simulator {
    // Workers differ, and runs of the same configuration do not.
    Simulator::new(plan.profile.clone(), plan.seed.wrapping_add(worker as u64))
}

/// Decides the answer to a request whose body was accepted as an envelope before.
pub(crate) fn reply(
    simulator: &mut Simulator,
    endpoint: Endpoint,
    body: &[u8],
    now_unix_s: u64,
) -> Option<SimReply> {
    let endpoint = match endpoint {
        Endpoint::ChatCompletions => SimEndpoint::ChatCompletions,
        Endpoint::Completions => SimEndpoint::Completions,
        Endpoint::Embeddings => SimEndpoint::Embeddings,
        _ => return None,
    };
    let request = SimRequest::parse(endpoint, body).ok()?;
    Some(simulator.reply(&request, now_unix_s))
}

/// The headers of an answer.
pub(crate) fn headers(reply: &SimReply) -> HeaderMap {
    let mut headers = HeaderMap::new();
    let kind = match reply.content {
        SimContent::Json(_) => "application/json",
        SimContent::Stream(_) => "text/event-stream; charset=utf-8",
    };
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    if let Some(seconds) = reply.retry_after_s {
        headers.insert(RETRY_AFTER, seconds.into());
    }
    headers
}

/// The body of an answer; a stream's frames come after their pauses.
pub(crate) enum SimBody {
    Json(Option<Bytes>),
    Stream {
        frames: Box<SimStream>,
        next: Option<(LocalBoxFuture<'static, ()>, Bytes)>,
    },
}

impl fmt::Debug for SimBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Json(_) => "SimBody::Json",
            Self::Stream { .. } => "SimBody::Stream",
        })
    }
}

impl SimBody {
    pub(crate) fn new(content: SimContent) -> Self {
        match content {
            SimContent::Json(bytes) => Self::Json(Some(bytes)),
            SimContent::Stream(frames) => Self::Stream { frames, next: None },
        }
    }

    pub(crate) fn exact_bytes(&self) -> Option<u64> {
        match self {
            Self::Json(bytes) => Some(bytes.as_ref().map_or(0, |bytes| bytes.len() as u64)),
            Self::Stream { .. } => None,
        }
    }

    pub(crate) fn poll_data(&mut self, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        let (frames, next) = match self {
            Self::Json(bytes) => return Poll::Ready(bytes.take()),
            Self::Stream { frames, next } => (frames, next),
        };
        if next.is_none() {
            let Some(SimFrame { after, bytes }) = frames.next() else {
                return Poll::Ready(None);
            };
            if after.is_zero() {
                return Poll::Ready(Some(bytes));
            }
            *next = Some((Box::pin(sleep(after)), bytes));
        }
        if let Some((pause, _)) = next {
            ready!(pause.as_mut().poll(cx));
        }
        Poll::Ready(next.take().map(|(_, bytes)| bytes))
    }
}
