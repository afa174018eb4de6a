//! How many requests an address may send to the admin API.

use std::collections::{HashMap, VecDeque};
use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

/// The time that is looked back on.
const WINDOW: Duration = Duration::from_secs(60);
/// Addresses that have a window of their own; further ones share one until there is room.
const ADDRESSES_MAX: usize = 4096;

/// What becomes of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It may go on.
    Admitted,
    /// It is one too many.
    Refused {
        /// When there is room for one more.
        wait: Duration,
        /// How many were refused since the last one that was admitted, this one included.
        in_row: u64,
    },
}

/// When the requests of an address were admitted; times are since the start of the process.
#[derive(Debug, Default)]
struct Window {
    admitted: VecDeque<Duration>,
    refused: u64,
}

impl Window {
    fn admit(&mut self, per_minute: usize, now: Duration) -> Verdict {
        while let Some(first) = self.admitted.front()
            && now.saturating_sub(*first) >= WINDOW
        {
            self.admitted.pop_front();
        }
        match self.admitted.front() {
            Some(first) if self.admitted.len() >= per_minute => {
                self.refused += 1;
                Verdict::Refused {
                    wait: (*first + WINDOW).saturating_sub(now),
                    in_row: self.refused,
                }
            }
            _ => {
                self.refused = 0;
                self.admitted.push_back(now);
                Verdict::Admitted
            }
        }
    }

    fn is_over(&self, now: Duration) -> bool {
        let last = self.admitted.back();
        last.is_none_or(|last| now.saturating_sub(*last) >= WINDOW)
    }
}

/// The windows of all addresses. In no 60 seconds has one more than its number admitted.
#[derive(Debug)]
pub(super) struct RateLimit {
    per_minute: usize,
    windows: HashMap<Option<IpAddr>, Window>,
    others: Window,
    /// No window is over before.
    sweep_at: Duration,
    folded: u64,
}

impl RateLimit {
    pub(super) fn new(per_minute: u32) -> Self {
        Self {
            per_minute: usize::try_from(per_minute).unwrap_or(usize::MAX),
            windows: HashMap::new(),
            others: Window::default(),
            sweep_at: Duration::ZERO,
            folded: 0,
        }
    }

    /// Whether a request of this address may go on.
    pub(super) fn admit(&mut self, client: Option<IpAddr>, now: Duration) -> Verdict {
        let block = client.map(block);
        if !self.windows.contains_key(&block) && !self.has_room(now) {
            self.folded += 1;
            return self.others.admit(self.per_minute, now);
        }
        let window = self.windows.entry(block).or_default();
        window.admit(self.per_minute, now)
    }

    /// Requests of addresses that had no window of their own.
    pub(super) fn folded(&self) -> u64 {
        self.folded
    }

    fn has_room(&mut self, now: Duration) -> bool {
        if self.windows.len() >= ADDRESSES_MAX && now >= self.sweep_at {
            self.windows.retain(|_, window| !window.is_over(now));
            let lasts = self.windows.values().filter_map(|w| w.admitted.back());
            self.sweep_at = lasts.min().map_or(now, |last| *last + WINDOW);
        }
        self.windows.len() < ADDRESSES_MAX
    }
}

/// What one subscriber has: an IPv4 address, or the /64 of an IPv6 address.
fn block(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX)).into()
        }
        address => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn ip(text: &str) -> Option<IpAddr> {
        Some(text.parse().expect("an address"))
    }

    const MS: fn(u64) -> Duration = Duration::from_millis;

    #[test]
    fn the_hundred_and_first_waits_until_the_first_is_a_minute_old() {
        let mut limit = RateLimit::new(100);
        let mut at = |client: &str, ms| limit.admit(ip(client), MS(ms));
        for n in 0..100 {
            assert_eq!(at("10.0.0.1", n * 10), Verdict::Admitted);
        }
        let refused = |wait, in_row| Verdict::Refused {
            wait: MS(wait),
            in_row,
        };
        assert_eq!(at("10.0.0.1", 1000), refused(59_000, 1));
        assert_eq!(at("::ffff:10.0.0.1", 59_999), refused(1, 2));
        assert_eq!(at("10.0.0.2", 1000), Verdict::Admitted);
        assert_eq!(at("10.0.0.1", 60_000), Verdict::Admitted);
        assert_eq!(at("10.0.0.1", 60_000), refused(10, 1));
    }

    #[test]
    fn a_subscriber_has_one_window_for_all_its_ipv6_addresses() {
        let mut limit = RateLimit::new(1);
        assert_eq!(limit.admit(ip("2001:db8::1"), MS(0)), Verdict::Admitted);
        assert_ne!(
            limit.admit(ip("2001:db8::ffff:0:1"), MS(0)),
            Verdict::Admitted
        );
        assert_eq!(limit.admit(ip("2001:db8:0:1::1"), MS(0)), Verdict::Admitted);
    }

    #[test]
    fn memory_has_a_bound_and_a_flood_of_addresses_shares_one_window() {
        let mut limit = RateLimit::new(2);
        let nth = |n: u32| Some(IpAddr::from(n.to_be_bytes()));
        for n in 0..ADDRESSES_MAX as u32 {
            assert_eq!(limit.admit(nth(n), MS(1)), Verdict::Admitted);
        }
        let more = 1 << 20;
        assert_eq!(limit.admit(nth(more), MS(2)), Verdict::Admitted);
        assert_eq!(limit.admit(nth(more + 1), MS(2)), Verdict::Admitted);
        assert_ne!(limit.admit(nth(more + 2), MS(2)), Verdict::Admitted);
        assert_eq!(limit.folded(), 3);
        // Who was there before keeps its own.
        assert_eq!(limit.admit(nth(7), MS(3)), Verdict::Admitted);
        assert_eq!(limit.windows.len(), ADDRESSES_MAX);
        // A minute later there is room again.
        assert_eq!(limit.admit(nth(more + 2), MS(60_001)), Verdict::Admitted);
        assert_eq!((limit.windows.len(), limit.folded()), (2, 3));
    }

    proptest! {
        /// Against the definition: of the admitted ones, no 60 s have more than the number, and
        /// none is refused that could have been admitted.
        #[test]
        fn it_is_as_the_definition_says(
            per_minute in 1..6u32,
            gaps in prop::collection::vec(0..30_000u64, 1..80),
        ) {
            let mut limit = RateLimit::new(per_minute);
            let (mut now, mut admitted) = (0, Vec::new());
            for gap in gaps {
                now += gap;
                let recent = admitted.iter().filter(|then| now - **then < 60_000).count();
                let verdict = limit.admit(None, MS(now));
                let fits = recent < per_minute as usize;
                prop_assert_eq!(verdict == Verdict::Admitted, fits);
                if fits {
                    admitted.push(now);
                }
            }
        }
    }
}
