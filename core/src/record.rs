//! The record of one finished request.

/// Token counts of a request, disjoint: their sum is the number of tokens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tokens {
    /// Input that no other kind covers.
    pub input: u64,
    /// Output that no other kind covers.
    pub output: u64,
    /// Input that the provider read from its cache.
    pub cached_input: u64,
    /// Input that the provider wrote to its cache.
    pub cache_write: u64,
    /// Output spent on reasoning.
    pub reasoning: u64,
    /// Audio in the input.
    pub audio_input: u64,
    /// Audio in the output.
    pub audio_output: u64,
}
