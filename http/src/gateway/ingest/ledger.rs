//! Which ids were accepted before.
//!
//! An id is kept as a 128-bit hash, SipHash-1-3 with a key of this process: two of a
//! billion ids meet with a probability of 10^-21, and nobody who does not know the key can
//! look for two that do. Hashes are spread
//! over stripes; each has a set of the ids since some time and the set before it. When
//! the younger set is as old as the window, or full, it becomes the older one and what
//! was the older one goes.

use coo_llm_config::Ingest;
use siphasher::sip128::{Hasher128, SipHasher13};
use std::collections::HashSet;
use std::fmt;
use std::hash::{BuildHasher, BuildHasherDefault, Hasher, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, TryLockError};
use std::time::{Duration, Instant};

/// So many that two workers seldom want the same one, and that each set is small: it
/// grows by moving all it has, within a claim.
const STRIPES: usize = 1024;

/// What a claim of an id comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Claim {
    /// It is new, and from now on it is not.
    New,
    /// It was claimed before.
    Duplicate,
    /// Another worker looks into the same stripe: try again later. Nothing was claimed.
    Busy,
}

/// The ids of the records that were accepted, for all workers.
#[derive(Debug)]
pub struct Ledger {
    stripes: Box<[Mutex<Stripe>]>,
    hasher: Keyed,
    window: Duration,
    /// Ids in one of the two sets of a stripe.
    set_max: usize,
    evicted: AtomicU64,
}

type Ids = HashSet<u128, BuildHasherDefault<Low>>;

/// A hasher with the key of this process in it, which is not shown.
#[derive(Clone, Copy)]
struct Keyed(SipHasher13);

impl fmt::Debug for Keyed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Keyed(..)")
    }
}

/// A hash of what is a hash already.
#[derive(Debug, Default)]
struct Low(u64);

impl Hasher for Low {
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u128(&mut self, id: u128) {
        self.0 = id as u64;
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

#[derive(Debug, Default)]
struct Stripe {
    young: Ids,
    old: Ids,
    /// When the first id of `young` came.
    young_since: Option<Instant>,
    /// When the last id of `young` came.
    young_until: Option<Instant>,
    /// When the last id of `old` came.
    old_until: Option<Instant>,
}

impl Ledger {
    /// A ledger of these bounds, without ids.
    #[must_use]
    pub fn new(bounds: &Ingest) -> Self {
        let ids_max = usize::try_from(bounds.dedup_max_ids).unwrap_or(usize::MAX);
        Self {
            stripes: (0..STRIPES).map(|_| Mutex::default()).collect(),
            hasher: Keyed(SipHasher13::new_with_keys(secret(), secret())),
            window: bounds.dedup_window,
            set_max: (ids_max / STRIPES / 2).max(1),
            evicted: AtomicU64::new(0),
        }
    }

    /// The hash of a client's id.
    #[must_use]
    pub fn key(&self, client_id: &str, id: &str) -> u128 {
        let Keyed(mut hasher) = self.hasher;
        hasher.write(client_id.as_bytes());
        // A byte that is in no UTF-8, so that ("a","bc") and ("ab","c") differ.
        hasher.write_u8(0xff);
        hasher.write(id.as_bytes());
        hasher.finish128().as_u128()
    }

    /// Takes an id, if it was not taken in the window before `now`.
    ///
    /// # Cost
    /// A lock that is tried and not waited for.
    pub fn claim(&self, key: u128, now: Instant) -> Claim {
        let stripe = &self.stripes[(key >> 64) as usize % STRIPES];
        let mut stripe = match stripe.try_lock() {
            Ok(stripe) => stripe,
            // A panic while it was held leaves sets whole.
            Err(TryLockError::Poisoned(stripe)) => stripe.into_inner(),
            Err(TryLockError::WouldBlock) => return Claim::Busy,
        };
        let (claim, evicted) = stripe.claim(key, now, self.window, self.set_max);
        drop(stripe);
        if evicted > 0 {
            self.evicted.fetch_add(evicted as u64, Ordering::Relaxed);
        }
        claim
    }

    /// Ids that had to go before the window was over.
    #[must_use]
    pub fn evicted(&self) -> u64 {
        self.evicted.load(Ordering::Relaxed)
    }
}

/// 64 bits that nobody outside knows: std seeds its maps from the system.
fn secret() -> u64 {
    RandomState::new().hash_one(0_u64)
}

impl Stripe {
    /// The second number is of ids that had to go too early.
    fn claim(
        &mut self,
        key: u128,
        now: Instant,
        window: Duration,
        set_max: usize,
    ) -> (Claim, usize) {
        let is_past = |then: Option<Instant>| {
            then.is_some_and(|then| now.saturating_duration_since(then) >= window)
        };
        if is_past(self.young_since) {
            self.turn();
        }
        if is_past(self.old_until) {
            self.old.clear();
            self.old_until = None;
        }
        if self.old.contains(&key) || self.young.contains(&key) {
            return (Claim::Duplicate, 0);
        }
        let mut evicted = 0;
        if self.young.len() >= set_max {
            evicted = self.old.len();
            self.turn();
        }
        self.young_since.get_or_insert(now);
        self.young_until = Some(now);
        self.young.insert(key);
        (Claim::New, evicted)
    }

    /// The younger set becomes the older one.
    fn turn(&mut self) {
        std::mem::swap(&mut self.young, &mut self.old);
        self.young.clear();
        self.young_since = None;
        self.old_until = self.young_until.take();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;

    const WINDOW: Duration = Duration::from_secs(100);

    fn ledger(dedup_max_ids: u64) -> Ledger {
        Ledger::new(&Ingest {
            dedup_window: WINDOW,
            dedup_max_ids,
        })
    }

    #[test]
    fn a_key_is_the_clients_and_the_ids() {
        let (ledger, other) = (ledger(100_000), ledger(100_000));
        assert_eq!(ledger.key("a", "bc"), ledger.key("a", "bc"));
        assert_ne!(ledger.key("a", "bc"), ledger.key("ab", "c"));
        assert_ne!(ledger.key("a", "bc"), ledger.key("b", "bc"));
        assert_ne!(ledger.key("a", "bc"), other.key("a", "bc"));
    }

    #[test]
    fn an_id_is_new_once_in_the_window_and_is_forgotten_after_two() {
        let ledger = ledger(100_000);
        let start = Instant::now();
        let claim = |seconds| ledger.claim(7, start + Duration::from_secs(seconds));
        assert_eq!(claim(0), Claim::New);
        assert_eq!(claim(0), Claim::Duplicate);
        assert_eq!(claim(99), Claim::Duplicate);
        // In the same set as one that comes later, it stays for longer.
        assert_eq!(ledger.claim(8, start + Duration::from_secs(99)), Claim::New);
        assert_eq!(claim(198), Claim::Duplicate);
        assert_eq!(claim(200), Claim::New);
        assert_eq!(claim(10_000), Claim::New);
        assert_eq!(ledger.evicted(), 0);
    }

    #[test]
    fn what_is_forgotten_too_early_is_counted_and_the_younger_half_is_kept() {
        let ids_max = 200_000;
        let ledger = ledger(ids_max);
        let now = Instant::now();
        let key = |n: u64| ledger.key("c", &n.to_string());
        for n in 0..2 * ids_max {
            assert_eq!(ledger.claim(key(n), now), Claim::New);
        }
        // Stripes fill unevenly: the last third of the bound is safe.
        for n in 2 * ids_max - ids_max / 3..2 * ids_max {
            assert_eq!(ledger.claim(key(n), now), Claim::Duplicate);
        }
        let kept = |stripe: &Mutex<Stripe>| {
            let stripe = stripe.lock().expect("no test panicked");
            stripe.young.len() + stripe.old.len()
        };
        let kept: usize = ledger.stripes.iter().map(kept).sum();
        assert!(kept as u64 <= ids_max, "{kept}");
        assert_eq!(ledger.evicted() + kept as u64, 2 * ids_max);
    }

    #[test]
    fn what_is_forgotten_in_time_is_not_counted() {
        let ledger = ledger(100_000);
        let start = Instant::now();
        for n in 0..200_000u64 {
            let now = start + Duration::from_secs(n / 5_000 * 50);
            assert_eq!(
                ledger.claim(ledger.key("c", &n.to_string()), now),
                Claim::New
            );
        }
        assert_eq!(ledger.evicted(), 0);
    }

    #[test]
    fn threads_that_claim_the_same_ids_get_each_once() {
        let ledger = ledger(1_000_000);
        let now = Instant::now();
        let claims: Vec<HashMap<u64, Claim>> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..3u64)
                .map(|thread| {
                    let ledger = &ledger;
                    scope.spawn(move || {
                        let claim = |n: u64| loop {
                            let claim = ledger.claim(ledger.key("c", &n.to_string()), now);
                            if claim != Claim::Busy {
                                break (n, claim);
                            }
                        };
                        // Each in an order of its own.
                        let step = [1, 7, 9_999][thread as usize];
                        (0..20_000u64).map(|n| claim(n * step % 20_000)).collect()
                    })
                })
                .collect();
            let joined = threads.into_iter().map(std::thread::ScopedJoinHandle::join);
            joined
                .map(|claims| claims.expect("no thread panics"))
                .collect()
        });
        for n in 0..20_000 {
            let new = claims
                .iter()
                .filter(|claims| claims.get(&n) == Some(&Claim::New));
            assert_eq!(new.count(), 1, "{n}");
        }
    }

    #[test]
    fn a_stripe_in_use_is_busy_and_nothing_is_claimed() {
        let ledger = ledger(100_000);
        let now = Instant::now();
        let held = ledger.stripes[0].lock().expect("no one panicked");
        assert_eq!(ledger.claim(5, now), Claim::Busy);
        drop(held);
        assert_eq!(ledger.claim(5, now), Claim::New);
    }
}
