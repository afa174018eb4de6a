//! A budget: what was spent in a day or month, and what is reserved by requests under way.

use super::{Period, Seat};
use crate::sync::{AtomicU64, Ordering, fence};
use crate::units::{NanoUsd, UnixMillis};
use crossbeam_utils::CachePadded;

/// The words of one worker.
#[derive(Debug)]
struct Words {
    /// The number of the period that `spent` is of.
    period: AtomicU64,
    spent: AtomicU64,
    /// Of requests under way, whatever the period.
    reserved: AtomicU64,
}

impl Words {
    fn new() -> Self {
        Self {
            period: AtomicU64::new(0),
            spent: AtomicU64::new(0),
            reserved: AtomicU64::new(0),
        }
    }

    /// Begins a period, where it is a later one than the worker's.
    #[inline]
    fn begin(&self, period: u64) {
        if self.period.load(Ordering::Relaxed) < period {
            self.period.store(period, Ordering::Relaxed);
            // Release: partner is the Acquire of `spent` in `look`; who sees that it is 0
            // sees of what period.
            self.spent.store(0, Ordering::Release);
        }
    }

    /// Period, spent and reserved, so that nothing settled meanwhile is missed.
    #[inline]
    fn look(&self) -> (u64, u64, u64) {
        // Acquire: partners are the Releases in `settle` and `begin`. What was settled left
        // `reserved` after it was in `spent`, so it is seen in one of them at least.
        let reserved = self.reserved.load(Ordering::Acquire);
        let spent = self.spent.load(Ordering::Acquire);
        (self.period.load(Ordering::Relaxed), spent, reserved)
    }
}

/// A budget's terms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Terms {
    /// The amount.
    pub usd: NanoUsd,
    /// After what time it starts anew.
    pub per: Period,
    /// Whether requests are refused when it is spent.
    pub blocks: bool,
}

/// What all workers spent of one budget.
///
/// Periods only go forward: a wall clock that steps back leaves the budget in the
/// period that it was in.
#[derive(Debug)]
pub struct Spending {
    cells: Box<[CachePadded<Words>]>,
    /// What was spent before this process.
    seed: Words,
}

/// What a request reserved, to be settled when its cost is known.
#[derive(Debug)]
#[must_use = "what was reserved is settled when the request is over"]
pub struct Reserved {
    amount: u64,
    /// Whether the budget is spent, with this: of one that does not block.
    pub is_over: bool,
}

/// How a budget stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spent {
    /// What was spent in this period.
    pub spent: NanoUsd,
    /// What requests under way have reserved.
    pub reserved: NanoUsd,
    /// When it starts anew.
    pub resets: UnixMillis,
}

impl Spending {
    /// A budget of which nothing is spent, for so many workers.
    #[must_use]
    pub fn new(workers: usize) -> Self {
        Self {
            cells: (0..workers)
                .map(|_| CachePadded::new(Words::new()))
                .collect(),
            seed: Words::new(),
        }
    }

    /// Says what was spent before this process, in the period that `at` lies in.
    pub fn seed(&mut self, per: Period, spent: NanoUsd, at: UnixMillis) {
        self.seed = Words::new();
        self.seed.begin(per.index(at));
        self.seed.spent.store(spent.0, Ordering::Relaxed);
    }

    /// Reserves what a request may cost.
    ///
    /// # Errors
    /// How the budget stands, where it blocks and this would be more than it has.
    ///
    /// # Panics
    /// If the seat is of more workers than the budget.
    ///
    /// # Cost
    /// Up to three stores, a fence, and three loads a worker. With one worker there is no fence.
    pub fn reserve(
        &self,
        seat: &mut Seat,
        terms: &Terms,
        amount: NanoUsd,
        now: UnixMillis,
    ) -> Result<Reserved, Spent> {
        let own = &self.cells[seat.index()];
        let before = own.reserved.load(Ordering::Relaxed);
        let with = before.saturating_add(amount.0);
        let mut period = own.period.load(Ordering::Relaxed).max(terms.per.index(now));
        own.begin(period);
        own.reserved.store(with, Ordering::Relaxed);
        if self.cells.len() > 1 {
            // SeqCst: partner is this fence in the other workers. Of two, the later one's
            // worker sees the words that the other stored before it.
            fence(Ordering::SeqCst);
        }
        let committed = loop {
            let (newest, spent, reserved) = self.sum(period);
            if newest == period {
                break spent.saturating_add(reserved);
            }
            // Another worker's clock is in the next period, or was.
            period = newest;
            own.begin(period);
        };
        let is_over = committed > terms.usd.0;
        if is_over && terms.blocks {
            own.reserved.store(before, Ordering::Relaxed);
            return Err(self.read(terms.per, now));
        }
        Ok(Reserved {
            amount: with - before,
            is_over,
        })
    }

    /// Puts the cost in the place of what was reserved; it counts in the period that
    /// is now. `None`, an unknown cost, spends nothing.
    ///
    /// # Panics
    /// If the seat is of more workers than the budget.
    pub fn settle(
        &self,
        seat: &mut Seat,
        per: Period,
        reserved: &Reserved,
        cost: Option<NanoUsd>,
        now: UnixMillis,
    ) {
        let own = &self.cells[seat.index()];
        own.begin(self.newest().max(per.index(now)));
        let spent = own.spent.load(Ordering::Relaxed);
        let cost = cost.unwrap_or(NanoUsd::ZERO).0;
        // Release: partner is the Acquire of `spent` in `look`.
        own.spent
            .store(spent.saturating_add(cost), Ordering::Release);
        let left = own
            .reserved
            .load(Ordering::Relaxed)
            .saturating_sub(reserved.amount);
        // Release: partner is the Acquire of `reserved` in `look`; `spent` has it by then.
        own.reserved.store(left, Ordering::Release);
    }

    /// How the budget stands. Anyone may ask.
    #[must_use]
    pub fn read(&self, per: Period, now: UnixMillis) -> Spent {
        let mut period = per.index(now);
        loop {
            let (newest, spent, reserved) = self.sum(period);
            if newest == period {
                return Spent {
                    spent: NanoUsd(spent),
                    reserved: NanoUsd(reserved),
                    resets: per.end(period),
                };
            }
            period = newest;
        }
    }

    /// The latest period of any worker, not before `period`, and what was spent in
    /// `period` and is reserved.
    #[inline]
    fn sum(&self, period: u64) -> (u64, u64, u64) {
        let mut sum = (period, 0u64, 0u64);
        for words in self.words() {
            let (its, spent, reserved) = words.look();
            sum.0 = sum.0.max(its);
            if its == period {
                sum.1 = sum.1.saturating_add(spent);
            }
            sum.2 = sum.2.saturating_add(reserved);
        }
        sum
    }

    fn newest(&self) -> u64 {
        let periods = self
            .words()
            .map(|words| words.period.load(Ordering::Relaxed));
        periods.max().unwrap_or(0)
    }

    fn words(&self) -> impl Iterator<Item = &Words> {
        self.cells.iter().map(|cell| &**cell).chain([&self.seed])
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    const DAY: UnixMillis = UnixMillis(24 * 60 * 60 * 1000);
    const BLOCKS: Terms = Terms {
        usd: NanoUsd(100),
        per: Period::Day,
        blocks: true,
    };

    fn one() -> (Spending, Seat) {
        let seat = Seat::all(1).pop().expect("one");
        (Spending::new(1), seat)
    }

    fn spent(spending: &Spending, now: UnixMillis) -> (u64, u64) {
        let spent = spending.read(Period::Day, now);
        (spent.spent.0, spent.reserved.0)
    }

    #[test]
    fn a_budget_is_spent_to_the_unit_and_no_further() {
        let (spending, mut seat) = one();
        let now = UnixMillis(5);
        for _ in 0..4 {
            let reserved = spending.reserve(&mut seat, &BLOCKS, NanoUsd(40), now);
            let reserved = reserved.expect("there is money");
            spending.settle(&mut seat, Period::Day, &reserved, Some(NanoUsd(20)), now);
        }
        assert_eq!(spent(&spending, now), (80, 0));
        let refused = spending.reserve(&mut seat, &BLOCKS, NanoUsd(21), now);
        assert_eq!(refused.expect_err("80 + 21 > 100").resets, DAY);
        let last = spending.reserve(&mut seat, &BLOCKS, NanoUsd(20), now);
        let last = last.expect("80 + 20 = 100");
        assert_eq!(spent(&spending, now), (80, 20));
        assert!(
            spending
                .reserve(&mut seat, &BLOCKS, NanoUsd(1), now)
                .is_err()
        );
        // Its cost is not known: it spends nothing.
        spending.settle(&mut seat, Period::Day, &last, None, now);
        assert_eq!(spent(&spending, now), (80, 0));
    }

    #[test]
    fn one_that_warns_says_so_and_refuses_nothing() {
        let (spending, mut seat) = one();
        let warns = Terms {
            blocks: false,
            ..BLOCKS
        };
        let mut reserve = |amount| {
            let reserved = spending.reserve(&mut seat, &warns, NanoUsd(amount), DAY);
            reserved.expect("it does not block").is_over
        };
        assert!(!reserve(100));
        assert!(reserve(1));
    }

    #[test]
    fn a_period_that_begins_starts_anew_and_one_that_was_does_not_come_back() {
        let (spending, mut seat) = one();
        let long = spending.reserve(&mut seat, &BLOCKS, NanoUsd(60), UnixMillis(0));
        let long = long.expect("there is money");
        // It is still under way tomorrow, so its reservation holds there.
        assert!(
            spending
                .reserve(&mut seat, &BLOCKS, NanoUsd(41), DAY)
                .is_err()
        );
        spending.settle(&mut seat, Period::Day, &long, Some(NanoUsd(70)), DAY);
        assert_eq!(spent(&spending, DAY), (70, 0));
        // The clock steps back over midnight: it is still tomorrow.
        assert_eq!(spent(&spending, UnixMillis(7)), (70, 0));
        let back = spending.reserve(&mut seat, &BLOCKS, NanoUsd(31), UnixMillis(7));
        assert_eq!(back.expect_err("70 + 31 > 100").resets.0, 2 * DAY.0);
        assert_eq!(spent(&spending, UnixMillis(2 * DAY.0)), (0, 0));
    }

    #[test]
    fn what_was_spent_before_this_process_counts_in_its_period() {
        let (mut spending, mut seat) = one();
        spending.seed(Period::Day, NanoUsd(99), DAY);
        assert_eq!(spent(&spending, DAY), (99, 0));
        assert!(
            spending
                .reserve(&mut seat, &BLOCKS, NanoUsd(2), DAY)
                .is_err()
        );
        assert!(
            spending
                .reserve(&mut seat, &BLOCKS, NanoUsd(1), DAY)
                .is_ok()
        );
        assert_eq!(spent(&spending, UnixMillis(2 * DAY.0)), (0, 1));
    }

    #[test]
    fn all_workers_enter_a_period_with_the_first() {
        let spending = Spending::new(2);
        let mut seats = Seat::all(2);
        let mut late = seats.pop().expect("two");
        let mut early = seats.pop().expect("two");
        let spend = |seat: &mut Seat, now| {
            let reserved = spending.reserve(seat, &BLOCKS, NanoUsd(50), now);
            reserved.map(|reserved| {
                spending.settle(seat, Period::Day, &reserved, Some(NanoUsd(50)), now);
            })
        };
        assert!(spend(&mut late, UnixMillis(1)).is_ok());
        assert!(spend(&mut early, DAY).is_ok());
        // Its clock has not come to midnight yet; the money is tomorrow's.
        assert!(spend(&mut late, UnixMillis(DAY.0 - 1)).is_ok());
        assert!(spend(&mut late, UnixMillis(DAY.0 - 1)).is_err());
        assert_eq!(spent(&spending, DAY), (100, 0));
    }
}

#[cfg(all(test, loom))]
mod loom_models {
    use super::*;
    use crate::sync::Arc;

    const DAY: UnixMillis = UnixMillis(24 * 60 * 60 * 1000);
    const ONE: Terms = Terms {
        usd: NanoUsd(1),
        per: Period::Day,
        blocks: true,
    };

    fn two() -> (Arc<Spending>, Seat, Seat) {
        let mut seats = Seat::all(2);
        let second = seats.pop().expect("two");
        let first = seats.pop().expect("two");
        (Arc::new(Spending::new(2)), first, second)
    }

    /// Of two workers that reserve the last of a budget, not both get it; also where
    /// they turn to a new period with it.
    #[test]
    fn the_last_money_goes_to_one_worker_at_most() {
        loom::model(|| {
            let (spending, mut first, mut second) = two();
            let thread = loom::thread::spawn({
                let spending = Arc::clone(&spending);
                move || spending.reserve(&mut second, &ONE, NanoUsd(1), DAY).is_ok()
            });
            let here = spending.reserve(&mut first, &ONE, NanoUsd(1), DAY).is_ok();
            let there = thread.join().expect("it does not panic");
            assert!(!(here && there), "two of one");
        });
    }

    /// What a request reserved or has spent is seen while it is settled.
    #[test]
    fn settling_hides_nothing() {
        loom::model(|| {
            let (spending, mut first, mut second) = two();
            let reserved = spending.reserve(&mut second, &ONE, NanoUsd(1), DAY);
            let reserved = reserved.expect("there is money");
            let thread = loom::thread::spawn({
                let spending = Arc::clone(&spending);
                move || {
                    let cost = Some(NanoUsd(1));
                    spending.settle(&mut second, Period::Day, &reserved, cost, DAY);
                }
            });
            let refused = spending.reserve(&mut first, &ONE, NanoUsd(1), DAY);
            assert!(refused.is_err(), "money that was spent");
            thread.join().expect("it does not panic");
            assert_eq!(spending.read(Period::Day, DAY).spent, NanoUsd(1));
        });
    }

    /// A worker that begins a period does not hide what it spent in the one before from
    /// a worker that is still in that.
    #[test]
    fn a_period_ends_for_all_or_for_none() {
        let mut model = loom::model::Builder::new();
        model.preemption_bound = Some(3);
        model.check(|| {
            let (spending, mut first, mut second) = two();
            let reserved = spending.reserve(&mut second, &ONE, NanoUsd(1), UnixMillis(0));
            let reserved = reserved.expect("there is money");
            spending.settle(
                &mut second,
                Period::Day,
                &reserved,
                Some(NanoUsd(1)),
                UnixMillis(0),
            );
            let thread = loom::thread::spawn({
                let spending = Arc::clone(&spending);
                move || spending.reserve(&mut second, &ONE, NanoUsd(1), DAY).is_ok()
            });
            let here = spending
                .reserve(&mut first, &ONE, NanoUsd(1), UnixMillis(0))
                .is_ok();
            let there = thread.join().expect("it does not panic");
            assert!(!(here && there), "today's money or tomorrow's, not both");
            let read = spending.read(Period::Day, DAY);
            assert_eq!(read.reserved, NanoUsd(u64::from(here || there)));
        });
    }

    /// Who sees that a worker's money was emptied sees that its period began, too: else
    /// what it spent in the period before would be forgotten in that.
    #[test]
    fn money_is_emptied_with_its_period_only() {
        loom::model(|| {
            let (spending, mut first, mut second) = two();
            let day = UnixMillis(0);
            let mut reserve = |amount| {
                let reserved = spending.reserve(&mut second, &ONE, NanoUsd(amount), day);
                reserved.expect("there is money")
            };
            let (all, nothing) = (reserve(1), reserve(0));
            spending.settle(&mut second, Period::Day, &all, Some(NanoUsd(1)), day);
            let thread = loom::thread::spawn({
                let spending = Arc::clone(&spending);
                move || spending.settle(&mut second, Period::Day, &nothing, None, DAY)
            });
            let here = spending.reserve(&mut first, &ONE, NanoUsd(1), day).is_ok();
            let period = spending.cells[first.index()].period.load(Ordering::Relaxed);
            // Tomorrow's may be refused where the money is seen before it is emptied.
            assert!(!here || period == 1, "today's money is spent");
            thread.join().expect("it does not panic");
        });
    }
}
