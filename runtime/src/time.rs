//! Sleeping, and giving up.

use crate::local;
use crate::options::Backend;
use std::fmt;
use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

/// Waits for at least `duration`, to the millisecond.
///
/// # Panics
/// Outside of a worker.
pub async fn sleep(duration: Duration) {
    match local::current().backend {
        #[cfg(target_os = "linux")]
        // Boxed: it has 640 bytes that lie on 128, and every future that may sleep would have
        // them in each of its states, moved and held by those that never do.
        Backend::Monoio => Box::pin(::monoio::time::sleep(duration)).await,
        #[cfg(not(target_os = "linux"))]
        Backend::Monoio => unreachable!("monoio is never selected on this system"),
        #[cfg(all(feature = "glommio", target_os = "linux"))]
        Backend::Glommio => ::glommio::timer::sleep(duration).await,
        #[cfg(not(all(feature = "glommio", target_os = "linux")))]
        Backend::Glommio => unreachable!("glommio is never selected in this build"),
        Backend::Tokio => ::tokio::time::sleep(duration).await,
    }
}

/// The time was up before the future was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Elapsed;

impl fmt::Display for Elapsed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the time was up")
    }
}

impl std::error::Error for Elapsed {}

/// Runs `future` for at most `limit`, then drops it.
///
/// Never put it around an accept: [`Listener::next`](crate::Listener::next) stops by
/// itself. After a read or write was given up, drop the connection: a part of a larger
/// exchange may have happened, and a backend to come may lend buffers to the kernel.
///
/// # Errors
/// [`Elapsed`] when the time is up first; a future that is ready then still wins.
///
/// # Panics
/// Outside of a worker.
pub async fn timeout<T>(limit: Duration, future: impl Future<Output = T>) -> Result<T, Elapsed> {
    let mut future = pin!(future);
    let mut sleep = pin!(sleep(limit));
    poll_fn(|cx| {
        if let Poll::Ready(value) = future.as_mut().poll(cx) {
            return Poll::Ready(Ok(value));
        }
        sleep.as_mut().poll(cx).map(|()| Err(Elapsed))
    })
    .await
}
