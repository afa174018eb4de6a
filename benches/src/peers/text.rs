//! Reads a peer's own page back into a tally.

use crate::set::Set;
use crate::tally::Tally;
use coo_llm_core::histogram::LATENCY;
use std::collections::HashMap;

/// The tally of the page that `render` makes, in the text format, with the families of
/// [`super::Peer`].
///
/// # Panics
/// Where a line has labels that the set does not.
pub(super) fn tally(set: &Set, render: impl FnOnce(&mut Vec<u8>)) -> Tally {
    let mut page = Vec::new();
    render(&mut page);
    let page = String::from_utf8_lossy(&page);
    let routes = (0..set.routes()).map(|at| {
        let names = set.route_names(at);
        ((names.provider, names.model, names.key), at)
    });
    let routes: HashMap<_, _> = routes.collect();
    let clients: HashMap<_, _> = (0..set.clients)
        .map(|at| (set.client_name(at), at))
        .collect();
    let mut tally = Tally::new(set);
    for line in page.lines().filter(|line| !line.starts_with('#')) {
        let Some((name, rest)) = line.split_once('{') else {
            continue;
        };
        let (labels, value) = rest.split_once("} ").expect("labels, then a value");
        let labels: HashMap<&str, &str> = labels
            .split(',')
            .filter_map(|label| label.split_once('='))
            .map(|(name, value)| (name, value.trim_matches('"')))
            .collect();
        let value: f64 = value.parse().expect("a value is a number");
        let label = |name| labels.get(name).map_or(String::new(), ToString::to_string);
        let mut route = |column: usize| {
            let at = routes[&(label("provider"), label("model"), label("key"))];
            tally.routes[at][column] += value as u64;
        };
        let mut client = |column: usize| {
            tally.clients[clients[&label("client")]][column] += value as u64;
        };
        match name.strip_suffix("_total").unwrap_or(name) {
            "requests" => route(0),
            "tokens_in" => route(1),
            "tokens_out" => route(2),
            "cost" => route(3),
            "client_requests" => client(0),
            "client_tokens" => client(1),
            "client_cost" => client(2),
            "latency_sum" => tally.latency_us += (value * 1e6).round() as u64,
            "latency_bucket" => {
                let bound: f64 = labels["le"].parse().expect("a bound is a number");
                let us = (bound * 1e6).round() as u64;
                let at = LATENCY.bounds().iter().position(|bound| *bound == us);
                let last = LATENCY.bounds().len();
                tally.buckets[at.unwrap_or(last)] += value as u64;
            }
            _ => {}
        }
    }
    tally
}
