//! A coarse clock and timer, for idle time-outs that nearly never fire.
//!
//! One timer of the backend ticks for the whole worker; a coarse sleep is one entry in
//! a table of the thread. Its handle is two integers, so it is `Send` and `Sync`, which
//! hyper asks of a timer and monoio's own sleep cannot give.

use crate::local;
use crate::time::sleep;
use hyper::rt::{Sleep, Timer};
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

/// The step of [`coarse_now`] and [`CoarseTimer`].
///
/// Header and idle time-outs are seconds; ten wake-ups a second cost an idle worker
/// about 0.01 % of a core.
pub const TICK: Duration = Duration::from_millis(100);

/// Longer than any process lives.
const CENTURY: Duration = Duration::from_secs(100 * 365 * 24 * 3600);

/// The time at this worker's last tick: at most [`TICK`] old, unless the worker is busy.
///
/// # Panics
/// Outside of a worker.
///
/// # Cost
/// Two thread-local loads, no system call.
#[must_use]
pub fn coarse_now() -> Instant {
    local::current().ticks.now.get()
}

/// The coarse clock of one worker and who waits for it.
pub(crate) struct Ticks {
    start: Instant,
    now: Cell<Instant>,
    next_id: Cell<u64>,
    waiting: RefCell<BTreeMap<Key, Option<Waker>>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    tick: u64,
    id: u64,
}

impl Ticks {
    pub(crate) fn new() -> Self {
        let start = Instant::now();
        Self {
            start,
            now: Cell::new(start),
            next_id: Cell::new(0),
            waiting: RefCell::default(),
        }
    }

    /// The first tick at or after `deadline`: a coarse sleep is never early.
    fn add(&self, deadline: Instant) -> Key {
        let tick = deadline
            .saturating_duration_since(self.start)
            .as_nanos()
            .div_ceil(TICK.as_nanos());
        let key = Key {
            tick: u64::try_from(tick).unwrap_or(u64::MAX),
            id: self.next_id.replace(self.next_id.get() + 1),
        };
        self.waiting.borrow_mut().insert(key, None);
        key
    }

    fn remove(&self, key: Key) {
        self.waiting.borrow_mut().remove(&key);
    }

    /// Ready once the tick was taken out by [`Ticks::advance`].
    fn poll(&self, key: Key, cx: &Context<'_>) -> Poll<()> {
        match self.waiting.borrow_mut().get_mut(&key) {
            None => Poll::Ready(()),
            Some(Some(waker)) => {
                waker.clone_from(cx.waker());
                Poll::Pending
            }
            Some(vacant) => {
                *vacant = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }

    /// Moves the clock to `now` and wakes everyone whose tick has come.
    fn advance(&self, now: Instant) {
        self.now.set(now);
        let ticks = now.saturating_duration_since(self.start).as_nanos() / TICK.as_nanos();
        let first_later = Key {
            tick: u64::try_from(ticks).unwrap_or(u64::MAX).saturating_add(1),
            id: 0,
        };
        let due = {
            let mut waiting = self.waiting.borrow_mut();
            let later = waiting.split_off(&first_later);
            std::mem::replace(&mut *waiting, later)
        };
        // Woken outside of the borrow.
        for waker in due.into_values().flatten() {
            waker.wake();
        }
    }
}

/// The chore that ticks.
pub(crate) async fn tick_forever() {
    loop {
        sleep(TICK).await;
        local::current().ticks.advance(Instant::now());
    }
}

/// A [`hyper::rt::Timer`] that is up to two [`TICK`]s late and never early.
///
/// For header and idle time-outs. Its sleeps belong to the worker that made them.
///
/// # Panics
/// Making a sleep panics outside of a worker.
#[derive(Clone, Copy, Debug, Default)]
pub struct CoarseTimer;

#[derive(Debug)]
struct CoarseSleep {
    key: Key,
}

impl Timer for CoarseTimer {
    fn sleep(&self, duration: Duration) -> Pin<Box<dyn Sleep>> {
        let now = Instant::now();
        // A sleep of centuries would overflow the clock: one of a century will do.
        self.sleep_until(now.checked_add(duration).unwrap_or(now + CENTURY))
    }

    fn sleep_until(&self, deadline: Instant) -> Pin<Box<dyn Sleep>> {
        let key = local::current().ticks.add(deadline);
        Box::pin(CoarseSleep { key })
    }

    fn reset(&self, sleep: &mut Pin<Box<dyn Sleep>>, new_deadline: Instant) {
        match sleep.as_mut().downcast_mut_pin::<CoarseSleep>() {
            Some(mut coarse) => {
                let local = local::current();
                local.ticks.remove(coarse.key);
                coarse.key = local.ticks.add(new_deadline);
            }
            None => *sleep = self.sleep_until(new_deadline),
        }
    }
}

impl Future for CoarseSleep {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        local::current().ticks.poll(self.key, cx)
    }
}

impl Sleep for CoarseSleep {}

impl Drop for CoarseSleep {
    fn drop(&mut self) {
        // Dropped after its worker ended, the table is gone with it.
        if let Some(local) = local::try_current() {
            local.ticks.remove(self.key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
    use std::task::Wake;

    #[derive(Default)]
    struct Wakes(AtomicUsize);

    impl Wake for Wakes {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Relaxed);
        }
    }

    #[test]
    fn a_sleep_ends_at_the_first_tick_from_its_deadline_on() {
        let wakes = Arc::new(Wakes::default());
        let waker = Waker::from(Arc::clone(&wakes));
        let cx = Context::from_waker(&waker);
        let ticks = Ticks::new();
        let step = |tick: u32| ticks.start + TICK * tick;
        let exact = ticks.add(step(2));
        let between = ticks.add(step(2) + Duration::from_nanos(1));
        assert!(ticks.poll(exact, &cx).is_pending());
        assert!(ticks.poll(between, &cx).is_pending());

        ticks.advance(step(2) - Duration::from_nanos(1));
        assert_eq!(wakes.0.load(Relaxed), 0, "early");
        ticks.advance(step(2));
        assert!(ticks.poll(exact, &cx).is_ready());
        assert!(ticks.poll(between, &cx).is_pending(), "early");
        ticks.advance(step(3));
        assert!(ticks.poll(between, &cx).is_ready());
        assert_eq!(wakes.0.load(Relaxed), 2);
        assert_eq!(ticks.now.get(), step(3));
        assert!(ticks.waiting.borrow().is_empty());
    }

    #[test]
    fn a_dropped_sleep_leaves_nothing_and_a_past_one_ends_at_the_next_tick() {
        let ticks = Ticks::new();
        let far = ticks.add(ticks.start + Duration::from_secs(u64::from(u32::MAX)));
        ticks.remove(far);
        assert!(ticks.waiting.borrow().is_empty());
        let past = ticks.add(ticks.start);
        ticks.advance(ticks.start);
        assert!(
            ticks
                .poll(past, &Context::from_waker(Waker::noop()))
                .is_ready()
        );
    }
}
