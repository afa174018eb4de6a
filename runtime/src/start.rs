//! From [`Options`] to running workers, and back.

use crate::counters::Counters;
use crate::error::StartError;
use crate::launch::{Panic, Seed, WorkerMain, build_all, dismiss, listen_all, run_all};
use crate::options::{Options, Selection};
use crate::plan::Plan;
use crate::shutdown::{Shutdown, ShutdownSender};
use crate::worker::{LocalBoxFuture, Worker};
use crate::{bind, cores};
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::JoinHandle;

/// The running workers. Dropping it asks them to stop and does not wait for them.
#[derive(Debug)]
pub struct Workers {
    local_addr: SocketAddr,
    selection: Selection,
    counters: Counters,
    stop: ShutdownSender,
    shutdown: Shutdown,
    threads: Vec<JoinHandle<Result<(), Panic>>>,
}

/// A worker whose main future panicked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WorkerPanic {
    /// Index of the worker.
    pub worker: usize,
    /// The panic's message, where it has one.
    pub message: String,
}

impl fmt::Display for WorkerPanic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "worker {} panicked: {}", self.worker, self.message)
    }
}

impl std::error::Error for WorkerPanic {}

/// Starts the workers: binds, builds all backends, then runs `worker_main` on each.
///
/// When it returns `Ok`, every worker listens. A worker ends when its main future
/// returns; tasks that it leaves are dropped then.
///
/// # Errors
/// [`StartError`]; no thread and no socket is left then.
pub fn start<F>(options: &Options, worker_main: F) -> Result<Workers, StartError>
where
    F: Fn(Worker) -> LocalBoxFuture<'static, ()> + Send + Sync + 'static,
{
    start_boxed(options, &(Arc::new(worker_main) as Arc<WorkerMain>))
}

fn start_boxed(options: &Options, worker_main: &Arc<WorkerMain>) -> Result<Workers, StartError> {
    if options.workers == 0 {
        return Err(StartError::NoWorkers);
    }
    let plan = Plan::new(options.backend, options.driver)?;
    let sockets = bind::listeners(options.listen, options.workers, options.share_port)?;
    let local_addr = sockets[0].local_addr().map_err(|source| StartError::Bind {
        addr: options.listen,
        source,
    })?;
    let counters = Counters::new(options.workers);
    let (stop, shutdown) = crate::shutdown::pair();
    let mut notes = Vec::new();
    let cpus = cpus_to_pin(options.pin, &mut notes);

    let mut starting = Vec::with_capacity(options.workers);
    for (index, socket) in sockets.into_iter().enumerate() {
        let seed = Seed {
            index,
            backend: plan.backend,
            socket,
            cpus: cpus.clone(),
            counters: counters.of_worker(index),
            shutdown: shutdown.clone(),
            worker_main: Arc::clone(worker_main),
        };
        match seed.launch() {
            Ok(worker) => starting.push(worker),
            Err(source) => {
                dismiss(starting);
                let worker = index;
                return Err(StartError::Thread { worker, source });
            }
        }
    }

    let ready = build_all(&starting, plan, &mut notes)
        .and_then(|driver| listen_all(&starting, &mut notes).map(|()| driver));
    let driver = match ready {
        Ok(driver) => driver,
        Err(error) => {
            dismiss(starting);
            return Err(error);
        }
    };
    Ok(Workers {
        local_addr,
        selection: Selection {
            backend: plan.backend,
            driver,
            note: (!notes.is_empty()).then(|| notes.join("; ")),
        },
        counters,
        stop,
        shutdown,
        threads: run_all(starting),
    })
}

/// The CPUs to pin to, or none, with a note when that is against the wish.
fn cpus_to_pin(pin: bool, notes: &mut Vec<String>) -> Arc<[usize]> {
    if !pin {
        return Arc::default();
    }
    match cores::allowed() {
        Ok(cpus) => cpus.into(),
        Err(error) => {
            notes.push(format!("workers are not pinned: {error}"));
            Arc::default()
        }
    }
}

impl Workers {
    /// Address that all workers listen on.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// What was picked to run on.
    #[must_use]
    pub fn selection(&self) -> &Selection {
        &self.selection
    }

    /// The workers' counters, to keep beyond their end.
    #[must_use]
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// The signal that [`Workers::shutdown`] sets, for others that should follow it.
    #[must_use]
    pub fn shutdown_signal(&self) -> Shutdown {
        self.shutdown.clone()
    }

    /// Asks all workers to stop. Returns at once; asking again changes nothing.
    pub fn shutdown(&self) {
        self.stop.set();
    }

    /// Whether every worker has ended.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.threads.iter().all(JoinHandle::is_finished)
    }

    /// Waits until all workers have ended, and returns those that panicked.
    ///
    /// It does not ask them to stop: see [`Workers::shutdown`].
    #[must_use]
    pub fn join(self) -> Vec<WorkerPanic> {
        let mut panics = Vec::new();
        for (worker, thread) in self.threads.into_iter().enumerate() {
            if let Err(panic) = thread.join().unwrap_or_else(Err) {
                let message = panic
                    .downcast_ref::<&str>()
                    .map(ToString::to_string)
                    .or_else(|| panic.downcast_ref::<String>().cloned())
                    .unwrap_or_else(|| "no message".to_owned());
                panics.push(WorkerPanic { worker, message });
            }
        }
        panics
    }
}
