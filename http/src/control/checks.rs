//! `GET /admin/v1/health`: whether what the gateway needs is there, looked at now.
//!
//! ```text
//! request --.                         .-- database: a commit, a file of 16 KiB
//! request ---+--> one run at a time --+-- providers: TCP and TLS, each; what the workers know
//! request --'     kept for 5 s        +-- memory: /proc, cgroup
//!                                     '-- tasks: the workers' signs of life
//! ```
//! Each check has a time-out and none waits for another. However often it is asked, and
//! whether or not who asked is still there, a provider sees one connection in five seconds.

mod database;
pub(super) mod endpoint;
mod memory;
mod providers;
mod report;
mod sinks;
mod workers;

#[cfg(test)]
pub(super) use report::ProviderCheck;
pub(super) use report::{Health, HealthChecks, Status};

use crate::gateway::{Heartbeats, Setups};
use coo_llm_exporters::history::History;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Mutex;
use tokio::time::Instant;

pub(super) const PATH: &str = "/admin/v1/health";

/// How long what was found is told again.
const KEPT: Duration = Duration::from_secs(5);
/// How long a check may take.
const CHECK_TIME_MAX: Duration = Duration::from_secs(3);

/// What only the whole program knows.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    /// Tasks; `None` while there are no workers.
    pub tasks: Option<TaskCounts>,
    /// The stores outside, by their names.
    pub sinks: Vec<(String, coo_llm_exporters::sinks::Status)>,
}

/// Tasks on the workers, and those that panicked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TaskCounts {
    /// Alive now.
    pub alive: u64,
    /// Panicked since the start.
    pub panicked: u64,
}

/// What is looked at, and what was found last.
pub struct Checks {
    setups: Setups,
    database: Option<database::Probe>,
    heartbeats: Heartbeats,
    facts: Box<dyn Fn() -> Facts + Send + Sync>,
    version: String,
    kept: Duration,
    time_max: Duration,
    found: Mutex<Option<(Instant, Arc<Health>)>>,
}

impl std::fmt::Debug for Checks {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Checks")
            .field("kept", &self.kept)
            .finish_non_exhaustive()
    }
}

impl Checks {
    /// Looks at the providers of the setup in use, at the history, and at the workers. `facts` is
    /// asked for the rest, each time.
    #[must_use]
    pub fn new(
        setups: Setups,
        history: Option<Arc<History>>,
        heartbeats: Heartbeats,
        facts: Box<dyn Fn() -> Facts + Send + Sync>,
        version: &str,
    ) -> Self {
        Self {
            setups,
            database: history.map(database::Probe::new),
            heartbeats,
            facts,
            version: version.to_owned(),
            kept: KEPT,
            time_max: CHECK_TIME_MAX,
            found: Mutex::new(None),
        }
    }

    /// Keeps what was found for so long.
    #[cfg(test)]
    pub(super) fn keeping(self, kept: Duration) -> Self {
        Self { kept, ..self }
    }

    /// What was found in the last five seconds, or what is found now.
    ///
    /// `up_s` is how long the process runs. It needs a tokio runtime.
    pub(super) async fn look(self: &Arc<Self>, up_s: u64) -> Arc<Health> {
        let checks = Arc::clone(self);
        // On its own: who asked may leave, and the next one must not begin anew.
        let look = tokio::spawn(async move {
            let mut found = checks.found.lock().await;
            match &*found {
                Some((at, health)) if at.elapsed() < checks.kept => Arc::clone(health),
                _ => {
                    let health = Arc::new(checks.run(up_s).await);
                    *found = Some((Instant::now(), Arc::clone(&health)));
                    health
                }
            }
        });
        look.await.expect("the checks do not panic")
    }

    async fn run(&self, up_s: u64) -> Health {
        let setup = self.setups.current();
        let (database, providers) = tokio::join!(
            database::check(self.database.as_ref(), self.time_max),
            providers::check(&setup, self.time_max),
        );
        let memory = memory::check();
        let facts = (self.facts)();
        let tasks = workers::check(&self.heartbeats, facts.tasks);
        let checks = HealthChecks {
            database,
            providers,
            sinks: sinks::check(facts.sinks),
            memory,
            tasks,
        };
        Health::new(checks, &self.version, up_s)
    }
}
