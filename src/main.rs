//! The `coo-llm` binary.
fn main() {}
