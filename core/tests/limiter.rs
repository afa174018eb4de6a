//! The limiter against a slow, obvious one: a list of everything that was taken.
//! proptest prints the failing case and its seed.

use coo_llm_core::limiter::window::{SLOT_MS, SLOTS, WINDOW_MS};
use coo_llm_core::limiter::{Period, Seat, Spending, Taken, Terms, Window};
use coo_llm_core::{NanoUsd, UnixMillis};
use proptest::prelude::*;
use std::collections::BTreeMap;

/// Something that was taken: when, and how much by now.
#[derive(Clone, Copy, Debug)]
struct Entry {
    at_ms: u64,
    amount: u64,
}

/// The limiter as one would write it on paper.
#[derive(Debug, Default)]
struct Slow {
    entries: Vec<Entry>,
}

impl Slow {
    /// What was taken in the slot of `now` and the fifteen before it.
    fn used(&self, now_ms: u64) -> u64 {
        let first = (now_ms / SLOT_MS).saturating_sub(SLOTS as u64 - 1) * SLOT_MS;
        let within = self.entries.iter().filter(|entry| entry.at_ms >= first);
        within.map(|entry| entry.amount).sum()
    }

    /// The first millisecond from `now` on at which `amount` fits.
    fn fits_at(&self, limit: u64, amount: u64, now_ms: u64) -> u64 {
        // Only at a slot's border does room appear.
        let borders = (0..=SLOTS as u64).map(|more| (now_ms / SLOT_MS + more) * SLOT_MS);
        let mut times = [now_ms].into_iter().chain(borders.skip(1));
        let fits = |at: &u64| self.used(*at) + amount <= limit;
        times.find(fits).expect("a window empties")
    }
}

#[derive(Clone, Debug)]
enum Step {
    Take {
        worker: usize,
        amount: u64,
    },
    /// Settles one of those under way, by its place among them.
    Settle {
        which: usize,
        actual: u64,
    },
    Wait(u64),
}

const WORKERS: usize = 3;

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0..WORKERS, 0u64..40).prop_map(|(worker, amount)| Step::Take { worker, amount }),
        2 => (any::<usize>(), 0u64..60).prop_map(|(which, actual)| Step::Settle { which, actual }),
        2 => prop_oneof![0u64..50, 0u64..10_000, Just(SLOT_MS), Just(WINDOW_MS)]
            .prop_map(Step::Wait),
    ]
}

proptest! {
    /// Every decision, what is left, when there is room: the same, step for step.
    #[test]
    fn a_window_decides_as_a_list_of_all_requests_would(
        limit in 1u64..100,
        start in 0u64..200_000,
        steps in proptest::collection::vec(step(), 1..200),
    ) {
        let window = Window::new(WORKERS);
        let mut seats = Seat::all(WORKERS);
        let mut slow = Slow::default();
        let mut under_way: Vec<(usize, usize, Taken)> = Vec::new();
        let mut now = start;
        for step in steps {
            match step {
                Step::Wait(ms) => now += ms,
                Step::Take { worker, amount } => {
                    let wanted = amount.min(limit);
                    let used = slow.used(now);
                    match window.take(&mut seats[worker], limit, amount, now) {
                        Ok(taken) => {
                            prop_assert!(used + wanted <= limit, "{used} + {wanted} > {limit}");
                            prop_assert_eq!(taken.level.remaining, limit - used - wanted);
                            slow.entries.push(Entry { at_ms: now, amount: wanted });
                            under_way.push((worker, slow.entries.len() - 1, taken));
                        }
                        Err(full) => {
                            prop_assert!(used + wanted > limit, "{used} + {wanted} <= {limit}");
                            prop_assert_eq!(full.level.remaining, limit.saturating_sub(used));
                            let fits_at = slow.fits_at(limit, wanted, now);
                            prop_assert_eq!(full.retry_after_ms, fits_at - now);
                            prop_assert!(full.retry_after_ms <= WINDOW_MS);
                        }
                    }
                }
                Step::Settle { which, actual } => {
                    if under_way.is_empty() {
                        continue;
                    }
                    let (worker, entry, taken) = under_way.swap_remove(which % under_way.len());
                    window.settle(&mut seats[worker], &taken, actual, now);
                    let reserved = slow.entries[entry].amount;
                    slow.entries[entry].amount = reserved.min(actual);
                    slow.entries.push(Entry {
                        at_ms: now,
                        amount: actual.saturating_sub(reserved),
                    });
                }
            }
            let used = slow.used(now);
            prop_assert_eq!(window.level(limit, now).remaining, limit.saturating_sub(used));
        }
    }

    /// The two promises, in terms of time alone.
    #[test]
    fn who_keeps_the_limit_is_not_refused_and_no_one_exceeds_it(
        limit in 1u64..20,
        start in 0u64..200_000,
        gaps in proptest::collection::vec((0..WORKERS, 0u64..12_000), 1..200),
    ) {
        let window = Window::new(WORKERS);
        let mut seats = Seat::all(WORKERS);
        let mut allowed: Vec<u64> = Vec::new();
        let mut now = start;
        for (worker, gap) in gaps {
            now += gap;
            let within = |ms: u64| allowed.iter().filter(|at| **at + ms > now).count() as u64;
            let (in_a_minute, in_the_shortest) = (within(WINDOW_MS), within(WINDOW_MS - SLOT_MS));
            match window.take(&mut seats[worker], limit, 1, now) {
                Ok(taken) => {
                    prop_assert!(in_the_shortest < limit);
                    // A request is a request, whatever it used.
                    window.settle(&mut seats[worker], &taken, 1, now);
                    allowed.push(now);
                }
                Err(_) => prop_assert!(in_a_minute >= limit),
            }
        }
    }

    /// A budget that blocks: never more than it has, whatever was reserved, wherever the
    /// clock stands, as long as costs are what was reserved or less.
    #[test]
    fn a_budget_is_a_sum_by_period(
        usd in 1u64..200,
        seed in 0u64..50,
        steps in proptest::collection::vec(step(), 1..200),
    ) {
        const HOUR: u64 = 60 * 60 * 1000;
        let terms = Terms { usd: NanoUsd(usd), per: Period::Day, blocks: true };
        let mut spending = Spending::new(WORKERS);
        spending.seed(Period::Day, NanoUsd(seed), UnixMillis(0));
        let mut seats = Seat::all(WORKERS);
        let mut spent = BTreeMap::from([(0u64, seed)]);
        let mut under_way: Vec<(usize, u64, _)> = Vec::new();
        let (mut now, mut latest) = (UnixMillis(0), 0);
        for step in steps {
            match step {
                // Forwards by hours; every seventh step of the clock is backwards.
                Step::Wait(ms) if ms % 7 == 0 => now.0 = now.0.saturating_sub(ms % 30 * HOUR),
                Step::Wait(ms) => now.0 += ms % 30 * HOUR,
                Step::Take { worker, amount } => {
                    latest = latest.max(now.0 / (24 * HOUR));
                    let reserved: u64 = under_way.iter().map(|(_, amount, _)| amount).sum();
                    let committed = spent.get(&latest).copied().unwrap_or(0) + reserved;
                    let result = spending.reserve(&mut seats[worker], &terms, NanoUsd(amount), now);
                    prop_assert_eq!(result.is_ok(), committed + amount <= usd);
                    match result {
                        Ok(it) => under_way.push((worker, amount, it)),
                        Err(stand) => {
                            prop_assert_eq!(stand.spent.0 + stand.reserved.0, committed);
                            prop_assert_eq!(stand.resets.0, (latest + 1) * 24 * HOUR);
                        }
                    }
                }
                Step::Settle { which, actual } => {
                    if under_way.is_empty() {
                        continue;
                    }
                    latest = latest.max(now.0 / (24 * HOUR));
                    let (worker, amount, it) = under_way.swap_remove(which % under_way.len());
                    // One in three costs is not known.
                    let cost = (actual % 3 != 0).then_some(NanoUsd(actual.min(amount)));
                    spending.settle(&mut seats[worker], terms.per, &it, cost, now);
                    *spent.entry(latest).or_default() += cost.map_or(0, |cost| cost.0);
                }
            }
            let read = spending.read(terms.per, now);
            let index = latest.max(now.0 / (24 * HOUR));
            prop_assert_eq!(read.spent.0, spent.get(&index).copied().unwrap_or(0));
        }
    }
}
