//! Gates that hold a response until the test opens them: synchronisation without a sleep.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use tokio::sync::watch;

/// Named gates, all closed at first.
#[derive(Clone, Default)]
pub(super) struct Gates {
    inner: Arc<Mutex<HashMap<String, watch::Sender<bool>>>>,
}

impl Gates {
    fn watch(&self, name: &str) -> watch::Receiver<bool> {
        let mut gates = self.inner.lock().expect("no holder of the gates panics");
        let gate = gates
            .entry(name.to_owned())
            .or_insert_with(|| watch::channel(false).0);
        gate.subscribe()
    }

    /// Lets everyone through, now and later.
    pub(super) fn open(&self, name: &str) {
        drop(self.watch(name));
        let gates = self.inner.lock().expect("no holder of the gates panics");
        gates[name].send_replace(true);
    }

    /// Ready when the gate is open.
    pub(super) fn passed(&self, name: &str) -> impl Future<Output = ()> + Send + use<> {
        let mut gate = self.watch(name);
        async move {
            let open = gate.wait_for(|open| *open).await;
            drop(open.expect("the gates outlive the server's tasks"));
        }
    }
}
