//! A pair of barriers that costs the writer nothing and the reader a system call.
//!
//! A writer that says "I write" and then looks what the reader asked for needs a full
//! barrier between the two, and so does the reader between asking and looking. The
//! writer does that a million times a second and the reader once in a scrape, so the
//! reader pays for both: Linux' `membarrier` makes every running thread of the process
//! pass a full barrier.

use crate::sync::{Ordering, fence};

/// Which pair is in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Barrier {
    /// The reader pays for both.
    #[cfg(all(target_os = "linux", not(loom)))]
    Asymmetric,
    /// Each pays for itself: where `membarrier` is not to be had, and in loom's models,
    /// which thereby prove what the other pair stands for.
    Symmetric,
}

impl Barrier {
    /// The cheapest pair that this system has.
    pub(crate) fn new() -> Self {
        #[cfg(all(target_os = "linux", not(loom)))]
        {
            use rustix::thread::{MembarrierCommand, membarrier};
            if membarrier(MembarrierCommand::RegisterPrivateExpedited).is_ok() {
                return Self::Asymmetric;
            }
        }
        Self::Symmetric
    }

    /// The writer's half: no instruction at all, where the reader pays.
    #[inline]
    pub(crate) fn light(self) {
        match self {
            #[cfg(all(target_os = "linux", not(loom)))]
            Self::Asymmetric => std::sync::atomic::compiler_fence(Ordering::SeqCst),
            Self::Symmetric => fence(Ordering::SeqCst),
        }
    }

    /// The reader's half: about a microsecond.
    pub(crate) fn heavy(self) {
        match self {
            #[cfg(all(target_os = "linux", not(loom)))]
            Self::Asymmetric => {
                use rustix::thread::{MembarrierCommand, membarrier};
                // It cannot fail after it was registered; going on without it could lose
                // records, so that is no choice.
                membarrier(MembarrierCommand::PrivateExpedited)
                    .expect("the kernel keeps what it registered");
            }
            Self::Symmetric => fence(Ordering::SeqCst),
        }
    }
}
