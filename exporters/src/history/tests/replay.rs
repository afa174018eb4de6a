//! A month of records, asked about at random.

use super::*;

/// Of the issue; a debug build, in which SQLite and all else is slow, replays fewer.
const RECORDS: u64 = if cfg!(debug_assertions) {
    20_000
} else {
    1_000_000
};
const QUERIES: u64 = 200;
const MONTH_S: u64 = 30 * DAY_S;

fn random_query(random: &mut Random, now_s: u64, clients: u64) -> Query {
    let start_s = T0_S - 5000 + random.below(now_s - T0_S + 6000);
    // From ten seconds to the whole month, each order of magnitude as likely.
    let length = 10f64 * (MONTH_S as f64 / 10.0).powf(random.fraction());
    let length = length as u64;
    let dimensions = [
        Dimension::Provider,
        Dimension::Model,
        Dimension::Key,
        Dimension::Client,
    ];
    let mut group_by = Vec::new();
    for _ in 0..random.below(4) {
        let dimension = dimensions[random.below(4) as usize];
        if !group_by.contains(&dimension) {
            group_by.push(dimension);
        }
    }
    let (provider, model, key) = ROUTES[random.below(ROUTES.len() as u64) as usize];
    let mut some = |name: &str| (random.below(4) == 0).then(|| name.to_owned());
    let filter = Filter {
        provider: some(provider),
        model: some(model),
        key: some(key),
        client: None,
    };
    let client = format!("client-{}", random.below(clients + 1));
    let filter = Filter {
        client: (random.below(3) == 0).then_some(client),
        ..filter
    };
    let steps = [10, 60, 300, 3600, 5400, DAY_S, length.max(1)];
    let step_s = steps[random.below(7) as usize];
    let is_fine = length / step_s < 2000;
    Query {
        window: Window {
            start_s,
            end_s: start_s + length,
        },
        step_s: (is_fine && random.below(2) == 0).then_some(step_s),
        filter,
        group_by,
    }
}

/// With a step, a point of the answer may be of a finer time than rows that are left.
fn is_answerable(rig: &Rig, query: &Query) -> bool {
    let oldest_fine = rig.now.0 / 1000 - DAY_S + 2 * 3600;
    query.step_s.is_none_or(|step| {
        query.window.start_s >= oldest_fine
            || query.window.start_s % 3600 < 60 && step.is_multiple_of(3600)
            || step.is_multiple_of(60)
    })
}

#[test]
fn a_month_of_records_gives_exactly_what_the_list_gives() {
    let folder = Folder::new();
    let path = folder.history();
    let clients = 40;
    let begin = UnixMillis(T0_S * 1000);
    let mut rig = Rig::try_open(&path, begin, clients).expect("a history");
    let mut random = Random(5);
    let mut next_flush = 0;
    for n in 0..RECORDS {
        let at_s = T0_S + n * MONTH_S / RECORDS;
        let done = Done::random(&mut random, at_s, clients);
        rig.record(done);
        if at_s >= next_flush {
            rig.flush().expect("room");
            next_flush = at_s + random.below(3 * 3600);
        }
        if n == RECORDS / 3 {
            rig.flush().expect("room");
            rig = rig.restart(&path);
        }
        if n == RECORDS / 2 {
            // Much of this waits in memory, and is asked about all the same.
            for _ in 0..QUERIES / 10 {
                let query = random_query(&mut random, at_s, clients.into());
                if is_answerable(&rig, &query) {
                    rig.check(&query);
                }
            }
        }
    }
    let now_s = rig.now.0 / 1000;
    rig.check(&rig.all());
    let mut asked = 0;
    while asked < QUERIES {
        let query = random_query(&mut random, now_s, clients.into());
        if is_answerable(&rig, &query) {
            rig.check(&query);
            rig.check_errors(query.window);
            rig.check_clients(query.window);
            asked += 1;
        }
    }
}
