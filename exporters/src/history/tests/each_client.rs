//! What each client spent since an hour, and when it last asked.

use super::*;

/// As the list says it.
fn check(rig: &Rig, since_s: u64) {
    let since = UnixMillis(since_s * 1000);
    let all = rig.history.spent(since, None, rig.now).expect("an answer");
    let last = rig.history.last_requests(rig.now);
    for client in 0..rig.clients.len() as u32 {
        let name = format!("client-{client}");
        let own = rig.done.iter().filter(|done| done.client == client);
        let spent: u64 = own
            .clone()
            .filter(|done| done.at_s >= since_s)
            .map(|done| done.cost.unwrap_or(0))
            .sum();
        assert_eq!(all.get(&*name).map_or(0, |it| it.0), spent, "{name}");
        let one = rig.history.spent(since, Some(&name), rig.now);
        let one = one.expect("an answer");
        assert_eq!(one.get(&*name).map_or(0, |it| it.0), spent, "{name}");
        let asked = own.map(|done| UnixMillis(done.at_s * 1000)).max();
        assert_eq!(last.get(&*name).copied(), asked, "{name}");
    }
    let nobody = rig.history.spent(since, Some("nobody"), rig.now);
    assert!(nobody.expect("an answer").is_empty());
}

#[test]
fn it_is_what_the_list_says_before_and_after_flushes_and_restarts() {
    let folder = Folder::new();
    let path = folder.history();
    let mut rig = Rig::open(&path, T0_S);
    let mut random = Random(11);
    for n in 0..1200 {
        // Client 7 never asks.
        rig.record(Done::random(&mut random, T0_S + n * 97, 7));
        match n % 400 {
            100 => rig.flush().expect("room"),
            300 => {
                rig.history.close(rig.now).expect("room");
                rig = rig.restart(&path);
            }
            _ => {}
        }
        if n % 150 == 0 {
            check(&rig, T0_S);
            check(&rig, T0_S + n * 97 / 3600 * 3600);
        }
    }
    check(&rig, T0_S + 4 * 3600);
    // Of before a history began nothing is known.
    let before = rig.history.spent(UnixMillis(0), None, rig.now);
    let from = rig.history.spent(UnixMillis(T0_S * 1000), None, rig.now);
    assert_eq!(before.expect("an answer"), from.expect("an answer"));
}

#[test]
fn a_file_without_the_list_of_last_requests_gets_it_from_its_rows() {
    let folder = Folder::new();
    let path = folder.history();
    let mut rig = Rig::open(&path, T0_S);
    let mut random = Random(12);
    for n in 0..50 {
        rig.record(Done::random(&mut random, T0_S + n * 600, 5));
    }
    rig.history.close(rig.now).expect("room");
    let file = Connection::open(&path).expect("the file");
    file.execute_batch("DROP TABLE last_requests")
        .expect("ours");
    drop(file);
    let rig = rig.restart(&path);
    check(&rig, T0_S);
}
