use std::fs;
use std::path::{Path, PathBuf};

use proptest::prelude::*;

use super::*;

/// The seeds of a target, by name; the corpus is also what the fuzzer starts from.
fn seeds(target: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../fuzz/seeds")
        .join(target);
    let entries = fs::read_dir(&folder).expect("fuzz/seeds has a folder for each target");
    let mut seeds: Vec<_> = entries
        .map(|entry| {
            let path = entry.expect("a readable folder").path();
            let data = fs::read(&path).expect("a readable seed");
            (path, data)
        })
        .collect();
    seeds.sort();
    assert!(
        seeds.len() >= 5,
        "{} has {} seeds",
        folder.display(),
        seeds.len()
    );
    seeds
}

/// Bytes that mean something to the parsers, put into the seeds in turn.
const LOUD: &[u8] = b"\"\\{}[],:\n\r 0-n\xff";

/// The seeds as they are, and with each of their bytes cut off, left out or changed.
fn replay(target: &str, check: fn(&[u8])) {
    for (path, seed) in seeds(target) {
        println!("{}", path.display());
        check(&seed);
        for at in 0..seed.len() {
            check(&seed[..at]);
            check(&[&seed[..at], &seed[at + 1..]].concat());
            let mut changed = seed.clone();
            changed[at] = LOUD[at % LOUD.len()];
            check(&changed);
        }
    }
}

#[test]
fn the_seeds_of_envelope_hold() {
    replay("envelope", check_envelope);
}

#[test]
fn the_seeds_of_json_usage_hold() {
    replay("json_usage", check_json_usage);
}

#[test]
fn the_seeds_of_sse_hold() {
    replay("sse", check_sse);
}

#[test]
fn the_seeds_of_message_stream_hold() {
    replay("message_stream", check_message_stream);
}

#[test]
fn the_seeds_of_chat_request_hold() {
    replay("chat_request", check_chat_request);
}

#[test]
fn the_seeds_of_gemini_array_hold() {
    replay("gemini_array", check_gemini_array);
}

#[test]
fn the_seeds_of_ingest_hold() {
    replay("ingest", check_ingest);
}

#[test]
fn the_seeds_of_http1_hold() {
    replay("http1", |data| {
        check_http1(data);
        http1::oracle::compare(data);
    });
}

proptest! {
    #[test]
    fn random_bytes_hold(data in proptest::collection::vec(any::<u8>(), 0..64)) {
        check_envelope(&data);
        check_json_usage(&data);
        check_sse(&data);
        check_message_stream(&data);
        check_chat_request(&data);
        check_gemini_array(&data);
        check_ingest(&data);
        check_http1(&data);
    }
}
