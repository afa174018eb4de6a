//! What a provider says is left of a key's limits.

use http::HeaderMap;
use std::sync::atomic::{AtomicU64, Ordering};

/// The values of the `kind` label.
const KINDS: [&str; 4] = ["requests", "tokens", "input_tokens", "output_tokens"];

/// The place in [`KINDS`] of what a header tells: OpenAI's names and Anthropic's.
fn kind_of(header: &str) -> Option<usize> {
    if let Some(kind) = header.strip_prefix("x-ratelimit-remaining-") {
        return ["requests", "tokens"].iter().position(|k| *k == kind);
    }
    match header.strip_prefix("anthropic-ratelimit-")? {
        "requests-remaining" => Some(0),
        "tokens-remaining" => Some(1),
        "input-tokens-remaining" => Some(2),
        "output-tokens-remaining" => Some(3),
        _ => None,
    }
}

/// What stands where nothing was ever said.
const NEVER: u64 = u64::MAX;

/// The last word of a provider on one key. Any worker writes, the control plane reads;
/// each number stands alone, so relaxed is enough.
#[derive(Debug)]
pub(crate) struct Quota {
    left: [AtomicU64; KINDS.len()],
}

impl Default for Quota {
    fn default() -> Self {
        Self {
            left: std::array::from_fn(|_| AtomicU64::new(NEVER)),
        }
    }
}

impl Quota {
    /// Notes what an answer's headers say; most providers say nothing.
    pub(crate) fn note(&self, headers: &HeaderMap) {
        // One pass over the names costs less than a look-up of each.
        for (name, value) in headers {
            let Some(kind) = kind_of(name.as_str()) else {
                continue;
            };
            let count = value
                .to_str()
                .ok()
                .and_then(|text| text.trim().parse().ok());
            if let Some(count) = count {
                self.left[kind].store(count, Ordering::Relaxed);
            }
        }
    }

    /// What is left, by kind; nothing where nothing was ever said.
    pub(crate) fn known(&self) -> Vec<(&'static str, u64)> {
        self.left
            .iter()
            .zip(KINDS)
            .map(|(left, kind)| (kind, left.load(Ordering::Relaxed)))
            .filter(|(_, left)| *left != NEVER)
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::{HeaderName, HeaderValue};

    #[test]
    fn the_last_word_counts_and_silence_is_no_word() {
        let quota = Quota::default();
        assert_eq!(quota.known(), []);
        let say = |pairs: &[(&'static str, &'static str)]| {
            let pair = |(name, value): &(&'static str, &'static str)| {
                (
                    HeaderName::from_static(name),
                    HeaderValue::from_static(value),
                )
            };
            quota.note(&pairs.iter().map(pair).collect());
        };
        say(&[("x-ratelimit-remaining-requests", "0")]);
        say(&[]);
        say(&[
            ("x-ratelimit-remaining-requests", "soon"),
            ("x-ratelimit-remaining-tokens", " 149984 "),
            ("anthropic-ratelimit-output-tokens-remaining", "7"),
        ]);
        assert_eq!(
            quota.known(),
            [("requests", 0), ("tokens", 149_984), ("output_tokens", 7)]
        );
    }
}
