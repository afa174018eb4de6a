//! The simulator in this process: as much of OpenAI's API as it can answer.

use super::Dialect;
use super::openai::{CHAT_COMPLETIONS, COMPLETIONS, EMBEDDINGS};

pub(super) const DIALECT: Dialect = Dialect {
    name: "simulator",
    services: &[CHAT_COMPLETIONS, COMPLETIONS, EMBEDDINGS],
};
