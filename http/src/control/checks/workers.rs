//! Whether the workers come round.

use super::TaskCounts;
use super::report::{Check, Status, Tasks, WorkerCheck, millis};
use crate::gateway::Heartbeats;
use std::time::{Duration, Instant};

/// A worker gives a sign of life each second: so late, something holds it up;
const LATE: Duration = Duration::from_secs(5);
/// so late, it hangs.
const GONE: Duration = Duration::from_secs(30);

pub(super) fn check(heartbeats: &Heartbeats, tasks: Option<TaskCounts>) -> Tasks {
    let began = Instant::now();
    judge(&heartbeats.ages(began), tasks, began)
}

fn judge(ages: &[Duration], tasks: Option<TaskCounts>, began: Instant) -> Tasks {
    let worker = |(worker, age): (usize, &Duration)| WorkerCheck {
        worker,
        status: match *age {
            age if age >= GONE => Status::Down,
            age if age >= LATE => Status::Degraded,
            _ => Status::Ok,
        },
        seen_seconds_ago: millis(*age) / 1e3,
    };
    let workers: Vec<_> = ages.iter().enumerate().map(worker).collect();
    let late: Vec<_> = workers
        .iter()
        .filter(|worker| worker.status != Status::Ok)
        .map(|worker| {
            format!(
                "worker {} since {:.0} s",
                worker.worker, worker.seen_seconds_ago
            )
        })
        .collect();
    let status = workers.iter().map(|worker| worker.status).max();
    let detail = if late.is_empty() {
        format!("{} workers come round", workers.len())
    } else {
        format!("no sign of life of {}", late.join(", "))
    };
    Tasks {
        check: Check::new(status.unwrap_or(Status::Ok), began.elapsed(), detail),
        count: tasks.map(|tasks| tasks.alive),
        panicked: tasks.map(|tasks| tasks.panicked),
        workers,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_worker_that_is_late_is_named() {
        let s = Duration::from_secs;
        let tasks = |ages: &[Duration]| judge(ages, None, Instant::now());
        assert_eq!(tasks(&[s(0), s(4)]).check.status, Status::Ok);
        let late = tasks(&[s(1), s(7)]);
        assert_eq!(late.check.status, Status::Degraded);
        assert_eq!(late.check.detail, "no sign of life of worker 1 since 7 s");
        let gone = tasks(&[s(31), s(7)]);
        assert_eq!(gone.check.status, Status::Down);
        let of_each: Vec<_> = gone.workers.iter().map(|worker| worker.status).collect();
        assert_eq!(of_each, [Status::Down, Status::Degraded]);
    }
}
