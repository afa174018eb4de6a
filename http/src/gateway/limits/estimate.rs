//! What a request may use, before anyone knows.

use crate::gateway::settlement::BYTES_PER_TOKEN;
use crate::wire::envelope::Envelope;
use coo_llm_core::record::{Endpoint, Tokens};

/// Output tokens that are reserved for a request that does not say how many it takes
/// at most: the answer of a usual chat.
pub(crate) const OUTPUT_TOKENS_ASSUMED: u64 = 256;

/// The tokens that are reserved for a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Estimate {
    input: u64,
    output: u64,
}

impl Estimate {
    /// A token for each four bytes of the body, and as much output as the request allows.
    pub(crate) fn new(endpoint: Endpoint, body_bytes: usize, envelope: &Envelope<'_>) -> Self {
        let output = match endpoint {
            Endpoint::Embeddings => 0,
            _ => envelope.output_tokens_max.unwrap_or(OUTPUT_TOKENS_ASSUMED),
        };
        Self {
            input: (body_bytes as u64).div_ceil(BYTES_PER_TOKEN),
            output,
        }
    }

    pub(crate) fn total(self) -> u64 {
        self.input.saturating_add(self.output)
    }

    pub(crate) fn tokens(self) -> Tokens {
        Tokens {
            input: self.input,
            output: self.output,
            ..Tokens::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_reserves_what_it_says_or_what_is_usual() {
        let estimate = |endpoint, body: &str| {
            let envelope = Envelope::parse(body.as_bytes()).expect("a body");
            let estimate = Estimate::new(endpoint, body.len(), &envelope);
            (estimate.input, estimate.output)
        };
        let chat = Endpoint::ChatCompletions;
        assert_eq!(estimate(chat, r#"{"model":"m"}"#), (4, 256));
        assert_eq!(estimate(chat, r#"{"model":"m","max_tokens":7}"#), (7, 7));
        let four = r#"{"model":"m","max_completion_tokens":10,"n":4}"#;
        assert_eq!(estimate(chat, four).1, 40);
        assert_eq!(estimate(Endpoint::Embeddings, r#"{"model":"m"}"#), (4, 0));
    }
}
