//! Checks of passwords, one at a time: each costs as much as a thousand requests.

use argon2::Argon2;
use argon2::password_hash::PasswordVerifier;
use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Checks at a time: logins take at most one core from the workers.
const RUNNING_MAX: usize = 1;
/// Logins that wait for theirs; fewer than `handover::RUNNING_MAX`, so that the control plane
/// goes on whatever comes in.
const WAITING_MAX: usize = 8;

/// Too many wait already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Busy;

/// Room for checks.
pub(super) struct Passwords {
    waiting: Arc<Semaphore>,
    running: Arc<Semaphore>,
}

/// The right to check one password.
pub(super) struct Turn {
    _waiting: OwnedSemaphorePermit,
    _running: OwnedSemaphorePermit,
}

impl Passwords {
    pub(super) fn new() -> Self {
        Self {
            waiting: Arc::new(Semaphore::new(RUNNING_MAX + WAITING_MAX)),
            running: Arc::new(Semaphore::new(RUNNING_MAX)),
        }
    }

    /// Waits for a turn.
    ///
    /// # Errors
    /// Too many wait already.
    pub(super) async fn turn(&self) -> Result<Turn, Busy> {
        let waiting = Arc::clone(&self.waiting).try_acquire_owned();
        let waiting = waiting.map_err(|_| Busy)?;
        let running = Arc::clone(&self.running).acquire_owned().await;
        Ok(Turn {
            _waiting: waiting,
            _running: running.expect("this semaphore is never closed"),
        })
    }
}

impl Turn {
    /// Whether the password has this hash. The turn lasts as long as the work does, also where
    /// the client has left.
    pub(super) async fn check(self, password: String, hash: String) -> bool {
        let work = move || {
            let _turn = self;
            let checked = Argon2::default().verify_password(password.as_bytes(), hash.as_str());
            checked.is_ok()
        };
        // Fails where the runtime ends or the check panics: then nobody logs in.
        tokio::task::spawn_blocking(work).await.unwrap_or(false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_crowd_is_turned_away_and_the_others_come_in_turn() {
        let passwords = Arc::new(Passwords::new());
        let first = passwords.turn().await.expect("a turn");
        let crowd: Vec<_> = (0..WAITING_MAX)
            .map(|_| {
                let passwords = Arc::clone(&passwords);
                tokio::spawn(async move { passwords.turn().await.map(drop) })
            })
            .collect();
        tokio::task::yield_now().await;
        assert_eq!(passwords.turn().await.err(), Some(Busy));
        assert!(crowd.iter().all(|waiting| !waiting.is_finished()));
        drop(first);
        for waiting in crowd {
            assert_eq!(waiting.await.expect("it runs"), Ok(()));
        }
        assert!(passwords.turn().await.is_ok());
    }
}
