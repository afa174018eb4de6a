use super::replay::Pace;
use super::scenes::{SCENES, budgets, clean, clients};

const SEED: u64 = 41;
const OF_EACH: u64 = 2;
/// Coarser than the table's, since tests run unoptimised.
const PACE: Pace = Pace {
    look: 10,
    learn: 240,
};

#[test]
fn clean_traffic_alarms_less_than_once_in_two_client_months() {
    let all = clients();
    let alarms = all.iter().map(|client| clean(client, SEED, 28, 28, PACE));
    let alarms: Vec<_> = alarms.flatten().collect();
    assert!(
        alarms.len() <= 1,
        "{alarms:?} in {} client-months",
        all.len()
    );
}

/// The least part that is found, and the least part of the alarms that is right.
#[track_caller]
fn hold(name: &str, recall: f64, precision: f64) {
    let scene = SCENES.iter().find(|scene| scene.name.starts_with(name));
    let score = scene
        .expect("a scene of this name")
        .play(SEED, OF_EACH, PACE);
    let (have, right) = (score.recall(), score.precision());
    assert!(
        have >= recall,
        "{name}: {have:.2} of {} found",
        score.played
    );
    assert!(
        right >= precision,
        "{name}: {right:.2}, wrong are {:?}",
        score.wrong
    );
}

#[test]
fn spikes_are_found() {
    hold("5x requests, 20 minutes", 0.8, 0.8);
    hold("3x requests, 2 hours", 0.8, 0.7);
}

#[test]
fn failures_are_found() {
    hold("errors 1 % to 10 %", 0.3, 0.6);
    hold("errors 1 % to 50 %", 1.0, 0.8);
}

#[test]
fn failovers_are_found() {
    hold("failover", 1.0, 0.8);
}

#[test]
fn dearer_requests_are_found() {
    hold("3x cost a request", 0.6, 0.7);
}

#[test]
fn overruns_are_foretold_and_enough_is_enough() {
    let over = budgets(SEED, 1, 0.8);
    assert!(
        over.iter()
            .all(|it| it.found < it.gone && it.found.is_some()),
        "{over:?}"
    );
    let enough = budgets(SEED, 1, 1.2);
    assert!(enough.iter().all(|it| it.found.is_none()), "{enough:?}");
    assert!(
        enough.iter().all(|it| it.within * 10 >= it.forecasts * 8),
        "{enough:?}"
    );
}
