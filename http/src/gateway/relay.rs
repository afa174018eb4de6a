//! Passes a provider's body to the client as it comes, and reads its usage on the way.
//!
//! Nothing is kept but the frame that is being sent: hyper asks for the next one when
//! the client has taken the last, so a slow client slows the provider down.

use super::error::UpstreamFault;
use super::settlement::{Seen, Settlement};
use super::upstream::UpstreamBody;
use crate::wire::UsageDialect;
use crate::wire::gemini::array::ArrayUsage;
use crate::wire::json_usage::JsonUsageScanner;
use crate::wire::sse::{SseFacts, SseUsage};
use bytes::Bytes;
use coo_llm_core::record::ErrorType;
use coo_llm_runtime::{CoarseTimer, coarse_now};
use hyper::rt::{Sleep, Timer};
use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

/// Reads one kind of body.
#[derive(Debug)]
pub(crate) enum Reader {
    Sse(Box<SseUsage>),
    /// A stream that is one JSON array.
    Elements(Box<ArrayUsage>),
    Json {
        scanner: Box<JsonUsageScanner>,
        bytes: u64,
        /// Compressed all the same: its bytes say nothing.
        is_encoded: bool,
    },
}

impl Reader {
    pub(crate) fn sse(sse: SseUsage) -> Self {
        Self::Sse(Box::new(sse))
    }

    pub(crate) fn elements() -> Self {
        Self::Elements(Box::default())
    }

    pub(crate) fn json(dialect: UsageDialect, is_encoded: bool) -> Self {
        Self::Json {
            scanner: Box::new(JsonUsageScanner::of(dialect)),
            bytes: 0,
            is_encoded,
        }
    }

    /// Reads the next bytes; what goes on to the client, and whether the first token was there.
    pub(crate) fn push(&mut self, data: Bytes) -> (Bytes, bool) {
        match self {
            Self::Sse(sse) => {
                let step = sse.push(data);
                (step.forward, step.has_first_token)
            }
            Self::Elements(array) => {
                let has_first_token = array.push(&data);
                (data, has_first_token)
            }
            Self::Json { scanner, bytes, .. } => {
                scanner.push(&data);
                *bytes += data.len() as u64;
                (data, false)
            }
        }
    }

    /// What was held back at the end.
    fn rest(&mut self) -> (Bytes, bool) {
        match self {
            Self::Sse(sse) => {
                let step = sse.finish();
                (step.forward, step.has_first_token)
            }
            Self::Elements(array) => {
                array.finish();
                (Bytes::new(), false)
            }
            Self::Json { .. } => (Bytes::new(), false),
        }
    }

    /// What a stream has said so far; `None` of another answer.
    fn facts(&self) -> Option<&SseFacts> {
        match self {
            Self::Sse(sse) => Some(sse.facts()),
            Self::Elements(array) => Some(array.facts()),
            Self::Json { .. } => None,
        }
    }

    /// What is known of the tokens so far.
    fn seen(&self) -> Seen {
        match self {
            Self::Sse(_) | Self::Elements(_) => {
                self.facts().map_or_else(Seen::default, |facts| Seen {
                    usage: facts.usage,
                    terms: facts.terms,
                    deltas: facts.deltas,
                    answer_bytes: 0,
                })
            }
            Self::Json { bytes, .. } => Seen {
                answer_bytes: *bytes,
                ..Seen::default()
            },
        }
    }

    /// Whether a stream has come to its last event.
    fn has_said_all(&self) -> bool {
        self.facts().is_some_and(|facts| facts.is_done)
    }

    /// What is known at the end, and whether the answer says that it failed or is not whole.
    pub(crate) fn conclude(self) -> (Seen, Option<ErrorType>) {
        let seen = self.seen();
        let stream_error = self.facts().and_then(|facts| {
            if facts.has_error {
                Some(ErrorType::Upstream5xx)
            } else if facts.is_truncated || (facts.unreadable_events > 0 && !facts.is_done) {
                Some(ErrorType::UpstreamProtocol)
            } else {
                None
            }
        });
        match self {
            Self::Sse(_) | Self::Elements(_) => (seen, stream_error),
            Self::Json {
                scanner,
                is_encoded,
                ..
            } => {
                let facts = scanner.finish();
                let is_broken = !facts.is_whole && !is_encoded;
                let error = is_broken.then_some(ErrorType::UpstreamProtocol);
                (
                    Seen {
                        usage: facts.usage,
                        terms: facts.terms,
                        ..seen
                    },
                    error,
                )
            }
        }
    }
}

/// A body under way from a provider to a client.
pub(crate) struct Relay {
    body: UpstreamBody,
    /// What was read before the relay began.
    first: Option<Bytes>,
    /// `None` once the end has come.
    open: Option<Open>,
    /// Bytes that are still to come, where a length was announced. hyper asks for no more
    /// than those, so the last of them is the end.
    left_bytes: Option<u64>,
    /// Whether data was handed on since the last wait: hyper may hold it still.
    has_handed: bool,
    /// A break that came right behind data. hyper drops what it holds when a body fails, so
    /// it gets a turn to write first what was delivered.
    broken: Option<UpstreamFault>,
    patience: Patience,
}

struct Open {
    reader: Reader,
    settlement: Settlement,
}

impl fmt::Debug for Relay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Relay")
            .field("body", &self.body)
            .finish_non_exhaustive()
    }
}

impl Relay {
    pub(crate) fn new(
        body: UpstreamBody,
        first: Option<Bytes>,
        reader: Reader,
        settlement: Settlement,
        patience: Patience,
    ) -> Self {
        Self {
            body,
            first,
            open: Some(Open { reader, settlement }),
            left_bytes: None,
            has_handed: false,
            broken: None,
            patience,
        }
    }

    /// Of an answer whose whole length is known.
    pub(crate) fn of_bytes(mut self, bytes: Option<u64>) -> Self {
        self.left_bytes = bytes;
        self
    }

    pub(crate) fn is_ended(&self) -> bool {
        self.open.is_none()
    }

    pub(crate) fn poll_data(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, UpstreamFault>>> {
        if let Some(first) = self.first.take() {
            self.passes(&first, cx);
            self.has_handed = true;
            return Poll::Ready(Some(Ok(first)));
        }
        if let Some(fault) = self.broken.take() {
            return self.fail(fault);
        }
        loop {
            let Some(open) = &mut self.open else {
                return Poll::Ready(None);
            };
            let (forward, first_token) = match self.body.poll_data(cx) {
                Poll::Pending => {
                    self.has_handed = false;
                    if self.patience.poll_is_over(cx) {
                        return self.fail(UpstreamFault::Timeout);
                    }
                    return Poll::Pending;
                }
                Poll::Ready(Some(Err(fault))) if self.has_handed => {
                    self.broken = Some(fault);
                    cx.waker().wake_by_ref();
                    return Poll::Pending;
                }
                Poll::Ready(Some(Err(fault))) => return self.fail(fault),
                Poll::Ready(Some(Ok(data))) => {
                    self.patience.renew();
                    open.reader.push(data)
                }
                Poll::Ready(None) => {
                    let rest = open.reader.rest();
                    if rest.1 {
                        open.settlement.first_token();
                    }
                    self.end();
                    if rest.0.is_empty() {
                        return Poll::Ready(None);
                    }
                    return Poll::Ready(Some(Ok(rest.0)));
                }
            };
            if first_token {
                open.settlement.first_token();
            }
            if !forward.is_empty() {
                self.passes(&forward, cx);
                self.has_handed = true;
                return Poll::Ready(Some(Ok(forward)));
            }
        }
    }

    /// Counts what goes to the client; with the last announced byte the answer is over.
    fn passes(&mut self, data: &Bytes, cx: &mut Context<'_>) {
        if let Some(left) = &mut self.left_bytes {
            *left = left.saturating_sub(data.len() as u64);
            if *left == 0 {
                // The provider's end too, so that its connection is free again.
                let _end = self.body.poll_data(cx);
                self.end();
            }
        }
    }

    fn end(&mut self) {
        if let Some(Open {
            reader,
            mut settlement,
        }) = self.open.take()
        {
            let (seen, error) = reader.conclude();
            settlement.seen(seen);
            settlement.upstream_ended();
            settlement.finish(error);
        }
    }

    /// The client sees the break: hyper closes the connection without the body's end.
    fn fail(&mut self, fault: UpstreamFault) -> Poll<Option<Result<Bytes, UpstreamFault>>> {
        if let Some(Open {
            reader,
            mut settlement,
        }) = self.open.take()
        {
            settlement.seen(reader.seen());
            settlement.upstream_ended();
            settlement.finish(Some(fault.error()));
        }
        Poll::Ready(Some(Err(fault)))
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        // The client went away: what was delivered is what counts, and the body's drop
        // ends the provider's work. Who leaves at `[DONE]`, as OpenAI's SDK does, has had
        // all of it; else the settlement's own drop says that it was an abort.
        if let Some(Open {
            reader,
            mut settlement,
        }) = self.open.take()
        {
            settlement.upstream_ended();
            if let Some(fault) = self.broken {
                settlement.seen(reader.seen());
                settlement.finish(Some(fault.error()));
            } else if reader.has_said_all() {
                let (seen, error) = reader.conclude();
                settlement.seen(seen);
                settlement.finish(error);
            } else {
                settlement.seen(reader.seen());
            }
        }
    }
}

/// How long a body may take, between two frames and in all.
pub(crate) struct Patience {
    idle: Duration,
    deadline: Instant,
    last: Instant,
    alarm: Option<Pin<Box<dyn Sleep>>>,
}

impl Patience {
    /// From now on: at most `idle` between two frames, and `total` in all.
    pub(crate) fn new(idle: Duration, total: Duration) -> Self {
        let now = coarse_now();
        // What overflows the clock is as good as for ever.
        let deadline = now
            .checked_add(total)
            .unwrap_or(now + Duration::from_secs(1 << 32));
        Self {
            idle,
            deadline,
            last: now,
            alarm: None,
        }
    }

    /// A frame came.
    pub(crate) fn renew(&mut self) {
        self.last = coarse_now();
    }

    /// Whether the time is up; else the task is woken when it may be.
    ///
    /// The alarm is not moved with each frame: it looks again when it rings.
    pub(crate) fn poll_is_over(&mut self, cx: &mut Context<'_>) -> bool {
        loop {
            let until = self.deadline.min(self.last + self.idle);
            let alarm = self
                .alarm
                .get_or_insert_with(|| CoarseTimer.sleep_until(until));
            if alarm.as_mut().poll(cx).is_pending() {
                return false;
            }
            if Instant::now() >= until {
                return true;
            }
            self.alarm = None;
        }
    }
}
