//! The frames of a simulated stream, one at a time.

use std::time::Duration;

use bytes::Bytes;

use super::wait;
use super::writing::{Answer, word};
use crate::wire::prng::Prng;

/// One event of a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SimFrame {
    /// How long to wait, from the frame before, until this one goes out.
    pub after: Duration,
    /// The whole event, with the empty line at its end.
    pub bytes: Bytes,
}

/// The events of a stream: the role (chat only), a chunk a visible token, the finish
/// reason, the usage if it was asked for, `[DONE]`. The reasoning is not shown.
#[derive(Debug)]
pub struct SimStream {
    answer: Answer,
    prng: Prng,
    gap: (Duration, f64),
    asks_usage: bool,
    step: Step,
    tokens_left: u64,
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Role,
    Token,
    Finish,
    Usage,
    Done,
    End,
}

impl SimStream {
    pub(super) fn new(answer: Answer, prng: Prng, gap: (Duration, f64), asks_usage: bool) -> Self {
        let step = if answer.is_chat {
            Step::Role
        } else {
            Step::Token
        };
        let tokens_left = answer.visible_tokens;
        Self {
            answer,
            prng,
            gap,
            asks_usage,
            step,
            tokens_left,
        }
    }

    /// A chunk with one choice, whose members are `choice`.
    fn chunk(&self, choice: &[&str]) -> Bytes {
        let mut out = self.open();
        out.push_str(r#","choices":[{"index":0,"#);
        out.extend(choice.iter().copied());
        out.push_str(if self.asks_usage {
            "}],\"usage\":null}\n\n"
        } else {
            "}]}\n\n"
        });
        out.into()
    }

    fn usage(&self) -> Bytes {
        let mut out = self.open();
        out.push_str(r#","choices":[],"usage":"#);
        self.answer.put_usage(&mut out);
        out.push_str("}\n\n");
        out.into()
    }

    fn open(&self) -> String {
        let object = if self.answer.is_chat {
            "chat.completion.chunk"
        } else {
            "text_completion"
        };
        let mut out = self.answer.head(object);
        out.insert_str(0, "data: ");
        out
    }

    fn token(&mut self) -> Bytes {
        let word = word(&mut self.prng);
        if self.answer.is_chat {
            self.chunk(&[
                r#""delta":{"content":""#,
                word,
                r#" "},"logprobs":null,"finish_reason":null"#,
            ])
        } else {
            self.chunk(&[
                r#""text":""#,
                word,
                r#" ","logprobs":null,"finish_reason":null"#,
            ])
        }
    }

    fn finish(&self) -> Bytes {
        let content = if self.answer.is_chat {
            r#""delta":{}"#
        } else {
            r#""text":"""#
        };
        let reason = self.answer.finish_reason();
        self.chunk(&[content, r#","logprobs":null,"finish_reason":"#, reason])
    }
}

impl Iterator for SimStream {
    type Item = SimFrame;

    fn next(&mut self) -> Option<SimFrame> {
        if matches!(self.step, Step::Token) && self.tokens_left == 0 {
            self.step = Step::Finish;
        }
        let mut after = Duration::ZERO;
        let (bytes, next) = match self.step {
            Step::Role => {
                let role = r#""delta":{"role":"assistant","content":"","refusal":null}"#;
                let bytes = self.chunk(&[role, r#","logprobs":null,"finish_reason":null"#]);
                (bytes, Step::Token)
            }
            Step::Token => {
                self.tokens_left -= 1;
                after = wait(&mut self.prng, self.gap.0, self.gap.1);
                (self.token(), Step::Token)
            }
            Step::Finish if self.asks_usage => (self.finish(), Step::Usage),
            Step::Finish => (self.finish(), Step::Done),
            Step::Usage => (self.usage(), Step::Done),
            Step::Done => (Bytes::from_static(b"data: [DONE]\n\n"), Step::End),
            Step::End => return None,
        };
        self.step = next;
        Some(SimFrame { after, bytes })
    }
}
