//! What the gateways of a run have their workers on.

/// Names the pair, such as `tokio/epoll`; without it the gateway picks.
const VARIABLE: &str = "COO_LLM_TEST_ON";

/// A runtime and its driver, as the configuration and `coo_llm_runtime_info` name them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pair {
    /// `server.runtime`.
    pub runtime: &'static str,
    /// `server.driver`.
    pub driver: &'static str,
}

/// Every pair that there is.
const PAIRS: [Pair; 4] = [
    pair("monoio", "epoll"),
    pair("monoio", "io_uring"),
    pair("tokio", "epoll"),
    pair("glommio", "io_uring"),
];

const fn pair(runtime: &'static str, driver: &'static str) -> Pair {
    Pair { runtime, driver }
}

/// The pair that `COO_LLM_TEST_ON` names. Each gateway of the run is told to use it, and a
/// gateway that does not run on it fails its test: nothing falls back silently.
///
/// # Panics
/// If there is no such pair.
#[must_use]
pub fn runs_on() -> Option<Pair> {
    let named = std::env::var(VARIABLE).ok()?;
    let pair = PAIRS
        .into_iter()
        .find(|pair| named == format!("{}/{}", pair.runtime, pair.driver));
    assert!(pair.is_some(), "{VARIABLE}={named}: none of {PAIRS:?}");
    pair
}
