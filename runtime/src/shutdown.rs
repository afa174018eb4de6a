//! The signal that asks workers to stop.

use tokio::sync::watch;

/// Tells a worker that it should stop. Clones share one state, across threads.
#[derive(Clone, Debug)]
pub struct Shutdown {
    asked: watch::Receiver<bool>,
}

/// The side that asks.
#[derive(Debug)]
pub(crate) struct ShutdownSender {
    ask: watch::Sender<bool>,
}

/// A connected pair.
pub(crate) fn pair() -> (ShutdownSender, Shutdown) {
    let (ask, asked) = watch::channel(false);
    (ShutdownSender { ask }, Shutdown { asked })
}

impl ShutdownSender {
    /// Asks; asking again changes nothing.
    pub(crate) fn set(&self) {
        self.ask.send_replace(true);
    }
}

impl Shutdown {
    /// Whether the workers were asked to stop.
    #[must_use]
    pub fn is_set(&self) -> bool {
        // The sender lives in `Workers`; once that is gone nobody can ask any more.
        *self.asked.borrow() || self.asked.has_changed().is_err()
    }

    /// Waits until the workers are asked to stop; returns at once if they were.
    ///
    /// Dropping it early is safe.
    pub async fn wait(&self) {
        let mut asked = self.asked.clone();
        // An error says that `Workers` is gone, which asks for the same.
        let _gone = asked.wait_for(|asked| *asked).await;
    }
}
