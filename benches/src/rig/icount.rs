//! Instructions a request, counted by callgrind: what the noise of a clock hides.

use super::gateway::{Gateway, Setup, Under};
use super::upstream::Upstream;
use super::{Outcome, load};
use std::fs;
use std::path::Path;

/// Instructions that the gateway needs in all for so many requests.
fn instructions(
    binary: &Path,
    upstream: &Upstream,
    setup: &Setup<'_>,
    requests: u64,
    keep: Option<&Path>,
) -> Outcome<u64> {
    let setup = Setup {
        under: Under::Callgrind,
        ..*setup
    };
    let mut gateway = Gateway::start(binary, &upstream.addr, &setup)?;
    load::exact(gateway.addr, setup.model, requests)?;
    gateway.process.terminate()?;
    let file = gateway.dir.path().join("callgrind.out");
    let text = fs::read_to_string(&file).map_err(|error| format!("callgrind: {error}"))?;
    if let Some(keep) = keep {
        fs::copy(&file, keep).map_err(|error| format!("{}: {error}", keep.display()))?;
    }
    let line = text.lines().find_map(|line| {
        line.strip_prefix("summary:")
            .or(line.strip_prefix("totals:"))
    });
    line.and_then(|line| line.trim().parse().ok())
        .ok_or_else(|| "callgrind wrote no summary".to_owned())
}

/// User instructions of one request over one kept connection: the difference of two
/// numbers of requests, so that start and end cancel out.
///
/// # Errors
/// Where valgrind is missing, or a request fails.
pub fn a_request(
    binary: &Path,
    upstream: &Upstream,
    setup: &Setup<'_>,
    few: u64,
    many: u64,
    keep: Option<&Path>,
) -> Outcome<f64> {
    let low = instructions(binary, upstream, setup, few, None)?;
    let high = instructions(binary, upstream, setup, many, keep)?;
    Ok((high as f64 - low as f64) / (many - few) as f64)
}
