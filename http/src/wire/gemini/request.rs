//! What a `generateContent` request says of the tokens that it may use.

use crate::wire::lenient::Lenient;
use crate::wire::span::Raw;

/// The output tokens that a request allows at most, over all its candidates; `None` where
/// it names no number, or cannot be read: that is for the provider to say.
///
/// Google reads both spellings of a name, and numbers that are texts.
///
/// # Cost
/// One pass over the body; nothing is allocated.
#[must_use]
pub fn output_tokens_max(body: &[u8]) -> Option<u64> {
    let request: Lenient<Request<'_>> = serde_json::from_slice(body).ok()?;
    let config = request.value.generation_config.value;
    let most = number(config.max_output_tokens)?;
    Some(most.saturating_mul(number(config.candidate_count).unwrap_or(1).max(1)))
}

fn number(json: Raw<'_>) -> Option<u64> {
    json.text()?.trim_matches('"').parse().ok()
}

#[derive(Default, serde::Deserialize)]
#[serde(default)]
struct Request<'a> {
    #[serde(borrow, rename = "generationConfig", alias = "generation_config")]
    generation_config: Lenient<Config<'a>>,
}

#[derive(Default, serde::Deserialize)]
#[serde(default)]
struct Config<'a> {
    #[serde(borrow, rename = "maxOutputTokens", alias = "max_output_tokens")]
    max_output_tokens: Raw<'a>,
    #[serde(borrow, rename = "candidateCount", alias = "candidate_count")]
    candidate_count: Raw<'a>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bound_is_over_all_candidates() {
        for (body, most) in [
            (r#"{"generationConfig":{"maxOutputTokens":100}}"#, Some(100)),
            (
                r#"{"contents":[{"generationConfig":1}],"generation_config":{"max_output_tokens":"7"}}"#,
                Some(7),
            ),
            (
                r#"{"generationConfig":{"maxOutputTokens":100,"candidateCount":3}}"#,
                Some(300),
            ),
            (r#"{"generationConfig":{"candidateCount":3}}"#, None),
            (r#"{"generationConfig":{"maxOutputTokens":-1}}"#, None),
            (r#"{"generationConfig":null}"#, None),
            (r#"{"contents":[]}"#, None),
            ("[]", None),
            ("{", None),
            ("\u{fe}", None),
        ] {
            assert_eq!(output_tokens_max(body.as_bytes()), most, "{body}");
        }
    }
}
