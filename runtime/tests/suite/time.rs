//! Sleeping and giving up.

use crate::rig::{all, run};
use coo_llm_runtime::{CoarseTimer, Elapsed, TICK, coarse_now, sleep, timeout};
use hyper::rt::Timer as _;
use std::time::{Duration, Instant};

#[test]
fn a_sleep_is_never_short() {
    for options in all() {
        let (asked, slept) = run(&options, |_worker| async {
            let asked = Duration::from_millis(15);
            let began = Instant::now();
            sleep(asked).await;
            (asked, began.elapsed())
        });
        assert!(slept >= asked, "{slept:?}");
    }
}

#[test]
fn a_timeout_ends_what_never_ends_and_lets_what_is_ready_win() {
    for options in all() {
        let results = run(&options, |_worker| async {
            let never = std::future::pending::<()>();
            let ready = async { 7 };
            (
                timeout(Duration::from_millis(5), never).await,
                timeout(Duration::ZERO, ready).await,
            )
        });
        assert_eq!(results, (Err(Elapsed), Ok(7)));
    }
}

#[test]
fn the_coarse_clock_moves_and_its_sleeps_are_never_short() {
    for options in all() {
        run(&options, |_worker| async {
            let first = coarse_now();
            let began = Instant::now();
            CoarseTimer.sleep(TICK / 2).await;
            assert!(began.elapsed() >= TICK / 2);
            assert!(coarse_now() >= first + TICK / 2);

            let mut moved = CoarseTimer.sleep(Duration::MAX);
            CoarseTimer.reset(&mut moved, Instant::now());
            moved.await;
        });
    }
}
