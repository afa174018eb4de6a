//! The response body: walks the steps of a plan.

use super::entry::Entry;
use super::gate::Gates;
use super::ledger::{End, TokenCounts};
use super::plan::{Plan, Step};
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

type Wait = Pin<Box<dyn Future<Output = ()> + Send>>;

/// A body that sends, sleeps, waits, hangs or aborts as planned.
pub(super) enum Reply {
    /// One piece that is ready.
    Plain(Option<Bytes>, Entry),
    /// A plan.
    Steps {
        plan: Plan,
        wait: Option<Wait>,
        gates: Gates,
        tokens: TokenCounts,
        entry: Entry,
    },
}

impl Body for Reply {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        match self.get_mut() {
            Self::Plain(bytes, entry) => {
                let Some(bytes) = bytes.take() else {
                    return Poll::Ready(None);
                };
                entry.end(End::Finished);
                Poll::Ready(Some(Ok(Frame::data(bytes))))
            }
            Self::Steps {
                plan,
                wait,
                gates,
                tokens,
                entry,
            } => loop {
                if let Some(future) = wait {
                    ready!(future.as_mut().poll(cx));
                    *wait = None;
                }
                match plan.steps.pop_front() {
                    None => {
                        entry.end(End::Finished);
                        return Poll::Ready(None);
                    }
                    Some(Step::Data {
                        bytes,
                        chunks_done,
                        usage_done,
                    }) => {
                        entry.delivered(&bytes, chunks_done, usage_done.then_some(*tokens));
                        if plan.steps.is_empty() {
                            entry.end(End::Finished);
                        }
                        return Poll::Ready(Some(Ok(Frame::data(bytes))));
                    }
                    Some(Step::Flood { bytes, left }) => {
                        entry.flooded(&bytes);
                        if let Some(left) = left.checked_sub(1).filter(|left| *left > 0) {
                            let bytes = bytes.clone();
                            plan.steps.push_front(Step::Flood { bytes, left });
                        }
                        return Poll::Ready(Some(Ok(Frame::data(bytes))));
                    }
                    Some(Step::Sleep(time)) => *wait = Some(Box::pin(tokio::time::sleep(time))),
                    Some(Step::Gate(name)) => *wait = Some(Box::pin(gates.passed(&name))),
                    Some(Step::Hang) => *wait = Some(Box::pin(std::future::pending())),
                    // hyper writes what it has before it asks again.
                    Some(Step::Flush) => *wait = Some(Box::pin(tokio::task::yield_now())),
                    Some(Step::Abort) => {
                        entry.end(End::CutByScript);
                        return Poll::Ready(Some(Err(io::Error::other("the script cuts here"))));
                    }
                }
            },
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Plain(bytes, _) => bytes.is_none(),
            Self::Steps { plan, wait, .. } => plan.steps.is_empty() && wait.is_none(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Plain(bytes, _) => {
                SizeHint::with_exact(bytes.as_ref().map_or(0, |b| b.len() as u64))
            }
            Self::Steps { plan, .. } => plan
                .length
                .map_or_else(SizeHint::default, SizeHint::with_exact),
        }
    }
}
