//! Memory does not grow with what has been answered, and little with who is connected.
//!
//! Bytes are compared, not times. `proxy-rig soak | idle` do the same for longer, of a release build.

use coo_llm_tests::client::Client;
use coo_llm_tests::mixed_load::MixedLoad;
use coo_llm_tests::patience::poll;
use coo_llm_tests::resident::resident_bytes;
use coo_llm_tests::rig::{CHAT, CLIENT_KEY, MODEL, Rig, chat};
use coo_llm_tests::upstream::Script;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Requests after which everything that grows once has grown.
const WARM: u64 = 1_500;
/// Further requests: a leak of a kilobyte in each would be three megabytes.
const FURTHER: u64 = 3_000;
/// What the allocator may spread meanwhile.
const GROWTH_BYTES_MAX: u64 = 1_500_000;

const CONNECTIONS: usize = 2_000;
/// A release build needs 15 kB; without optimisation futures are larger.
const CONNECTION_BYTES_MAX: u64 = 48_000;

#[test]
fn streams_aborts_and_errors_leave_nothing_behind() {
    let rig = Rig::start();
    let load = MixedLoad::start(rig.gateway.addr(), CLIENT_KEY, MODEL);
    let counted = || rig.gateway.metrics().count("coo_llm_requests_total", &[]);
    let until = |requests| {
        poll("the load to go on", || {
            (counted() >= requests).then_some(())
        });
        resident_bytes(rig.gateway.pid())
    };
    let warm = until(WARM);
    let later = until(WARM + FURTHER);
    let sent = load.stop().expect("every answer is what its turn expects");
    assert!(
        later < warm + GROWTH_BYTES_MAX,
        "{warm} bytes after {WARM} requests, {later} after {FURTHER} more"
    );
    assert!(sent.json > 0 && sent.streams > 0 && sent.aborted > 0 && sent.failed > 0);
    poll("each request to be counted", || {
        (counted() >= sent.total()).then_some(())
    });
    assert_eq!(counted(), sent.total(), "{sent:?}");
}

#[test]
fn a_connection_that_waits_is_small() {
    allow(CONNECTIONS as u64 + 256);
    let rig = Rig::start();
    let body = chat(&Script::default()).to_string();
    let ask = |client: &mut Client| {
        let reply = client.post(CHAT, CLIENT_KEY, body.as_bytes());
        assert_eq!(reply.status, 200);
    };
    let mut warm = rig.gateway.client();
    for _ in 0..200 {
        ask(&mut warm);
    }
    let before = resident_bytes(rig.gateway.pid());
    let mut clients: Vec<Client> = (0..CONNECTIONS).map(|_| rig.gateway.client()).collect();
    for client in &mut clients {
        ask(client);
    }
    let after = resident_bytes(rig.gateway.pid());
    let each = (after - before) / CONNECTIONS as u64;
    assert!(each < CONNECTION_BYTES_MAX, "{each} bytes a connection");
    assert!(each > 0, "nothing was held open");
}

/// Raises the limit of open files, which the gateway inherits.
fn allow(descriptors: u64) {
    let now = getrlimit(Resource::Nofile);
    if now.current.is_some_and(|current| current < descriptors) {
        let wanted = Rlimit {
            current: Some(descriptors),
            maximum: now.maximum,
        };
        setrlimit(Resource::Nofile, wanted).expect("the hard limit of open files has room");
    }
}
