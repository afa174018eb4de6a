//! Waiting for another process, with a bound.

use std::time::{Duration, Instant};

/// How long a test waits for another process before it calls that a failure.
///
/// Never reached in a run that passes; long enough for a debug build on a
/// machine that is busy with other work.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Pause between two looks at another process that has no way to wake us.
pub const POLL: Duration = Duration::from_millis(20);

/// Looks again and again until there is an answer.
///
/// # Panics
/// If there is none within [`PATIENCE`]; `what` says what was waited for.
pub fn poll<T>(what: &str, look: impl FnMut() -> Option<T>) -> T {
    poll_for(PATIENCE, what, look)
}

/// As [`poll`], for what has a clock of its own and may take longer.
///
/// # Panics
/// If there is no answer in that time.
pub fn poll_for<T>(patience: Duration, what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + patience;
    loop {
        if let Some(answer) = look() {
            return answer;
        }
        assert!(Instant::now() < deadline, "gave up waiting for {what}");
        std::thread::sleep(POLL);
    }
}
