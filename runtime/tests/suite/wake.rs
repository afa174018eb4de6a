//! Waking a worker from another thread while it waits in the kernel.

use crate::rig::{HANG, all, launch, run};
use coo_llm_runtime::{TICK, spawn};
use std::sync::mpsc::channel;
use std::time::Instant;
use tokio::sync::{mpsc, oneshot};

/// A wake-up that is lost shows only at the next tick, half a [`TICK`] later on average.
/// With all of them lost this would take 100 s.
#[test]
fn each_message_from_another_thread_wakes_an_idle_worker() {
    const ROUNDS: u32 = 2000;
    for options in all() {
        let (ask, asked) = mpsc::unbounded_channel::<oneshot::Sender<u32>>();
        let asked = std::sync::Mutex::new(Some(asked));
        let workers = launch(&options, move |_worker| {
            let asked = asked.lock().expect("one worker").take();
            async move {
                let mut asked = asked.expect("one worker");
                let mut count = 0;
                while let Some(answer) = asked.recv().await {
                    count += 1;
                    answer.send(count).expect("the test waits");
                }
            }
        });
        let began = Instant::now();
        for round in 1..=ROUNDS {
            let (answer, answered) = oneshot::channel();
            ask.send(answer).expect("the worker listens");
            assert_eq!(answered.blocking_recv(), Ok(round));
        }
        let lost_all = TICK / 2 * ROUNDS;
        assert!(began.elapsed() < lost_all / 4, "wake-ups get lost");
        drop(ask);
        assert_eq!(workers.join(), []);
    }
}

#[test]
fn a_oneshot_that_another_thread_completes_wakes_a_spawned_task() {
    for options in all() {
        let (hand_over, handed_over) = channel::<oneshot::Sender<&str>>();
        let other = std::thread::spawn(move || {
            let sender = handed_over.recv_timeout(HANG).expect("a sender");
            sender.send("from the other thread")
        });
        let word = run(&options, move |_worker| {
            let hand_over = hand_over.clone();
            async move {
                let (sender, receiver) = oneshot::channel();
                let (inner, outer) = oneshot::channel();
                spawn(async move {
                    let word = receiver.await.expect("a word");
                    inner.send(word).expect("main waits");
                });
                hand_over.send(sender).expect("the thread waits");
                outer.await.expect("a word")
            }
        });
        assert_eq!(word, "from the other thread");
        assert_eq!(other.join().expect("no panic"), Ok(()));
    }
}

#[test]
fn two_workers_talk_to_each_other() {
    for mut options in all() {
        options.workers = 2;
        let (to_a, at_a) = mpsc::unbounded_channel::<u32>();
        let (to_b, at_b) = mpsc::unbounded_channel::<u32>();
        let ends = std::sync::Mutex::new(vec![(to_a, at_b), (to_b.clone(), at_a)]);
        let workers = launch(&options, move |_worker| {
            let (out, mut into) = ends.lock().expect("no panic").pop().expect("two ends");
            async move {
                while let Some(number) = into.recv().await {
                    if number == 0 {
                        break;
                    }
                    let _last = out.send(number - 1);
                }
            }
        });
        to_b.send(1000).expect("a worker listens");
        drop(to_b);
        assert_eq!(workers.join(), []);
    }
}
