//! A limit by the minute: a sliding window of sixteen slots.

use super::Seat;
use crate::sync::{AtomicU64, Ordering, fence};
use crossbeam_utils::CachePadded;

/// Slots of a window. Sixteen words are two cache lines, which is what padding takes.
pub const SLOTS: usize = 16;
/// The time that a limit speaks of, in milliseconds.
pub const WINDOW_MS: u64 = 60_000;
/// A slot's length in milliseconds.
pub const SLOT_MS: u64 = WINDOW_MS / SLOTS as u64;

/// A word: the slot's number in the upper 24 bits, what was taken in it below.
///
/// Numbers come round after two years, and a slot's place is used again after a minute,
/// so an old number can only stand in a word that was not written for exactly two years.
const COUNT_BITS: u32 = 40;
/// A slot of one worker counts at most this: 1.1 trillion in 3.75 s.
pub const COUNT_MAX: u64 = (1 << COUNT_BITS) - 1;
const NUMBER_MASK: u64 = u64::MAX >> COUNT_BITS;

/// What all workers took of one limit in the last minute.
///
/// What was taken comes back between 56.25 and 60 seconds later, when its slot leaves
/// the window. So who keeps within the limit in every 60 seconds is never refused, and
/// no more than the limit is ever taken in any 56.25 seconds.
///
/// Times are milliseconds since any moment that is the same for all workers.
#[derive(Debug)]
pub struct Window {
    cells: Box<[CachePadded<[AtomicU64; SLOTS]>]>,
}

/// What a request took, to be settled when it is known what it used.
#[derive(Debug)]
#[must_use = "what was taken is settled when the request is over"]
pub struct Taken {
    slot: u64,
    amount: u64,
    /// How the window stands, with this in it.
    pub level: Level,
}

/// How a window stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Level {
    /// What is left of the limit.
    pub remaining: u64,
    /// Milliseconds until all of it is there again, if nothing more is taken.
    pub reset_ms: u64,
}

/// A refusal: the limit is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full {
    /// How the window stands.
    pub level: Level,
    /// Milliseconds until there is room, if nothing more is taken; at least 1.
    pub retry_after_ms: u64,
}

impl Window {
    /// A window that nothing was taken of, for so many workers.
    #[must_use]
    pub fn new(workers: usize) -> Self {
        let cell = |_| CachePadded::new(std::array::from_fn(|_| AtomicU64::new(0)));
        Self {
            cells: (0..workers).map(cell).collect(),
        }
    }

    /// Takes `amount`, or the whole limit where `amount` is above it: such a request
    /// goes through when nothing else used the minute.
    ///
    /// # Errors
    /// [`Full`] where it would be more than `limit`; nothing is taken then.
    ///
    /// # Panics
    /// If the seat is of more workers than the window.
    ///
    /// # Cost
    /// A store, a fence, and sixteen loads a worker. With one worker there is no fence.
    #[inline]
    pub fn take(
        &self,
        seat: &mut Seat,
        limit: u64,
        amount: u64,
        now_ms: u64,
    ) -> Result<Taken, Full> {
        let slot = seat.slot(now_ms);
        let amount = amount.min(limit);
        let own = self.own(seat, slot);
        let old = own.load(Ordering::Relaxed);
        own.store(with(old, slot, amount), Ordering::Relaxed);
        if self.cells.len() > 1 {
            // SeqCst: partner is this fence in the other workers. Of two, the later one's
            // worker sees the word that the other stored before it.
            fence(Ordering::SeqCst);
        }
        let used = self.used(slot);
        if used > limit {
            own.store(old, Ordering::Relaxed);
            return Err(self.full(slot, limit, amount, now_ms));
        }
        let level = Level {
            remaining: limit - used,
            reset_ms: until(slot + SLOTS as u64, now_ms),
        };
        Ok(Taken {
            slot,
            amount,
            level,
        })
    }

    /// How many milliseconds until `amount` would fit, if nothing more is taken; `None`
    /// where it fits now. Anyone may ask.
    #[must_use]
    pub fn wait_ms(&self, limit: u64, amount: u64, now_ms: u64) -> Option<u64> {
        let slot = now_ms / SLOT_MS;
        let amount = amount.min(limit);
        if self.used(slot).saturating_add(amount) <= limit {
            return None;
        }
        Some(self.full(slot, limit, amount, now_ms).retry_after_ms)
    }

    /// Puts `actual` in the place of what was taken: less goes back to the slot it came
    /// from, more counts now.
    ///
    /// # Panics
    /// If the seat is of more workers than the window.
    pub fn settle(&self, seat: &mut Seat, taken: &Taken, actual: u64, now_ms: u64) {
        if let Some(more) = actual.checked_sub(taken.amount) {
            if more > 0 {
                let slot = seat.slot(now_ms);
                let own = self.own(seat, slot);
                own.store(
                    with(own.load(Ordering::Relaxed), slot, more),
                    Ordering::Relaxed,
                );
            }
            return;
        }
        let own = self.own(seat, taken.slot);
        let word = own.load(Ordering::Relaxed);
        // Where the slot's place was used again, what was taken has come back already.
        if number(word) == taken.slot & NUMBER_MASK {
            let left = count(word).saturating_sub(taken.amount - actual);
            own.store(pack(taken.slot, left), Ordering::Relaxed);
        }
    }

    /// How the window stands. Anyone may ask.
    #[must_use]
    pub fn level(&self, limit: u64, now_ms: u64) -> Level {
        let slot = now_ms / SLOT_MS;
        let by_age = self.by_age(slot);
        let used = by_age.iter().fold(0u64, |sum, n| sum.saturating_add(*n));
        let newest = by_age.iter().position(|n| *n > 0);
        Level {
            remaining: limit.saturating_sub(used),
            reset_ms: newest.map_or(0, |age| until(slot + (SLOTS - age) as u64, now_ms)),
        }
    }

    fn own(&self, seat: &Seat, slot: u64) -> &AtomicU64 {
        &self.cells[seat.index()][slot as usize % SLOTS]
    }

    #[inline]
    fn used(&self, slot: u64) -> u64 {
        let mut used = 0u64;
        for cell in &self.cells {
            for word in cell.iter() {
                let word = word.load(Ordering::Relaxed);
                // Without a branch: which of sixteen words are old is as good as random. Sums
                // of 2^40 overflow only above 2^24 words.
                used += count(word) & u64::from(is_of_window(word, slot)).wrapping_neg();
            }
        }
        used
    }

    /// What was taken, by how many slots ago.
    fn by_age(&self, slot: u64) -> [u64; SLOTS] {
        let mut by_age = [0u64; SLOTS];
        for word in self.cells.iter().flat_map(|cell| cell.iter()) {
            let word = word.load(Ordering::Relaxed);
            if let Some(taken) = by_age.get_mut(age(word, slot) as usize) {
                *taken = taken.saturating_add(count(word));
            }
        }
        by_age
    }

    #[cold]
    fn full(&self, slot: u64, limit: u64, amount: u64, now_ms: u64) -> Full {
        let by_age = self.by_age(slot);
        let mut used = by_age.iter().fold(0u64, |sum, n| sum.saturating_add(*n));
        let newest = by_age.iter().position(|n| *n > 0).unwrap_or(0);
        let level = Level {
            remaining: limit.saturating_sub(used),
            reset_ms: until(slot + (SLOTS - newest) as u64, now_ms),
        };
        // The oldest go first; `amount` fits at the latest when all have gone.
        let mut free_at = slot + 1;
        for (age, taken) in by_age.iter().enumerate().rev() {
            if used.saturating_add(amount) <= limit {
                break;
            }
            used -= taken;
            free_at = slot + (SLOTS - age) as u64;
        }
        Full {
            level,
            // Where it fits by now, another worker took back what it had added.
            retry_after_ms: until(free_at, now_ms).max(1),
        }
    }
}

fn until(slot: u64, now_ms: u64) -> u64 {
    (slot * SLOT_MS).saturating_sub(now_ms)
}

const fn pack(slot: u64, taken: u64) -> u64 {
    let taken = if taken < COUNT_MAX { taken } else { COUNT_MAX };
    (slot & NUMBER_MASK) << COUNT_BITS | taken
}

const fn number(word: u64) -> u64 {
    word >> COUNT_BITS
}

const fn count(word: u64) -> u64 {
    word & COUNT_MAX
}

/// The word with `amount` more in this slot; what it held of an older one is forgotten.
#[inline]
fn with(word: u64, slot: u64, amount: u64) -> u64 {
    let before = if number(word) == slot & NUMBER_MASK {
        count(word)
    } else {
        0
    };
    pack(slot, before.saturating_add(amount))
}

/// How many slots ago a word was written; 0 where its worker's clock is a little ahead.
#[inline]
const fn age(word: u64, slot: u64) -> u64 {
    let age = slot.wrapping_sub(number(word)) & NUMBER_MASK;
    if age > NUMBER_MASK - SLOTS as u64 {
        0
    } else {
        age
    }
}

/// Whether a word's [`age`] is below [`SLOTS`], by one comparison.
#[inline]
const fn is_of_window(word: u64, slot: u64) -> bool {
    let ahead = SLOTS as u64;
    slot.wrapping_add(ahead).wrapping_sub(number(word)) & NUMBER_MASK < 2 * ahead
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_is_of_the_window_is_what_is_young_enough(
            slot in prop_oneof![any::<u64>(), (0u64..64).prop_map(|n| NUMBER_MASK - 32 + n)],
            back in prop_oneof![-40i64..40, any::<i64>()],
            amount in any::<u64>(),
        ) {
            let word = pack(slot.wrapping_add_signed(back), amount);
            prop_assert_eq!(is_of_window(word, slot), age(word, slot) < SLOTS as u64);
        }
    }

    fn one() -> (Window, Seat) {
        let seat = Seat::all(1).pop().expect("one");
        (Window::new(1), seat)
    }

    #[test]
    fn two_a_minute_are_two_and_come_back_after_a_minute() {
        let (window, mut seat) = one();
        let mut take = |now| window.take(&mut seat, 2, 1, now).map(|taken| taken.level);
        let level = |remaining, reset_ms| Level {
            remaining,
            reset_ms,
        };
        assert_eq!(take(1_000), Ok(level(1, 59_000)));
        assert_eq!(take(31_000), Ok(level(0, 59_000)));
        let full = take(31_000).expect_err("two were taken");
        assert_eq!(window.wait_ms(2, 1, 31_000), Some(29_000));
        assert_eq!(window.wait_ms(2, 1, 60_000), None);
        assert_eq!(full.level, level(0, 59_000));
        assert_eq!(full.retry_after_ms, 29_000);
        assert!(take(59_999).is_err());
        assert_eq!(take(60_000), Ok(level(0, 60_000)));
        assert!(take(61_000).is_err());
    }

    #[test]
    fn what_was_not_used_goes_back_and_what_was_used_beyond_counts() {
        let (window, mut seat) = one();
        let taken = window.take(&mut seat, 100, 60, 0).expect("room");
        assert_eq!(
            window
                .take(&mut seat, 100, 41, 0)
                .err()
                .map(|f| f.level.remaining),
            Some(40)
        );
        window.settle(&mut seat, &taken, 10, 5_000);
        assert_eq!(window.level(100, 5_000).remaining, 90);
        let taken = window.take(&mut seat, 100, 20, 5_000).expect("room");
        window.settle(&mut seat, &taken, 500, 6_000);
        assert_eq!(window.level(100, 6_000).remaining, 0);
        assert!(window.take(&mut seat, 100, 1, 60_000).is_err());
        assert!(window.take(&mut seat, 100, 1, 63_750).is_ok());
    }

    #[test]
    fn what_comes_back_late_is_not_given_back_twice() {
        let (window, mut seat) = one();
        let old = window.take(&mut seat, 10, 9, 0).expect("room");
        let _new = window
            .take(&mut seat, 10, 9, 60_000)
            .expect("the minute is over");
        window.settle(&mut seat, &old, 0, 60_000);
        assert_eq!(window.level(10, 60_000).remaining, 1);
    }

    #[test]
    fn more_than_the_limit_passes_an_empty_minute_only() {
        let (window, mut seat) = one();
        assert!(window.take(&mut seat, 10, 1_000, 0).is_ok());
        assert!(window.take(&mut seat, 10, 1_000, 59_000).is_err());
        assert!(window.take(&mut seat, 10, 1_000, 60_000).is_ok());
    }

    #[test]
    fn a_clock_that_steps_back_gives_nothing_back() {
        let (window, mut seat) = one();
        assert!(window.take(&mut seat, 1, 1, 120_000).is_ok());
        assert!(window.take(&mut seat, 1, 1, 10).is_err());
    }

    /// A worker's clock may be read a little later than another's.
    #[test]
    fn workers_on_both_sides_of_a_slots_border_see_each_other() {
        let window = Window::new(2);
        let mut seats = Seat::all(2);
        let mut second = seats.pop().expect("two");
        let mut first = seats.pop().expect("two");
        assert!(window.take(&mut first, 1, 1, SLOT_MS).is_ok());
        assert!(window.take(&mut second, 1, 1, SLOT_MS - 1).is_err());
    }

    /// Two threads at full rate over many windows: never above the limit, and no request
    /// is refused while there is room for all that are under way.
    #[test]
    fn threads_that_race_take_no_more_than_the_limit() {
        const LIMIT: u64 = 1_000;
        const ROUNDS: u64 = 200;
        let window = Window::new(2);
        let barrier = std::sync::Barrier::new(2);
        let taken: Vec<Vec<u64>> = std::thread::scope(|scope| {
            let threads: Vec<_> = Seat::all(2)
                .into_iter()
                .map(|mut seat| {
                    let (window, barrier) = (&window, &barrier);
                    scope.spawn(move || {
                        (0..ROUNDS)
                            .map(|round| {
                                barrier.wait();
                                let now = round * WINDOW_MS;
                                let take = |_: &u64| window.take(&mut seat, LIMIT, 1, now).is_ok();
                                (0..LIMIT).filter(take).count() as u64
                            })
                            .collect()
                    })
                })
                .collect();
            let join = |thread: std::thread::ScopedJoinHandle<'_, Vec<u64>>| {
                thread.join().expect("it does not panic")
            };
            threads.into_iter().map(join).collect()
        });
        for (a, b) in taken[0].iter().zip(&taken[1]) {
            assert!(a + b <= LIMIT, "{a} + {b}");
            // Each alone would have tried to take all of it.
            assert!(a + b >= LIMIT - 1, "{a} + {b}");
        }
    }
}

#[cfg(all(test, loom))]
mod loom_models {
    use super::*;
    use crate::sync::Arc;

    /// Of two workers that take the last unit at the same time, not both get it.
    #[test]
    fn the_last_unit_goes_to_one_worker_at_most() {
        loom::model(|| {
            let window = Arc::new(Window::new(2));
            let mut seats = Seat::all(2);
            let mut other = seats.pop().expect("two");
            let mut own = seats.pop().expect("two");
            let thread = loom::thread::spawn({
                let window = Arc::clone(&window);
                move || window.take(&mut other, 1, 1, 0).is_ok()
            });
            let here = window.take(&mut own, 1, 1, 0).is_ok();
            let there = thread.join().expect("it does not panic");
            assert!(!(here && there), "two of one");
            // What was refused was taken back.
            let left = window.level(1, 0).remaining;
            assert_eq!(left, 1 - u64::from(here || there));
        });
    }

    /// What a worker settles is seen as the whole reservation or as what was used,
    /// and the words of two slots never count twice.
    #[test]
    fn settling_gives_no_more_than_was_taken() {
        loom::model(|| {
            let window = Arc::new(Window::new(2));
            let mut seats = Seat::all(2);
            let mut other = seats.pop().expect("two");
            let mut own = seats.pop().expect("two");
            let taken = window.take(&mut other, 4, 3, 0).expect("room");
            let thread = loom::thread::spawn({
                let window = Arc::clone(&window);
                move || window.settle(&mut other, &taken, 2, SLOT_MS)
            });
            // 3 or 2 of 4 are used: one fits in any case, three never do.
            assert!(window.take(&mut own, 4, 3, SLOT_MS).is_err());
            assert!(window.take(&mut own, 4, 1, SLOT_MS).is_ok());
            thread.join().expect("it does not panic");
            assert_eq!(window.level(4, SLOT_MS).remaining, 1);
        });
    }
}
