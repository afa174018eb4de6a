//! From [`Options`] to running workers, and back.

use crate::counters::{Counters, WorkerCounters};
use crate::error::{StartError, refusal_and_remedy};
use crate::listener::Listener;
use crate::options::{Backend, BackendChoice, Driver, DriverChoice, Options, Selection};
use crate::shutdown::{Shutdown, ShutdownSender};
use crate::worker::{LocalBoxFuture, Worker};
use crate::{backend, bind, cores, local, tasks, ticks};
use std::any::Any;
use std::future::poll_fn;
use std::net::{SocketAddr, TcpListener};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::task::Poll;
use std::thread::JoinHandle;
use std::{fmt, io};

impl Driver {
    /// What [`DriverChoice::Auto`] tries first. See the crate's BENCH.md for the runs.
    pub const AUTO: Self = Self::Epoll;
}

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

type Panic = Box<dyn Any + Send>;
type WorkerMain = dyn Fn(Worker) -> LocalBoxFuture<'static, ()> + Send + Sync;

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

/// What a starting worker is told.
enum Order {
    /// Builds the backend with this driver and reports.
    Build(Driver),
    /// Runs.
    Run,
}

/// What a worker answers to [`Order::Build`].
struct Report {
    pinned: io::Result<()>,
    built: io::Result<()>,
}

/// A worker on its way up. Dropping `orders` ends it.
struct Starting {
    orders: Sender<Order>,
    reports: Receiver<Report>,
    thread: JoinHandle<Result<(), Panic>>,
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

    let driver = match build_all(&starting, plan, &mut notes) {
        Ok(driver) => driver,
        Err(error) => {
            dismiss(starting);
            return Err(error);
        }
    };
    let threads = starting
        .into_iter()
        .map(|worker| {
            // A worker that ended early is reported by `join`.
            let _ended = worker.orders.send(Order::Run);
            worker.thread
        })
        .collect();
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
        threads,
    })
}

/// The backend, the driver to try, and the one to try after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Plan {
    backend: Backend,
    first: Driver,
    fall_back: Option<Driver>,
}

impl Plan {
    fn new(backend: BackendChoice, driver: DriverChoice) -> Result<Self, StartError> {
        let on_linux = cfg!(target_os = "linux");
        let picked = match backend {
            BackendChoice::Auto if on_linux => Backend::Monoio,
            BackendChoice::Auto | BackendChoice::Tokio => Backend::Tokio,
            BackendChoice::Monoio if on_linux => Backend::Monoio,
            BackendChoice::Monoio | BackendChoice::Glommio => {
                return Err(StartError::NotBuilt { backend });
            }
        };
        let (first, fall_back) = match (picked, driver) {
            (Backend::Tokio, DriverChoice::IoUring) => {
                return Err(StartError::Unsupported { backend, driver });
            }
            (Backend::Tokio, _) | (_, DriverChoice::Epoll) => (Driver::Epoll, None),
            (Backend::Monoio, DriverChoice::IoUring) => (Driver::IoUring, None),
            (Backend::Monoio, DriverChoice::PreferIoUring) => {
                (Driver::IoUring, Some(Driver::Epoll))
            }
            (Backend::Monoio, DriverChoice::Auto) => match Driver::AUTO {
                Driver::IoUring => (Driver::IoUring, Some(Driver::Epoll)),
                Driver::Epoll => (Driver::Epoll, None),
            },
        };
        Ok(Self {
            backend: picked,
            first,
            fall_back,
        })
    }
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

/// Builds the backend on every worker: all with one driver, whichever refuses.
fn build_all(
    starting: &[Starting],
    plan: Plan,
    notes: &mut Vec<String>,
) -> Result<Driver, StartError> {
    let refused = match build(starting, plan.first, notes) {
        Ok(()) => return Ok(plan.first),
        Err(refused) => refused,
    };
    let StartError::Backend { worker, source } = refused else {
        return Err(refused);
    };
    match (plan.first, plan.fall_back) {
        (_, Some(driver)) => {
            notes.push(format!(
                "{} is refused: {}",
                plan.first,
                refusal_and_remedy(&source)
            ));
            build(starting, driver, notes).map(|()| driver)
        }
        (Driver::IoUring, None) => Err(StartError::IoUringRefused { source }),
        (Driver::Epoll, None) => Err(StartError::Backend { worker, source }),
    }
}

fn build(starting: &[Starting], driver: Driver, notes: &mut Vec<String>) -> Result<(), StartError> {
    for worker in starting {
        // If it is gone, its report is missing below.
        let _gone = worker.orders.send(Order::Build(driver));
    }
    let mut first_error = Ok(());
    for (worker, up) in starting.iter().enumerate() {
        let report = up.reports.recv().unwrap_or_else(|_gone| Report {
            pinned: Ok(()),
            built: Err(io::Error::other("the thread ended")),
        });
        if let Err(error) = report.pinned {
            notes.push(format!("worker {worker} is not pinned: {error}"));
        }
        if let (Err(source), Ok(())) = (report.built, &first_error) {
            first_error = Err(StartError::Backend { worker, source });
        }
    }
    first_error
}

/// Ends workers that never ran.
fn dismiss(starting: Vec<Starting>) {
    for worker in starting {
        drop(worker.orders);
        // Without an order to run there is nothing that could have panicked in it but
        // this crate, and the start fails with an error of its own.
        let _ended = worker.thread.join();
    }
}

/// All that a worker thread takes along.
struct Seed {
    index: usize,
    backend: Backend,
    socket: TcpListener,
    cpus: Arc<[usize]>,
    counters: Arc<WorkerCounters>,
    shutdown: Shutdown,
    worker_main: Arc<WorkerMain>,
}

impl Seed {
    fn launch(self) -> io::Result<Starting> {
        let (orders, take_order) = channel();
        let (report, reports) = channel();
        let thread = std::thread::Builder::new()
            .name(format!("coo-worker-{}", self.index))
            .spawn(move || self.live(&take_order, &report))?;
        Ok(Starting {
            orders,
            reports,
            thread,
        })
    }

    fn live(self, orders: &Receiver<Order>, report: &Sender<Report>) -> Result<(), Panic> {
        let mut pinned = if self.cpus.is_empty() {
            Ok(())
        } else {
            cores::pin(self.index, &self.cpus)
        };
        let mut built = None;
        loop {
            match orders.recv() {
                Ok(Order::Build(driver)) => {
                    // The last one goes first, and its ring with it.
                    drop(built.take());
                    let outcome = Runtime::new(self.backend, driver);
                    let told = report.send(Report {
                        pinned: std::mem::replace(&mut pinned, Ok(())),
                        built: outcome.map(|runtime| built = Some(runtime)),
                    });
                    if told.is_err() {
                        return Ok(());
                    }
                }
                Ok(Order::Run) => break,
                Err(_dismissed) => return Ok(()),
            }
        }
        match built {
            Some(runtime) => self.run(runtime),
            None => Ok(()),
        }
    }

    fn run(self, mut runtime: Runtime) -> Result<(), Panic> {
        let local = local::enter(self.backend, self.counters);
        let outcome = runtime.block_on(async {
            tasks::spawn_uncounted(ticks::tick_forever());
            let outcome = match Listener::new(self.backend, self.socket) {
                Ok(listener) => {
                    let worker = Worker::new(self.index, listener, self.shutdown);
                    let worker_main = self.worker_main;
                    caught(async move { worker_main(worker).await }).await
                }
                Err(error) => Err(Box::new(format!("the listener was refused: {error}")) as Panic),
            };
            local.tasks.close();
            outcome
        });
        drop(runtime);
        local::leave();
        outcome
    }
}

/// Runs a future to its end or its panic, and drops it in either case before it returns.
async fn caught(future: impl Future<Output = ()>) -> Result<(), Panic> {
    let mut future = Some(Box::pin(future));
    let outcome = poll_fn(|cx| {
        let Some(running) = future.as_mut().map(Pin::as_mut) else {
            return Poll::Ready(Ok(()));
        };
        match catch_unwind(AssertUnwindSafe(|| running.poll(cx))) {
            Ok(Poll::Pending) => Poll::Pending,
            Ok(Poll::Ready(())) => Poll::Ready(Ok(())),
            Err(panic) => Poll::Ready(Err(panic)),
        }
    })
    .await;
    catch_unwind(AssertUnwindSafe(|| drop(future.take()))).and(outcome)
}

/// One worker's runtime, whichever it is.
enum Runtime {
    #[cfg(target_os = "linux")]
    Monoio(backend::monoio::Runtime),
    Tokio(backend::tokio::Runtime),
}

impl Runtime {
    fn new(backend: Backend, driver: Driver) -> io::Result<Self> {
        match backend {
            #[cfg(target_os = "linux")]
            Backend::Monoio => backend::monoio::Runtime::new(driver).map(Self::Monoio),
            #[cfg(not(target_os = "linux"))]
            Backend::Monoio => Err(io::Error::from(io::ErrorKind::Unsupported)),
            Backend::Tokio => backend::tokio::Runtime::new().map(Self::Tokio),
        }
    }

    fn block_on<T>(&mut self, future: impl Future<Output = T>) -> T {
        match self {
            #[cfg(target_os = "linux")]
            Self::Monoio(runtime) => runtime.block_on(future),
            Self::Tokio(runtime) => runtime.block_on(future),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plans() {
        let plan = |backend, driver| Plan::new(backend, driver).map_err(|error| error.to_string());
        let tokio = Plan {
            backend: Backend::Tokio,
            first: Driver::Epoll,
            fall_back: None,
        };
        for driver in [
            DriverChoice::Auto,
            DriverChoice::Epoll,
            DriverChoice::PreferIoUring,
        ] {
            assert_eq!(plan(BackendChoice::Tokio, driver), Ok(tokio));
        }
        assert_eq!(
            plan(BackendChoice::Tokio, DriverChoice::IoUring),
            Err("the Tokio backend has no IoUring driver".to_owned())
        );
        for driver in [DriverChoice::Auto, DriverChoice::IoUring] {
            assert_eq!(
                plan(BackendChoice::Glommio, driver),
                Err("the Glommio backend is not in this build".to_owned())
            );
        }
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn only_a_preference_falls_back() {
        let fall_back = |driver| {
            Plan::new(BackendChoice::Auto, driver)
                .map(|plan| (plan.first, plan.fall_back))
                .ok()
        };
        assert_eq!(
            fall_back(DriverChoice::PreferIoUring),
            Some((Driver::IoUring, Some(Driver::Epoll)))
        );
        assert_eq!(
            fall_back(DriverChoice::IoUring),
            Some((Driver::IoUring, None))
        );
        assert_eq!(fall_back(DriverChoice::Epoll), Some((Driver::Epoll, None)));
    }
}
