//! Who has failed to log in, and how long they must wait now.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::IpAddr;
use std::time::Duration;

/// Failures of an account in a row, after which it is locked.
const ACCOUNT_FAILURES_MAX: u32 = 5;
/// Failures of an address in a row; more, as people behind one address have several accounts.
const ADDRESS_FAILURES_MAX: u32 = 20;
/// The first lock; each further failure doubles it.
const LOCK: Duration = Duration::from_secs(30);
/// The longest lock: also the time that a stranger can keep somebody from logging in with one
/// attempt.
const LOCK_MAX: Duration = Duration::from_secs(15 * 60);
/// Failures are forgotten after so long without another one.
const MEMORY: Duration = Duration::from_secs(30 * 60);
/// Accounts and addresses that are remembered, each. Where one more fails, the one that failed
/// longest ago is forgotten.
const REMEMBERED_MAX: usize = 4096;

/// What failed and when. Times are since the start of the process.
#[derive(Clone, Copy, Debug, Default)]
struct Strikes {
    failures: u32,
    last: Duration,
    locked_until: Duration,
}

/// Strikes of many.
struct Table<K> {
    failures_max: u32,
    strikes: HashMap<K, Strikes>,
}

impl<K: Hash + Eq + Clone> Table<K> {
    fn new(failures_max: u32) -> Self {
        Self {
            failures_max,
            strikes: HashMap::new(),
        }
    }

    fn wait(&self, key: &K, now: Duration) -> Option<Duration> {
        let until = self.strikes.get(key)?.locked_until;
        until.checked_sub(now).filter(|left| !left.is_zero())
    }

    fn strike(&mut self, key: &K, now: Duration) {
        if self.strikes.len() >= REMEMBERED_MAX && !self.strikes.contains_key(key) {
            let oldest = self.strikes.iter().min_by_key(|(_, strikes)| strikes.last);
            if let Some(oldest) = oldest.map(|(key, _)| key.clone()) {
                self.strikes.remove(&oldest);
            }
        }
        let strikes = self.strikes.entry(key.clone()).or_default();
        if now.saturating_sub(strikes.last) > MEMORY {
            strikes.failures = 0;
        }
        strikes.failures = strikes.failures.saturating_add(1);
        strikes.last = now;
        if let Some(over) = strikes.failures.checked_sub(self.failures_max) {
            let lock = LOCK.saturating_mul(1 << over.min(16)).min(LOCK_MAX);
            strikes.locked_until = now + lock;
        }
    }
}

/// The whole memory.
pub(super) struct Lockout {
    /// By name, whether somebody has it or not: a lock must not tell.
    accounts: Table<String>,
    addresses: Table<Option<IpAddr>>,
}

impl Lockout {
    pub(super) fn new() -> Self {
        Self {
            accounts: Table::new(ACCOUNT_FAILURES_MAX),
            addresses: Table::new(ADDRESS_FAILURES_MAX),
        }
    }

    /// How long both must wait, if either must.
    pub(super) fn wait(
        &self,
        account: &str,
        address: Option<IpAddr>,
        now: Duration,
    ) -> Option<Duration> {
        let account = self.accounts.wait(&account.to_owned(), now);
        account.max(self.addresses.wait(&address, now))
    }

    /// Notes an attempt as failed.
    pub(super) fn strike(&mut self, account: &str, address: Option<IpAddr>, now: Duration) {
        self.accounts.strike(&account.to_owned(), now);
        self.addresses.strike(&address, now);
    }

    /// The attempt was none: all is forgiven for the account, and this one failure for the
    /// address, so that who knows one password cannot try others for ever.
    pub(super) fn forgive(&mut self, account: &str, address: Option<IpAddr>) {
        self.accounts.strikes.remove(account);
        if let Some(strikes) = self.addresses.strikes.get_mut(&address) {
            strikes.failures = strikes.failures.saturating_sub(1);
            strikes.locked_until = Duration::ZERO;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: Option<IpAddr> = Some(IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 1)));

    fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn an_account_locks_longer_with_each_failure() {
        let mut lockout = Lockout::new();
        for n in 0..4 {
            lockout.strike("eve", A, s(n));
            assert_eq!(lockout.wait("eve", A, s(n)), None);
        }
        lockout.strike("eve", A, s(4));
        assert_eq!(lockout.wait("eve", A, s(4)), Some(s(30)));
        assert_eq!(lockout.wait("eve", None, s(33)), Some(s(1)));
        assert_eq!(lockout.wait("adam", A, s(4)), None);
        assert_eq!(lockout.wait("eve", A, s(34)), None);
        for (at, lock) in [(34, 60), (94, 120), (214, 240), (454, 480), (934, 900)] {
            lockout.strike("eve", None, s(at));
            assert_eq!(lockout.wait("eve", None, s(at)), Some(s(lock)));
        }
        // Half an hour after the last failure it begins anew.
        lockout.strike("eve", None, s(934 + 1801));
        assert_eq!(lockout.wait("eve", None, s(934 + 1801)), None);
    }

    #[test]
    fn an_address_locks_whatever_the_names() {
        let mut lockout = Lockout::new();
        for n in 0..20 {
            assert_eq!(lockout.wait("x", A, s(n)), None);
            lockout.strike(&format!("name-{n}"), A, s(n));
        }
        assert_eq!(lockout.wait("x", A, s(19)), Some(s(30)));
        assert_eq!(lockout.wait("x", None, s(19)), None);
    }

    #[test]
    fn a_success_clears_the_account_and_not_the_address() {
        let mut lockout = Lockout::new();
        for n in 0..19 {
            lockout.strike(&format!("name-{n}"), A, s(0));
        }
        // Somebody who knows one password.
        lockout.strike("eve", A, s(1));
        lockout.forgive("eve", A);
        assert_eq!(lockout.wait("eve", A, s(1)), None);
        lockout.strike("name-20", A, s(2));
        assert_eq!(lockout.wait("eve", A, s(2)), Some(s(30)));
    }

    #[test]
    fn memory_has_a_bound() {
        let mut lockout = Lockout::new();
        for n in 0..REMEMBERED_MAX as u64 + 10 {
            let address = IpAddr::from(u32::try_from(n).expect("small").to_be_bytes());
            lockout.strike(&format!("name-{n}"), Some(address), s(n));
        }
        assert_eq!(lockout.accounts.strikes.len(), REMEMBERED_MAX);
        assert_eq!(lockout.addresses.strikes.len(), REMEMBERED_MAX);
        assert!(!lockout.accounts.strikes.contains_key("name-9"));
        assert!(lockout.accounts.strikes.contains_key("name-10"));
    }
}
