//! Turns `tracing` events into lines. Spans carry nothing here: each event says all
//! of its own, which keeps a registry of open spans off the hot path.

use super::line::render_event;
use super::{LogHandle, Message};
use coo_llm_runtime::unix_ms;
use tracing::level_filters::LevelFilter;
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

/// The subscriber of this process.
pub(crate) struct JsonSubscriber {
    log: LogHandle,
}

impl JsonSubscriber {
    pub(crate) fn new(log: LogHandle) -> Self {
        Self { log }
    }
}

impl Subscriber for JsonSubscriber {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.is_event() && *metadata.level() <= self.log.level()
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(self.log.level().into())
    }

    fn event(&self, event: &Event<'_>) {
        self.log.send(Message::Text(render_event(unix_ms(), event)));
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }
    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}
