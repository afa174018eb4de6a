//! A circuit breaker: leaves a provider alone that fails, and tries it again later.
//!
//! ```text
//! closed --(failures in a row, or their share in the window)--> open
//! open   --(time is up: one request may try)--> half-open
//! half-open --(it succeeds)--> closed    --(it fails)--> open
//! ```

use coo_llm_config::CircuitBreaker as Rule;
use std::time::Instant;

/// Parts of the window: what is older than the window, less a part, is forgotten.
const PARTS: usize = 10;

/// Of one provider, on one worker.
#[derive(Debug)]
pub(crate) struct Breaker {
    rule: Rule,
    in_a_row: u32,
    state: State,
    epoch: Instant,
    parts: [Part; PARTS],
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Closed,
    Open {
        until: Instant,
    },
    /// A request tries. One that never tells its end, because its client left, holds up
    /// the next try until then and no longer.
    HalfOpen {
        next_try: Instant,
    },
}

#[derive(Clone, Copy, Debug, Default)]
struct Part {
    /// Which part of time it counts, from the epoch on.
    at: u64,
    attempts: u32,
    failures: u32,
}

impl Breaker {
    pub(crate) fn new(rule: Rule, epoch: Instant) -> Self {
        Self {
            rule,
            in_a_row: 0,
            state: State::Closed,
            epoch,
            parts: [Part::default(); PARTS],
        }
    }

    /// Goes by another rule from now on. One that is turned off leaves nobody alone.
    pub(crate) fn obey(&mut self, rule: Rule) {
        if rule.window != self.rule.window {
            // Their places are counted in parts of the window.
            self.parts = [Part::default(); PARTS];
        }
        if !rule.enabled {
            self.state = State::Closed;
        }
        self.rule = rule;
    }

    /// When the next request may try, if none may now.
    pub(crate) fn closed_until(&self, now: Instant) -> Option<Instant> {
        match self.state {
            State::Closed => None,
            State::Open { until: at } | State::HalfOpen { next_try: at } => {
                Some(at).filter(|at| *at > now)
            }
        }
    }

    /// Whether all requests may go.
    pub(crate) fn is_closed(&self) -> bool {
        self.state == State::Closed
    }

    /// Whether a request may go now. One that may although the breaker is not closed is
    /// the try of the half-open state, so ask only for a request that goes.
    pub(crate) fn admits(&mut self, now: Instant) -> bool {
        if self.is_closed() {
            return true;
        }
        let may_try = self.closed_until(now).is_none();
        if may_try {
            self.state = State::HalfOpen {
                next_try: now + self.rule.open,
            };
        }
        may_try
    }

    /// The provider answered. Whether that closed the breaker.
    pub(crate) fn succeeded(&mut self, now: Instant) -> bool {
        self.in_a_row = 0;
        self.part(now).attempts += 1;
        // Of what was under way when it opened, nothing closes it.
        let closes = matches!(self.state, State::HalfOpen { .. });
        if closes {
            self.state = State::Closed;
            self.parts = [Part::default(); PARTS];
        }
        closes
    }

    /// The provider failed. Until when it is left alone, if that opened the breaker.
    pub(crate) fn failed(&mut self, now: Instant) -> Option<Instant> {
        self.part(now).attempts += 1;
        self.broke_off(now)
    }

    /// As [`Breaker::failed`], in the middle of an answer whose beginning was a success.
    pub(crate) fn broke_off(&mut self, now: Instant) -> Option<Instant> {
        self.part(now).failures += 1;
        self.in_a_row = self.in_a_row.saturating_add(1);
        let opens = match self.state {
            // Of what was under way when it opened, nothing keeps it open for longer.
            State::Open { .. } => false,
            State::HalfOpen { .. } => true,
            State::Closed => self.in_a_row >= self.rule.failures || self.is_share_reached(now),
        };
        if !opens || !self.rule.enabled {
            return None;
        }
        let until = now + self.rule.open;
        self.state = State::Open { until };
        Some(until)
    }

    fn is_share_reached(&self, now: Instant) -> bool {
        let newest = self.place(now);
        let recent = self
            .parts
            .iter()
            .filter(|part| part.at + (PARTS as u64) > newest);
        let (attempts, failures) = recent.fold((0_u64, 0_u64), |sum, part| {
            (
                sum.0 + u64::from(part.attempts),
                sum.1 + u64::from(part.failures),
            )
        });
        attempts >= u64::from(self.rule.min_requests)
            && failures as f64 >= self.rule.error_rate * attempts as f64
    }

    fn place(&self, now: Instant) -> u64 {
        let part = (self.rule.window / PARTS as u32).as_nanos().max(1);
        let passed = now.saturating_duration_since(self.epoch).as_nanos();
        u64::try_from(passed / part).unwrap_or(u64::MAX)
    }

    fn part(&mut self, now: Instant) -> &mut Part {
        let at = self.place(now);
        let part = &mut self.parts[(at % PARTS as u64) as usize];
        if part.at != at {
            *part = Part {
                at,
                ..Part::default()
            };
        }
        part
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    const RULE: Rule = Rule {
        enabled: true,
        failures: 3,
        error_rate: 0.5,
        min_requests: 10,
        window: Duration::from_secs(10),
        open: Duration::from_secs(15),
    };

    #[test]
    fn another_rule_holds_from_now_on() {
        let start = Instant::now();
        let mut breaker = Breaker::new(RULE, start);
        breaker.failed(start);
        // Two in a row are enough now, and the first one counts.
        breaker.obey(Rule {
            failures: 2,
            ..RULE
        });
        assert!(breaker.failed(start).is_some());
        breaker.obey(RULE);
        assert!(!breaker.is_closed(), "it goes on as it is");
        breaker.obey(Rule {
            enabled: false,
            ..RULE
        });
        assert!(breaker.is_closed());
        // Another window forgets its parts, which were of another length.
        let mut breaker = Breaker::new(RULE, start);
        for _ in 0..9 {
            breaker.succeeded(start);
        }
        breaker.obey(Rule {
            window: RULE.window / 2,
            error_rate: 0.1,
            ..RULE
        });
        assert_eq!(breaker.failed(start), None, "one of one, not the tenth");
    }

    fn breaker(rule: Rule) -> (Breaker, impl Fn(u64) -> Instant) {
        let epoch = Instant::now();
        let at = move |ms| epoch + Duration::from_millis(ms);
        (Breaker::new(rule, epoch), at)
    }

    #[test]
    fn failures_in_a_row_open_it_and_one_try_closes_it() {
        let (mut breaker, at) = breaker(RULE);
        for _ in 0..2 {
            assert_eq!(breaker.failed(at(0)), None);
            assert_eq!(breaker.failed(at(0)), None);
            assert!(!breaker.succeeded(at(0)));
        }
        breaker.failed(at(0));
        breaker.failed(at(0));
        assert!(breaker.admits(at(1)));
        assert_eq!(breaker.failed(at(1)), Some(at(15_001)));
        assert!(!breaker.is_closed());
        assert!(!breaker.admits(at(15_000)));
        assert_eq!(breaker.closed_until(at(15_000)), Some(at(15_001)));
        assert!(!breaker.succeeded(at(2)), "it was under way before");
        assert_eq!(breaker.failed(at(3)), None, "it was under way before");

        assert!(breaker.admits(at(15_001)), "the try");
        assert!(!breaker.admits(at(15_002)), "one at a time");
        assert_eq!(breaker.failed(at(16_000)), Some(at(31_000)));
        assert!(!breaker.admits(at(30_999)));
        assert!(breaker.admits(at(31_000)), "the next try");
        assert!(breaker.succeeded(at(31_001)));
        assert!(breaker.is_closed() && breaker.admits(at(31_001)));
        assert_eq!(breaker.failed(at(31_002)), None, "it begins anew");
    }

    #[test]
    fn a_try_that_never_ends_holds_up_the_next_one_for_a_while_only() {
        let (mut breaker, at) = breaker(RULE);
        for _ in 0..3 {
            breaker.failed(at(0));
        }
        assert!(breaker.admits(at(15_000)));
        assert!(!breaker.admits(at(29_999)));
        assert!(breaker.admits(at(30_000)));
    }

    #[test]
    fn the_share_of_failures_counts_within_the_window() {
        let rule = Rule {
            failures: u32::MAX,
            ..RULE
        };
        let (mut breaker, at) = breaker(rule);
        // Five failures, and what would make ten attempts of them comes too late.
        for _ in 0..5 {
            assert_eq!(breaker.failed(at(0)), None);
        }
        for _ in 0..4 {
            breaker.succeeded(at(10_500));
        }
        assert_eq!(breaker.failed(at(10_500)), None);
        // Five of ten within the window.
        breaker.succeeded(at(12_000));
        for _ in 0..3 {
            assert_eq!(breaker.failed(at(13_000)), None);
        }
        assert_eq!(breaker.failed(at(13_000)), Some(at(28_000)));
    }

    #[test]
    fn an_answer_that_breaks_off_is_one_attempt_that_failed() {
        let rule = Rule {
            failures: u32::MAX,
            ..RULE
        };
        let (mut breaker, at) = breaker(rule);
        for n in 0..10 {
            breaker.succeeded(at(0));
            let opened = if n % 2 == 0 {
                breaker.broke_off(at(0))
            } else {
                None
            };
            assert_eq!(opened, None, "{n}");
        }
        assert_eq!(breaker.broke_off(at(0)), Some(at(15_000)));
    }

    #[test]
    fn where_it_is_not_wanted_it_never_opens() {
        let rule = Rule {
            enabled: false,
            ..RULE
        };
        let (mut breaker, at) = breaker(rule);
        for _ in 0..100 {
            assert_eq!(breaker.failed(at(0)), None);
        }
        assert!(breaker.admits(at(0)));
    }
}
