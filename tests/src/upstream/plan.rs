//! A response body as a list of steps, made from a script before the first byte is sent.

use super::ledger::Kind;
use super::reply::{self, Chunks};
use super::script::{Fault, Script, Usage, UsageMode};
use bytes::Bytes;
use std::collections::VecDeque;
use std::io::Write as _;
use std::time::Duration;

/// What the body does next.
pub(super) enum Step {
    /// Hand over bytes; after them so many content chunks are out, and usage is or is not.
    Data {
        bytes: Bytes,
        chunks_done: u32,
        usage_done: bool,
    },
    /// The same bytes again and again.
    Flood {
        bytes: Bytes,
        left: u32,
    },
    Sleep(Duration),
    Gate(String),
    Hang,
    /// Let what was handed over go out.
    Flush,
    Abort,
}

/// A body: its steps, and its length where that is announced.
pub(super) struct Plan {
    pub(super) steps: VecDeque<Step>,
    pub(super) length: Option<u64>,
    pub(super) chunks: u32,
}

/// Collects bytes and cuts them into steps.
pub(super) struct Cutter {
    steps: VecDeque<Step>,
    split: usize,
    delay: Duration,
    flood: u32,
    steps_at: Option<String>,
    pending: Vec<u8>,
    /// (end offset in `pending`, content chunks done, usage done) of each event.
    marks: Vec<(usize, u32, bool)>,
    chunks_done: u32,
    usage_done: bool,
}

impl Cutter {
    pub(super) fn new(script: &Script) -> Self {
        Self {
            steps: VecDeque::new(),
            split: script.split,
            delay: Duration::from_millis(script.chunk_delay_ms),
            flood: script.flood,
            steps_at: script.steps.clone(),
            pending: Vec::new(),
            marks: Vec::new(),
            chunks_done: 0,
            usage_done: false,
        }
    }

    pub(super) fn add(&mut self, bytes: &[u8], is_chunk: bool, has_usage: bool) {
        let first = self.chunks_done == 0;
        if is_chunk {
            self.step();
        }
        self.chunks_done += u32::from(is_chunk);
        self.usage_done |= has_usage;
        if self.split == 0 {
            if is_chunk && !first && !self.delay.is_zero() {
                self.steps.push_back(Step::Sleep(self.delay));
            }
            self.steps.push_back(Step::Data {
                bytes: Bytes::copy_from_slice(bytes),
                chunks_done: self.chunks_done,
                usage_done: self.usage_done,
            });
            if is_chunk && first && self.flood > 0 {
                self.steps.push_back(Step::Flood {
                    bytes: Bytes::copy_from_slice(bytes),
                    left: self.flood,
                });
            }
        } else {
            self.pending.extend_from_slice(bytes);
            self.marks
                .push((self.pending.len(), self.chunks_done, self.usage_done));
        }
    }

    /// Waits for the next of the script's steps, if it has them.
    pub(super) fn step(&mut self) {
        if let Some(name) = &self.steps_at {
            let gate = format!("{name}-{}", self.chunks_done);
            self.barrier(Step::Gate(gate));
        }
    }

    /// Turns what is pending into pieces of `split` bytes.
    fn cut(&mut self) {
        let (mut end, mut done) = (0, (0, false));
        let mut marks = self.marks.drain(..).peekable();
        for piece in self.pending.chunks(self.split.max(1)) {
            if !self.delay.is_zero() && !self.steps.is_empty() {
                self.steps.push_back(Step::Sleep(self.delay));
            }
            end += piece.len();
            while let Some((_, chunks, usage)) = marks.next_if(|mark| mark.0 <= end) {
                done = (chunks, usage);
            }
            self.steps.push_back(Step::Data {
                bytes: Bytes::copy_from_slice(piece),
                chunks_done: done.0,
                usage_done: done.1,
            });
        }
        drop(marks);
        self.pending.clear();
    }

    pub(super) fn barrier(&mut self, step: Step) {
        self.cut();
        if matches!(step, Step::Abort) {
            self.steps.push_back(Step::Flush);
        }
        self.steps.push_back(step);
    }

    /// What a script does before the `index`th piece of content; `false` where the stream
    /// goes on, `true` where `error` was its last event.
    pub(super) fn before(&mut self, script: &Script, index: u32, error: &str) -> bool {
        let gate = script.gate.as_ref();
        if let Some(gate) = gate.filter(|_| index > 0 && index == script.gate_after_chunks) {
            self.barrier(Step::Gate(gate.clone()));
        }
        if index == script.chunks / 2 {
            match script.fault {
                Some(Fault::HangMidBody) => self.barrier(Step::Hang),
                Some(Fault::CloseMidBody) => self.barrier(Step::Abort),
                Some(Fault::ErrorEvent) => {
                    self.add(error.as_bytes(), false, false);
                    return true;
                }
                _ => {}
            }
        }
        false
    }

    /// The stream that was collected.
    pub(super) fn into_stream(mut self, script: &Script) -> Plan {
        self.cut();
        Plan {
            steps: self.steps,
            length: None,
            chunks: script.chunks,
        }
    }
}

/// One SSE event.
fn event(script: &Script, data: &str) -> String {
    let end = if script.crlf { "\r\n" } else { "\n" };
    let comment = if script.comments {
        format!(": keep-alive{end}{end}")
    } else {
        String::new()
    };
    format!("{comment}data: {data}{end}{end}")
}

/// The `index`th of `count` pieces of a text.
pub(super) fn piece(text: &[char], index: u32, count: u32) -> String {
    let at = |i: u32| text.len() * i as usize / count as usize;
    text[at(index)..at(index + 1)].iter().collect()
}

/// The body of a stream.
pub(super) fn stream(kind: Kind, model: &str, script: &Script, include_usage: bool) -> Plan {
    let nulls = include_usage && script.usage_mode != UsageMode::Never;
    let chunks = Chunks::new(kind, model, script, nulls);
    let text: Vec<char> = reply::content(script).chars().collect();
    let count = script.chunks;
    let so_far = |done: u32| {
        (script.usage_mode == UsageMode::Cumulative).then(|| Usage {
            completion: script.usage.completion * u64::from(done) / u64::from(count.max(1)),
            reasoning: script.usage.reasoning * u64::from(done) / u64::from(count.max(1)),
            audio_out: script.usage.audio_out * u64::from(done) / u64::from(count.max(1)),
            ..script.usage
        })
    };
    let mut cutter = Cutter::new(script);
    if let Some(role) = chunks.role(so_far(0).as_ref()) {
        cutter.add(event(script, &role).as_bytes(), false, false);
    }
    let plan = |mut cutter: Cutter| {
        cutter.cut();
        Plan {
            steps: cutter.steps,
            length: None,
            chunks: count,
        }
    };
    for index in 0..count {
        let gate = script.gate.as_ref();
        if let Some(gate) = gate.filter(|_| index > 0 && index == script.gate_after_chunks) {
            cutter.barrier(Step::Gate(gate.clone()));
        }
        if index == count / 2 {
            match script.fault {
                Some(Fault::HangMidBody) => cutter.barrier(Step::Hang),
                Some(Fault::CloseMidBody) => cutter.barrier(Step::Abort),
                Some(Fault::ErrorEvent) => {
                    cutter.add(event(script, &reply::error(500)).as_bytes(), false, false);
                    return plan(cutter);
                }
                Some(Fault::GarbageJson) => {
                    cutter.add(event(script, "{\"choices\": oops").as_bytes(), false, false);
                    return plan(cutter);
                }
                _ => {}
            }
        }
        let data = chunks.piece(&piece(&text, index, count), so_far(index + 1).as_ref());
        cutter.add(event(script, &data).as_bytes(), true, false);
    }
    cutter.step();
    let total = (script.usage_mode == UsageMode::Cumulative).then_some(script.usage);
    let finish = chunks.finish(total.as_ref());
    cutter.add(event(script, &finish).as_bytes(), false, total.is_some());
    let last = match script.usage_mode {
        UsageMode::OpenAi => include_usage,
        UsageMode::Always => true,
        UsageMode::Never | UsageMode::Cumulative => false,
    };
    if last {
        cutter.add(event(script, &chunks.usage_only()).as_bytes(), false, true);
    }
    cutter.add(event(script, "[DONE]").as_bytes(), false, false);
    let gate = script.gate.as_ref();
    if let Some(gate) = gate.filter(|_| script.gate_after_chunks > count) {
        cutter.barrier(Step::Gate(gate.clone()));
    }
    plan(cutter)
}

/// A body that is sent as one JSON text, or in pieces where the script says so.
pub(super) fn whole(script: &Script, text: &str, has_usage: bool) -> Plan {
    let mut cutter = Cutter::new(script);
    let bytes = text.as_bytes();
    let (head, tail) = bytes.split_at(bytes.len() / 2);
    match script.fault {
        Some(Fault::HangMidBody) => {
            cutter.add(head, false, false);
            cutter.barrier(Step::Hang);
            cutter.add(tail, false, has_usage);
        }
        Some(Fault::CloseMidBody) => {
            cutter.add(head, false, false);
            cutter.barrier(Step::Abort);
            cutter.add(tail, false, has_usage);
        }
        _ => cutter.add(bytes, false, has_usage),
    }
    cutter.cut();
    Plan {
        steps: cutter.steps,
        length: Some(bytes.len() as u64),
        chunks: 0,
    }
}

/// The same body, encoded with gzip, in one piece.
pub(super) fn gzip(plan: Plan) -> Plan {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    let (mut chunks_done, mut usage_done) = (0, false);
    for step in plan.steps {
        if let Step::Data {
            bytes,
            chunks_done: chunks,
            usage_done: usage,
        } = step
        {
            encoder.write_all(&bytes).expect("a Vec takes every byte");
            chunks_done = chunks;
            usage_done = usage;
        }
    }
    let bytes = Bytes::from(encoder.finish().expect("a Vec takes every byte"));
    Plan {
        length: plan.length.map(|_| bytes.len() as u64),
        chunks: plan.chunks,
        steps: VecDeque::from([Step::Data {
            bytes,
            chunks_done,
            usage_done,
        }]),
    }
}
