//! The start of a worker's thread, in steps that all workers take together: build the
//! backend, listen, run. So a fall-back is one for all, and a start that fails leaves
//! nothing behind.

use crate::backend::Runtime;
use crate::counters::WorkerCounters;
use crate::error::{StartError, refusal_and_remedy};
use crate::listener::Listener;
use crate::options::{Backend, Driver};
use crate::plan::Plan;
use crate::shutdown::Shutdown;
use crate::worker::{LocalBoxFuture, Worker};
use crate::{cores, local, tasks, ticks};
use std::any::Any;
use std::future::poll_fn;
use std::io;
use std::net::TcpListener;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::task::Poll;
use std::thread::JoinHandle;

/// What a panic leaves.
pub(crate) type Panic = Box<dyn Any + Send>;

/// What each worker runs.
pub(crate) type WorkerMain = dyn Fn(Worker) -> LocalBoxFuture<'static, ()> + Send + Sync;

/// What a starting worker is told.
enum Order {
    /// Builds the backend with this driver and reports.
    Build(Driver),
    /// Enters the backend, takes over the listener and reports.
    Listen,
    /// Runs.
    Run,
}

/// What a worker answers to [`Order::Build`] and [`Order::Listen`].
struct Report {
    pinned: io::Result<()>,
    done: io::Result<()>,
}

/// A worker on its way up. Dropping `orders` before [`Order::Run`] ends it.
pub(crate) struct Starting {
    orders: Sender<Order>,
    reports: Receiver<Report>,
    thread: JoinHandle<Result<(), Panic>>,
}

/// Builds the backend on every worker: all with one driver, whichever refuses.
pub(crate) fn build_all(
    starting: &[Starting],
    plan: Plan,
    notes: &mut Vec<String>,
) -> Result<Driver, StartError> {
    let refused = match all_do(starting, || Order::Build(plan.first), notes) {
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
            all_do(starting, || Order::Build(driver), notes).map(|()| driver)
        }
        (Driver::IoUring, None) => Err(StartError::IoUringRefused { source }),
        (Driver::Epoll, None) => Err(StartError::Backend { worker, source }),
    }
}

/// Has every worker take over its listener, the last step that can fail.
pub(crate) fn listen_all(starting: &[Starting], notes: &mut Vec<String>) -> Result<(), StartError> {
    all_do(starting, || Order::Listen, notes)
}

/// Gives an order to all workers and waits for all reports; the first failure counts.
fn all_do(
    starting: &[Starting],
    order: impl Fn() -> Order,
    notes: &mut Vec<String>,
) -> Result<(), StartError> {
    for worker in starting {
        // If it is gone, its report is missing below.
        let _gone = worker.orders.send(order());
    }
    let mut outcome = Ok(());
    for (worker, up) in starting.iter().enumerate() {
        let report = up.reports.recv().unwrap_or_else(|_gone| Report {
            pinned: Ok(()),
            done: Err(io::Error::other("the thread ended")),
        });
        if let Err(error) = report.pinned {
            notes.push(format!("worker {worker} is not pinned: {error}"));
        }
        if let (Err(source), Ok(())) = (report.done, &outcome) {
            outcome = Err(StartError::Backend { worker, source });
        }
    }
    outcome
}

/// Lets the workers go.
pub(crate) fn run_all(starting: Vec<Starting>) -> Vec<JoinHandle<Result<(), Panic>>> {
    let run = |worker: Starting| {
        // A worker that ended early is reported by its thread.
        let _ended = worker.orders.send(Order::Run);
        worker.thread
    };
    starting.into_iter().map(run).collect()
}

/// Ends workers that never ran.
pub(crate) fn dismiss(starting: Vec<Starting>) {
    for worker in starting {
        drop(worker.orders);
        // Without an order to run there is nothing that could have panicked in it but
        // this crate, and the start fails with an error of its own.
        let _ended = worker.thread.join();
    }
}

/// All that a worker thread takes along.
pub(crate) struct Seed {
    pub(crate) index: usize,
    pub(crate) backend: Backend,
    pub(crate) socket: TcpListener,
    pub(crate) cpus: Arc<[usize]>,
    pub(crate) counters: Arc<WorkerCounters>,
    pub(crate) shutdown: Shutdown,
    pub(crate) worker_main: Arc<WorkerMain>,
}

impl Seed {
    pub(crate) fn launch(self) -> io::Result<Starting> {
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
                        done: outcome.map(|runtime| built = Some(runtime)),
                    });
                    if told.is_err() {
                        return Ok(());
                    }
                }
                Ok(Order::Listen) => break,
                Ok(Order::Run) | Err(_) => return Ok(()),
            }
        }
        match built {
            Some(runtime) => self.run(runtime, orders, report),
            None => Ok(()),
        }
    }

    fn run(
        self,
        mut runtime: Runtime,
        orders: &Receiver<Order>,
        report: &Sender<Report>,
    ) -> Result<(), Panic> {
        let local = local::enter(self.backend, self.counters);
        let outcome = runtime.block_on(async {
            let mut listener = None;
            let told = report.send(Report {
                pinned: Ok(()),
                done: Listener::new(self.backend, self.socket).map(|made| listener = Some(made)),
            });
            // Blocks the loop, which has nothing to do yet.
            let order = orders.recv();
            let (Some(listener), Ok(()), Ok(Order::Run)) = (listener, told, order) else {
                return Ok(());
            };
            tasks::spawn_uncounted(ticks::tick_forever());
            let worker = Worker::new(self.index, listener, self.shutdown);
            let worker_main = self.worker_main;
            let outcome = caught(async move { worker_main(worker).await }).await;
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
