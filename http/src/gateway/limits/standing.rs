//! How a client stands, as the headers of its answers say it.

use bytes::{BufMut, BytesMut};
use coo_llm_core::limiter::{Level, Period, Terms};
use coo_llm_exporters::decimal::push_usd;
use http::header::{HeaderMap, HeaderName, HeaderValue, RETRY_AFTER};

/// Limit, what is left, and when all of it is back: of requests, then of tokens.
const NAMES: [[HeaderName; 3]; 2] = [
    [
        HeaderName::from_static("x-ratelimit-limit-requests"),
        HeaderName::from_static("x-ratelimit-remaining-requests"),
        HeaderName::from_static("x-ratelimit-reset-requests"),
    ],
    [
        HeaderName::from_static("x-ratelimit-limit-tokens"),
        HeaderName::from_static("x-ratelimit-remaining-tokens"),
        HeaderName::from_static("x-ratelimit-reset-tokens"),
    ],
];
const X_COO_BUDGET_WARNING: HeaderName = HeaderName::from_static("x-coo-budget-warning");
/// Six numbers of 20 digits at most, two of which have units.
const VALUES_BYTES: usize = 128;

/// See the module.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Standing {
    /// Whether the client has limits, so that a provider's headers are not its own.
    is_limited: bool,
    /// Limit and level: of requests, then of tokens.
    windows: [Option<(u64, Level)>; 2],
    /// Of a budget that is spent and does not block.
    spent: Option<Terms>,
    retry_after_s: Option<u64>,
}

impl Standing {
    pub(super) fn of_requests(&mut self, limit: u64, level: Level) {
        self.is_limited = true;
        self.windows[0] = Some((limit, level));
    }

    pub(super) fn of_tokens(&mut self, limit: u64, level: Level) {
        self.is_limited = true;
        self.windows[1] = Some((limit, level));
    }

    pub(super) fn budget_is_spent(&mut self, terms: Terms) {
        self.spent = Some(terms);
    }

    /// A refusal, until so many milliseconds have passed.
    pub(super) fn refused_for(&mut self, ms: u64) {
        self.retry_after_s = Some(ms.div_ceil(1000).max(1));
    }

    /// Says it in an answer; a provider's own limits do not concern a limited client.
    ///
    /// # Cost
    /// One buffer for all values; nothing for a client without limits.
    pub(crate) fn put(&self, headers: &mut HeaderMap) {
        if self.is_limited {
            self.put_windows(headers);
        }
        if let Some(terms) = self.spent {
            headers.insert(X_COO_BUDGET_WARNING, warning(terms));
        }
        if let Some(seconds) = self.retry_after_s {
            headers.insert(RETRY_AFTER, seconds.into());
        }
    }

    fn put_windows(&self, headers: &mut HeaderMap) {
        let mut out = BytesMut::with_capacity(VALUES_BYTES);
        // Where each value ends.
        let mut ends = [[0; 3]; 2];
        for (window, ends) in self.windows.iter().zip(&mut ends) {
            let Some((limit, level)) = window else {
                continue;
            };
            push_number(&mut out, *limit);
            ends[0] = out.len();
            push_number(&mut out, level.remaining);
            ends[1] = out.len();
            push_duration(&mut out, level.reset_ms);
            ends[2] = out.len();
        }
        let values = out.freeze();
        let mut from = 0;
        let mut value = |end: usize| {
            let value = values.slice(from..end);
            from = end;
            HeaderValue::from_maybe_shared(value).expect("digits and letters")
        };
        for ((names, window), ends) in NAMES.into_iter().zip(&self.windows).zip(ends) {
            for (name, end) in names.into_iter().zip(ends) {
                if window.is_some() {
                    headers.insert(name, value(end));
                } else {
                    headers.remove(name);
                }
            }
        }
    }
}

fn push_number(out: &mut BytesMut, mut number: u64) {
    let mut digits = [0; 20];
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            break;
        }
    }
    out.put_slice(&digits[at..]);
}

/// A duration as OpenAI writes it: `120ms`, `1s`, `7.66s`, `6m0s`.
pub(super) fn push_duration(out: &mut BytesMut, ms: u64) {
    if ms < 1000 && ms > 0 {
        push_number(out, ms);
        out.put_slice(b"ms");
        return;
    }
    let (minutes, ms) = (ms / 60_000, ms % 60_000);
    if minutes > 0 {
        push_number(out, minutes);
        out.put_u8(b'm');
    }
    push_number(out, ms / 1000);
    let (mut part, mut unit) = (ms % 1000, 100);
    if part > 0 {
        out.put_u8(b'.');
    }
    while part > 0 {
        out.put_u8(b'0' + (part / unit) as u8);
        part %= unit;
        unit /= 10;
    }
    out.put_u8(b's');
}

/// `the budget of 100 USD a month is spent`
fn warning(terms: Terms) -> HeaderValue {
    let mut text = b"the budget of ".to_vec();
    push_usd(&mut text, terms.usd);
    text.extend_from_slice(match terms.per {
        Period::Day => b" USD a day is spent".as_slice(),
        Period::Month => b" USD a month is spent",
    });
    HeaderValue::from_bytes(&text).expect("ASCII without controls")
}

#[cfg(test)]
mod tests {
    use super::*;
    use coo_llm_core::NanoUsd;

    #[test]
    fn durations_are_written_as_openai_does() {
        for (ms, text) in [
            (0, "0s"),
            (1, "1ms"),
            (120, "120ms"),
            (1_000, "1s"),
            (1_050, "1.05s"),
            (7_660, "7.66s"),
            (59_999, "59.999s"),
            (60_000, "1m0s"),
            (360_000, "6m0s"),
        ] {
            let mut out = BytesMut::new();
            push_duration(&mut out, ms);
            assert_eq!(out, text);
        }
    }

    #[test]
    fn a_limited_clients_headers_replace_those_of_the_provider() {
        let mut headers = HeaderMap::new();
        for name in NAMES.as_flattened() {
            headers.insert(name.clone(), HeaderValue::from_static("theirs"));
        }
        let mut standing = Standing::default();
        standing.put(&mut headers);
        assert_eq!(headers["x-ratelimit-limit-tokens"], "theirs");
        let level = Level {
            remaining: 0,
            reset_ms: 1_250,
        };
        standing.of_requests(u64::MAX, level);
        standing.refused_for(1_001);
        standing.budget_is_spent(Terms {
            usd: NanoUsd(1_500_000_000),
            per: Period::Month,
            blocks: false,
        });
        standing.put(&mut headers);
        let mut all: Vec<_> = headers
            .iter()
            .map(|(name, value)| format!("{name}: {}", value.to_str().expect("ASCII")))
            .collect();
        all.sort();
        assert_eq!(
            all,
            [
                "retry-after: 2",
                "x-coo-budget-warning: the budget of 1.5 USD a month is spent",
                "x-ratelimit-limit-requests: 18446744073709551615",
                "x-ratelimit-remaining-requests: 0",
                "x-ratelimit-reset-requests: 1.25s",
            ]
        );
    }
}
