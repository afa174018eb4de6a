//! `POST /ingest/v1/records`: a body of lines, counted as they come.
//!
//! Such a request is no request to a model: it has no settlement and no record of its
//! own, only those of its lines.

use super::Desk;
use super::answer::{Reply, header_value, own_reply, too_large};
use crate::gateway::error::Refusal;
use crate::gateway::headers::X_REQUEST_ID;
use crate::gateway::ingest::{Batch, IngestCounters, Intake, Report, Tally, UnpackFault, Unpacker};
use crate::gateway::server::Watch;
use crate::wire::ingest::{Fault, LINE_BYTES_MAX, Lines, Text};
use crate::wire::openai_error::ErrorKind;
use coo_llm_config::IngestRight;
use coo_llm_core::UnixMillis;
use http::header::{ALLOW, CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderValue};
use http::request::Parts;
use http::{Method, StatusCode};
use http_body::Body as _;
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use std::cell::RefCell;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// What is worked off in one go, about 1 ms of the worker's time. Then others have their turn.
const TURN_BYTES_MAX: usize = 256 * 1024;
/// The pause between two turns, and before another look at a part of the ledger that is in
/// use. The shortest sleep there is: a task that wakes itself would keep timers waiting.
const PAUSE: Duration = Duration::from_millis(1);

/// One worker's part of ingest.
#[derive(Debug)]
pub(super) struct IngestDesk {
    intake: RefCell<Intake>,
    counters: Arc<IngestCounters>,
}

impl IngestDesk {
    pub(super) fn new(counters: Arc<IngestCounters>) -> Self {
        Self {
            intake: RefCell::default(),
            counters,
        }
    }
}

/// A body on its way in.
#[derive(Default)]
struct Intaking {
    client: usize,
    lines: Lines,
    batch: Batch,
    report: Report,
    /// Of the report's rejected lines, those that are in the counters.
    rejected_counted: u64,
    /// Of the body, unpacked.
    bytes: usize,
    /// Since the last pause.
    turn_bytes: usize,
}

impl Desk {
    /// Takes in the records of one request.
    pub(super) async fn ingest(&self, head: Parts, body: Incoming, watch: &Watch) -> Reply {
        let request_id = self.request_id(head.headers.get(X_REQUEST_ID).map(HeaderValue::as_bytes));
        let mut reply = match self.may_ingest(&head, &body, watch) {
            Ok((client, unpacker)) => self.take_in(client, unpacker, body, watch).await,
            Err(refusal) => own_reply(refusal.kind, refusal.body),
        };
        if reply.status() == StatusCode::METHOD_NOT_ALLOWED {
            let post = HeaderValue::from_static("POST");
            reply.headers_mut().insert(ALLOW, post);
        }
        let id = header_value(&request_id);
        reply.headers_mut().insert(X_REQUEST_ID, id);
        self.fixtures
            .ingest
            .counters
            .answered(reply.status().as_u16());
        reply
    }

    /// Who sends, and how the body is packed; a refusal where it will not be read.
    fn may_ingest(
        &self,
        head: &Parts,
        body: &Incoming,
        watch: &Watch,
    ) -> Result<(usize, Unpacker), Refusal> {
        if head.method != Method::POST {
            return Err(Refusal::new(ErrorKind::MethodNotAllowed));
        }
        let client = self.client(&head.headers, watch).map_err(Refusal::new)?;
        if self.plan.clients[client].ingest == IngestRight::Off {
            let message = "This API key may not send records: its `ingest` is off.";
            let body = ErrorKind::PermissionDenied.body_with(message, None);
            return Err(Refusal::with_body(ErrorKind::PermissionDenied, body));
        }
        if !is_ndjson(&head.headers) {
            return Err(Refusal::new(ErrorKind::UnsupportedMediaType));
        }
        let unpacker = Unpacker::of(head.headers.get(CONTENT_ENCODING)).ok_or_else(|| {
            let message = "The content encoding has to be gzip or identity.";
            let body = ErrorKind::UnsupportedMediaType.body_with(message, None);
            Refusal::with_body(ErrorKind::UnsupportedMediaType, body)
        })?;
        let bytes_max = self.plan.body_bytes_max;
        if usize::try_from(body.size_hint().lower()).is_ok_and(|bytes| bytes > bytes_max) {
            return Err(too_large(bytes_max));
        }
        Ok((client, unpacker))
    }

    async fn take_in(
        &self,
        client: usize,
        mut unpacker: Unpacker,
        mut body: Incoming,
        watch: &Watch,
    ) -> Reply {
        let mut intaking = Intaking {
            client,
            ..Intaking::default()
        };
        watch.reads_body();
        let taken = self
            .take_body(&mut unpacker, &mut body, &mut intaking)
            .await;
        watch.works();
        let report = intaking.report;
        let refusal = match taken {
            Err(refusal) => refusal,
            Ok(()) if report.is_all_rejected() => {
                invalid("No line of the body is a record that can be taken.")
            }
            Ok(()) => {
                let mut reply = own_reply(ErrorKind::InvalidRequest, report.body(None));
                *reply.status_mut() = StatusCode::OK;
                return reply;
            }
        };
        own_reply(refusal.kind, report.body(Some(&refusal.body)))
    }

    /// Reads the body to its end; what was counted before a refusal stays counted.
    async fn take_body(
        &self,
        unpacker: &mut Unpacker,
        body: &mut Incoming,
        intaking: &mut Intaking,
    ) -> Result<(), Refusal> {
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|_| invalid("The request body broke off."))?;
            let Ok(packed) = frame.into_data() else {
                continue;
            };
            let mut packed = &*packed;
            while !packed.is_empty() {
                let plain = unpacker.next(&mut packed).map_err(not_gzip)?;
                self.take_piece(plain, intaking).await?;
            }
        }
        self.take_piece(unpacker.finish().map_err(not_gzip)?, intaking)
            .await?;
        let now = self.unix_millis(Instant::now());
        let (lines, mut reading) = intaking.parts(now);
        if let Some((number, text)) = lines.last() {
            self.read_line(&mut reading, number, text);
        }
        self.settle(intaking).await;
        Ok(())
    }

    async fn take_piece(&self, mut piece: &[u8], intaking: &mut Intaking) -> Result<(), Refusal> {
        let bytes_max = self.plan.body_bytes_max;
        intaking.bytes = intaking.bytes.saturating_add(piece.len());
        if intaking.bytes > bytes_max {
            return Err(too_large(bytes_max));
        }
        while !piece.is_empty() {
            let before = piece.len();
            let now = self.unix_millis(Instant::now());
            let (lines, mut reading) = intaking.parts(now);
            while !reading.batch.is_full()
                && let Some((number, text)) = lines.next(&mut piece)
            {
                self.read_line(&mut reading, number, text);
            }
            intaking.turn_bytes += before - piece.len();
            self.settle(intaking).await;
            if intaking.turn_bytes >= TURN_BYTES_MAX {
                intaking.turn_bytes = 0;
                coo_llm_runtime::sleep(PAUSE).await;
            }
        }
        Ok(())
    }

    /// Claims and records what was read.
    async fn settle(&self, intaking: &mut Intaking) {
        let counters = &self.fixtures.ingest.counters;
        let rejected = intaking.report.tally.rejected;
        counters.add(Tally {
            rejected: rejected - intaking.rejected_counted,
            ..Tally::default()
        });
        intaking.rejected_counted = rejected;
        loop {
            let now = Instant::now();
            let tally = {
                let mut writer = self.fixtures.writer.borrow_mut();
                intaking.batch.settle(&counters.ledger, &mut writer, now)
            };
            counters.add(tally);
            intaking.report.tally += tally;
            if intaking.batch.is_settled() {
                break;
            }
            counters.was_busy();
            coo_llm_runtime::sleep(PAUSE).await;
        }
    }

    fn read_line(&self, intaking: &mut Reading<'_>, number: u64, text: Text<'_>) {
        let read = match text {
            Text::TooLong => Err(Fault::LineTooLong(LINE_BYTES_MAX)),
            Text::Whole(text) => self.fixtures.ingest.intake.borrow_mut().read(
                (&self.plan, &self.prices.borrow().0),
                intaking.client,
                text,
                intaking.now,
                &self.fixtures.ingest.counters.ledger,
                intaking.batch,
            ),
        };
        if let Err(fault) = read {
            intaking.report.reject(number, fault);
        }
    }
}

/// What a line is read into.
struct Reading<'a> {
    client: usize,
    now: UnixMillis,
    batch: &'a mut Batch,
    report: &'a mut Report,
}

impl Intaking {
    fn parts(&mut self, now: UnixMillis) -> (&mut Lines, Reading<'_>) {
        let reading = Reading {
            client: self.client,
            now,
            batch: &mut self.batch,
            report: &mut self.report,
        };
        (&mut self.lines, reading)
    }
}

/// Whether the body is said to be lines of JSON.
fn is_ndjson(headers: &HeaderMap) -> bool {
    let kind = headers
        .get(CONTENT_TYPE)
        .map_or(&b""[..], HeaderValue::as_bytes);
    let kind = kind.split(|byte| *byte == b';').next().unwrap_or_default();
    let kind = kind.trim_ascii();
    [&b"application/x-ndjson"[..], b"application/ndjson"]
        .iter()
        .any(|known| kind.eq_ignore_ascii_case(known))
}

fn invalid(message: &str) -> Refusal {
    let kind = ErrorKind::InvalidRequest;
    Refusal::with_body(kind, kind.body_with(message, None))
}

fn not_gzip(_: UnpackFault) -> Refusal {
    invalid("The request body is not whole gzip, as its content encoding says.")
}
