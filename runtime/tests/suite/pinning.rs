//! Workers stay on the CPUs that the process may use.
#![cfg(target_os = "linux")]

use crate::rig::{all, launch};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use std::collections::BTreeSet;
use std::sync::mpsc::channel;

fn allowed() -> BTreeSet<usize> {
    let set = sched_getaffinity(None).expect("an affinity mask");
    (0..CpuSet::MAX_CPU)
        .filter(|cpu| set.is_set(*cpu))
        .collect()
}

fn cpus_of_workers(pin: bool, workers: usize) -> Vec<Vec<BTreeSet<usize>>> {
    all()
        .into_iter()
        .map(|mut options| {
            options.pin = pin;
            options.workers = workers;
            let (answer, answers) = channel();
            let running = launch(&options, move |worker| {
                answer
                    .send((worker.index, allowed()))
                    .expect("the test waits");
                async {}
            });
            assert_eq!(running.join(), []);
            let mut cpus: Vec<_> = answers.iter().collect();
            cpus.sort();
            cpus.into_iter().map(|(_index, set)| set).collect()
        })
        .collect()
}

#[test]
fn one_cpu_a_worker_round_robin() {
    let cpus: Vec<usize> = allowed().into_iter().collect();
    let expected: Vec<BTreeSet<usize>> = (0..cpus.len() + 1)
        .map(|worker| BTreeSet::from([cpus[worker % cpus.len()]]))
        .collect();
    for pinned in cpus_of_workers(true, cpus.len() + 1) {
        assert_eq!(pinned, expected);
    }
}

#[test]
fn unpinned_workers_keep_the_mask() {
    for unpinned in cpus_of_workers(false, 2) {
        assert_eq!(unpinned, [allowed(), allowed()]);
    }
}

/// As under `taskset`: only the last CPU is ours, so both workers go there.
#[test]
fn a_narrower_mask_is_respected() {
    let last = allowed().pop_last().expect("a CPU");
    let mut only = CpuSet::new();
    only.set(last);
    sched_setaffinity(None, &only).expect("our own CPU");
    for pinned in cpus_of_workers(true, 2) {
        assert_eq!(pinned, [BTreeSet::from([last]), BTreeSet::from([last])]);
    }
}
