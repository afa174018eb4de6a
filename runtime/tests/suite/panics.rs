//! A panic ends the task that it is in, and nothing else.

use crate::rig::{HANG, all, launch, run};
use coo_llm_runtime::{Counters, WorkerPanic, sleep, spawn, tasks_ended};
use std::rc::Rc;
use std::sync::mpsc::channel;
use std::thread::{self, ThreadId};
use std::time::Duration;
use tokio::sync::oneshot;

struct PanicsOnDrop;

impl Drop for PanicsOnDrop {
    fn drop(&mut self) {
        panic!("dropped on purpose");
    }
}

#[test]
fn a_panic_in_a_task_leaves_the_worker_and_its_other_tasks() {
    for options in all() {
        let (answer, answers) = channel();
        let workers = launch(&options, move |worker| {
            let answer = answer.clone();
            async move {
                spawn(async { panic!("at the first poll") });
                spawn(async {
                    sleep(Duration::from_millis(1)).await;
                    panic!("at the second poll");
                });
                spawn(async {
                    let _bomb = PanicsOnDrop;
                    sleep(Duration::from_millis(1)).await;
                });
                spawn(async move {
                    sleep(Duration::from_millis(20)).await;
                    answer.send("survived").expect("the test waits");
                });
                tasks_ended().await;
                worker.shutdown.wait().await;
            }
        });
        assert_eq!(answers.recv_timeout(HANG), Ok("survived"));
        let counters: Counters = workers.counters().clone();
        assert_eq!(counters.task_panics(), 3);
        workers.shutdown();
        assert_eq!(workers.join(), []);
        assert_eq!(counters.tasks(), 0);
    }
}

#[test]
fn a_panic_while_a_task_is_dropped_at_the_end_is_counted() {
    for options in all() {
        let workers = launch(&options, |_worker| async {
            spawn(async {
                let _bomb = PanicsOnDrop;
                std::future::pending::<()>().await;
            });
            sleep(Duration::from_millis(1)).await;
        });
        let counters = workers.counters().clone();
        assert_eq!(workers.join(), []);
        assert_eq!((counters.task_panics(), counters.tasks()), (1, 0));
    }
}

#[test]
fn a_panic_of_a_workers_main_future_is_reported_and_the_others_go_on() {
    for mut options in all() {
        options.workers = 2;
        let (answer, answers) = channel();
        let workers = launch(&options, move |worker| {
            let answer = answer.clone();
            async move {
                assert!(worker.index != 1, "worker {} gives up", worker.index);
                worker.shutdown.wait().await;
                answer.send(worker.index).expect("the test waits");
            }
        });
        workers.shutdown();
        assert_eq!(answers.recv_timeout(HANG), Ok(0));
        let message = "worker 1 gives up".to_owned();
        assert_eq!(workers.join(), [WorkerPanic { worker: 1, message }]);
    }
}

/// Says where it was dropped.
struct Witness {
    _stays: Rc<()>,
    dropped: std::sync::mpsc::Sender<ThreadId>,
}

impl Drop for Witness {
    fn drop(&mut self) {
        self.dropped
            .send(thread::current().id())
            .expect("the test waits");
    }
}

/// In monoio a task lives as long as its wakers; here another thread holds one.
#[test]
fn tasks_that_are_left_are_dropped_on_their_own_thread() {
    for options in all() {
        let (dropped, drops) = channel();
        let (hold, held) = channel::<oneshot::Sender<()>>();
        let worker_thread = run(&options, move |_worker| {
            let dropped = dropped.clone();
            let hold = hold.clone();
            async move {
                let (done, waits) = oneshot::channel();
                let witness = Witness {
                    _stays: Rc::new(()),
                    dropped,
                };
                spawn(async move {
                    let witness = witness;
                    // Stores this task's waker where the other thread has it.
                    let _closed = waits.await;
                    drop(witness);
                });
                hold.send(done).expect("the test waits");
                sleep(Duration::from_millis(1)).await;
                thread::current().id()
            }
        });
        assert_eq!(drops.recv_timeout(HANG), Ok(worker_thread));
        let sender = held.recv_timeout(HANG).expect("the other half");
        // Its waker belongs to a worker that is gone.
        assert_eq!(sender.send(()), Err(()));
    }
}

#[test]
fn a_task_may_spawn_while_it_is_dropped() {
    struct SpawnsOnDrop;
    impl Drop for SpawnsOnDrop {
        fn drop(&mut self) {
            spawn(async { unreachable!("nobody runs it") });
        }
    }
    for options in all() {
        let workers = launch(&options, |_worker| async {
            spawn(async {
                let _late = SpawnsOnDrop;
                std::future::pending::<()>().await;
            });
            sleep(Duration::from_millis(1)).await;
        });
        let counters = workers.counters().clone();
        assert_eq!(workers.join(), []);
        assert_eq!((counters.task_panics(), counters.tasks()), (0, 0));
    }
}
