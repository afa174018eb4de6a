//! Whose request it is, by its path alone.

use coo_llm_core::record::Endpoint;

/// What a path names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Target<'a> {
    /// A request that goes on to a provider.
    Forward(Endpoint),
    /// One of Gemini's, whose path names the model.
    Generate(Endpoint, &'a str),
    /// `GET /v1/models`.
    Models,
    /// `GET /v1/models/{id}`.
    Model(&'a str),
    /// `GET /v1/usage`.
    Usage,
    /// `POST /ingest/v1/records`.
    Ingest,
    /// Under `/v1/`, but nothing that this version knows.
    Unknown,
    /// Not the data plane's.
    Control,
}

impl<'a> Target<'a> {
    /// Reads a path; `/api` before it changes nothing.
    pub(crate) fn of(path: &'a str) -> Self {
        let path = path
            .strip_prefix("/api")
            .filter(|rest| rest.starts_with('/'))
            .unwrap_or(path);
        if let Some(target) = path.strip_prefix("/v1beta/models/").and_then(generate) {
            return target;
        }
        let Some(rest) = path.strip_prefix("/v1/") else {
            return match path.strip_prefix("/ingest/") {
                Some("v1/records" | "v1/records/") => Self::Ingest,
                Some(_) => Self::Unknown,
                None if path.starts_with("/v1beta/") => Self::Unknown,
                None => Self::Control,
            };
        };
        match rest.strip_suffix('/').unwrap_or(rest) {
            "chat/completions" => Self::Forward(Endpoint::ChatCompletions),
            "completions" => Self::Forward(Endpoint::Completions),
            "embeddings" => Self::Forward(Endpoint::Embeddings),
            "responses" => Self::Forward(Endpoint::Responses),
            "messages" => Self::Forward(Endpoint::Messages),
            "messages/count_tokens" => Self::Forward(Endpoint::CountTokens),
            "models" => Self::Models,
            "usage" => Self::Usage,
            other => match other.strip_prefix("models/") {
                Some(id) if !id.is_empty() => Self::Model(id),
                _ => Self::Unknown,
            },
        }
    }
}

/// `{model}:generateContent` or `{model}:streamGenerateContent`.
fn generate(rest: &str) -> Option<Target<'_>> {
    let (model, verb) = rest.rsplit_once(':')?;
    let endpoint = match verb {
        "generateContent" => Endpoint::GenerateContent,
        "streamGenerateContent" => Endpoint::StreamGenerateContent,
        _ => return None,
    };
    (!model.is_empty()).then_some(Target::Generate(endpoint, model))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_prefixes_name_the_same() {
        for prefix in ["", "/api"] {
            let of = |path: &str| format!("{:?}", Target::of(&format!("{prefix}{path}")));
            assert_eq!(of("/v1/chat/completions"), "Forward(ChatCompletions)");
            assert_eq!(of("/v1/chat/completions/"), "Forward(ChatCompletions)");
            assert_eq!(of("/v1/completions"), "Forward(Completions)");
            assert_eq!(of("/v1/embeddings"), "Forward(Embeddings)");
            assert_eq!(of("/v1/responses"), "Forward(Responses)");
            assert_eq!(of("/v1/messages"), "Forward(Messages)");
            assert_eq!(of("/v1/messages/count_tokens"), "Forward(CountTokens)");
            assert_eq!(
                of("/v1beta/models/gemini:x:generateContent"),
                "Generate(GenerateContent, \"gemini:x\")"
            );
            assert_eq!(
                of("/v1beta/models/g:streamGenerateContent"),
                "Generate(StreamGenerateContent, \"g\")"
            );
            assert_eq!(of("/v1beta/models/g:embedContent"), "Unknown");
            assert_eq!(of("/v1beta/models/:generateContent"), "Unknown");
            assert_eq!(of("/v1/models"), "Models");
            assert_eq!(of("/v1/models/gpt-4o"), "Model(\"gpt-4o\")");
            assert_eq!(of("/v1/models/meta/llama-3"), "Model(\"meta/llama-3\")");
            assert_eq!(of("/v1/usage"), "Usage");
            assert_eq!(of("/v1/nothing"), "Unknown");
            assert_eq!(of("/ingest/v1/records"), "Ingest");
            assert_eq!(of("/ingest/v1/nothing"), "Unknown");
            assert_eq!(of("/admin/v1/metrics/global"), "Control");
        }
        assert_eq!(Target::of("/metrics"), Target::Control);
        assert_eq!(Target::of("/apiary"), Target::Control);
        assert_eq!(Target::of("/"), Target::Control);
    }
}
