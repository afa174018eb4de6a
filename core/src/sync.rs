//! The one place that names atomics: `std`'s, or loom's when the models run.

#[cfg(not(loom))]
mod imp {
    pub(crate) use std::sync::atomic::{AtomicU32, AtomicU64, fence};
    pub(crate) use std::sync::{Arc, Mutex};

    /// A cell that is written once and read by anyone.
    pub(crate) type Once<T> = std::sync::OnceLock<T>;

    /// Gives the processor to whoever must finish first.
    pub(crate) fn wait_a_little(spins: u32) {
        // A record takes nanoseconds, so spinning is enough unless its thread lost its core.
        if spins < 64 {
            std::hint::spin_loop();
        } else {
            std::thread::yield_now();
        }
    }
}

#[cfg(loom)]
mod imp {
    use loom::sync::atomic::{AtomicBool, Ordering};
    pub(crate) use loom::sync::atomic::{AtomicU32, AtomicU64, fence};
    pub(crate) use loom::sync::{Arc, Mutex};

    /// Stand-in for `OnceLock`: the value sits in std's, the edge is loom's, and a
    /// tracked unit cell makes loom report a read that the edge does not order.
    #[derive(Debug)]
    pub(crate) struct Once<T> {
        value: std::sync::OnceLock<T>,
        published: AtomicBool,
        race: loom::cell::UnsafeCell<()>,
    }

    impl<T> Once<T> {
        pub(crate) fn new() -> Self {
            Self {
                value: std::sync::OnceLock::new(),
                published: AtomicBool::new(false),
                race: loom::cell::UnsafeCell::new(()),
            }
        }

        pub(crate) fn get(&self) -> Option<&T> {
            // Acquire: partner is the Release in `set`.
            if !self.published.load(Ordering::Acquire) {
                return None;
            }
            self.race.with(|_| ());
            self.value.get()
        }

        pub(crate) fn set(&self, value: T) -> Result<(), T> {
            self.race.with_mut(|_| ());
            self.value.set(value)?;
            // Release: partner is the Acquire in `get`.
            self.published.store(true, Ordering::Release);
            Ok(())
        }
    }

    pub(crate) fn wait_a_little(_spins: u32) {
        loom::thread::yield_now();
    }
}

pub(crate) use imp::*;
pub(crate) use std::sync::atomic::Ordering;
