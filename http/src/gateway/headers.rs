//! Which headers pass, and which are the gateway's own.

use super::dialect::{Credential, Service};
use super::plan::SentKey;
use http::header::{
    ACCEPT_ENCODING, AUTHORIZATION, CONNECTION, CONTENT_LENGTH, EXPECT, HOST, HeaderMap,
    HeaderName, HeaderValue, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, TE, TRAILER,
    TRANSFER_ENCODING, UPGRADE,
};

pub(crate) const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
pub(crate) const X_API_KEY: HeaderName = HeaderName::from_static("x-api-key");
pub(crate) const X_GOOG_API_KEY: HeaderName = HeaderName::from_static("x-goog-api-key");
pub(crate) const X_UPSTREAM_REQUEST_ID: HeaderName =
    HeaderName::from_static("x-upstream-request-id");
pub(crate) const X_COO_PROVIDER: HeaderName = HeaderName::from_static("x-coo-provider");
pub(crate) const X_COO_MODEL: HeaderName = HeaderName::from_static("x-coo-model");
pub(crate) const X_COO_COST_USD: HeaderName = HeaderName::from_static("x-coo-cost-usd");
/// How many attempts an answer took, where it was more than one.
pub(crate) const X_COO_ATTEMPTS: HeaderName = HeaderName::from_static("x-coo-attempts");
const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");

/// Whether a header belongs to one connection only (RFC 9110, 7.6.1).
fn is_of_connection(name: &HeaderName) -> bool {
    [
        CONNECTION,
        KEEP_ALIVE,
        PROXY_AUTHENTICATE,
        PROXY_AUTHORIZATION,
        PROXY_CONNECTION,
        TE,
        TRAILER,
        TRANSFER_ENCODING,
        UPGRADE,
    ]
    .contains(name)
}

/// Removes what belongs to the connection, named by `Connection` or by the standard.
fn strip_connection(headers: &mut HeaderMap) {
    if headers.contains_key(CONNECTION) {
        let named: Vec<HeaderName> = headers
            .get_all(CONNECTION)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','))
            .filter_map(|name| name.trim().parse().ok())
            .collect();
        for name in named {
            headers.remove(name);
        }
    }
    let own: Vec<HeaderName> = headers
        .keys()
        .filter(|name| is_of_connection(name))
        .cloned()
        .collect();
    for name in own {
        headers.remove(name);
    }
}

/// Makes a client's headers those of its requests to providers, but for what
/// [`address`] sets: everything that is not of the connection stays.
///
/// The answer must come unencoded: usage is read from its bytes as they pass.
pub(crate) fn to_upstreams(headers: &mut HeaderMap, request_id: &HeaderValue) {
    strip_connection(headers);
    for name in [X_API_KEY, X_GOOG_API_KEY, CONTENT_LENGTH, EXPECT] {
        headers.remove(name);
    }
    headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    headers.insert(X_REQUEST_ID, request_id.clone());
}

/// Makes them those of a request to this provider: the client's key goes, the
/// provider's comes.
pub(crate) fn address(
    headers: &mut HeaderMap,
    authority: &HeaderValue,
    service: &Service,
    key: Option<&SentKey>,
) {
    headers.insert(HOST, authority.clone());
    headers.remove(AUTHORIZATION);
    match (service.credential, key) {
        (_, None) => {}
        (Credential::Bearer, Some(sent)) => {
            headers.insert(AUTHORIZATION, sent.bearer.clone());
        }
        (Credential::Header(name), Some(sent)) => {
            headers.insert(HeaderName::from_static(name), sent.bare.clone());
        }
    }
    if let Some((name, value)) = service.header {
        headers
            .entry(HeaderName::from_static(name))
            .or_insert_with(|| HeaderValue::from_static(value));
    }
}

/// Headers as one piece of bytes, for an attempt that will most likely not be made: a
/// clone of the map cost 4,800 instructions for twelve headers, 6 % of a request.
///
/// A length of the name (2 bytes) and of the value (4 bytes), name, value; and again.
#[derive(Debug, Default)]
pub(crate) struct Stash(Vec<u8>);

impl Stash {
    /// Without `Authorization`, which [`address`] sets anew.
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        /// More than most headers have.
        const BYTES: usize = 64;
        let mut bytes = Vec::with_capacity(headers.len() * BYTES);
        for (name, value) in headers.iter().filter(|(name, _)| *name != AUTHORIZATION) {
            let (name, value) = (name.as_str().as_bytes(), value.as_bytes());
            // The http crate's names are shorter than 64 KiB, and heads than 4 GiB.
            bytes.extend_from_slice(&(name.len() as u16).to_le_bytes());
            bytes.extend_from_slice(&(value.len() as u32).to_le_bytes());
            bytes.extend_from_slice(name);
            bytes.extend_from_slice(value);
        }
        Self(bytes)
    }

    /// The headers again.
    pub(crate) fn headers(&self) -> HeaderMap {
        let mut headers = HeaderMap::new();
        let mut rest = self.0.as_slice();
        while let Some((lengths, more)) = rest.split_first_chunk::<6>() {
            let [a, b, c, d, e, f] = *lengths;
            let (name, more) = more.split_at(u16::from_le_bytes([a, b]).into());
            let (value, more) = more.split_at(u32::from_le_bytes([c, d, e, f]) as usize);
            let name = HeaderName::from_bytes(name).expect("it was a header's name");
            let value = HeaderValue::from_bytes(value).expect("it was a header's value");
            headers.append(name, value);
            rest = more;
        }
        headers
    }
}

/// Makes a provider's headers those of the answer.
pub(crate) fn to_client(headers: &mut HeaderMap, request_id: &HeaderValue) {
    strip_connection(headers);
    if let Some(theirs) = headers.insert(X_REQUEST_ID, request_id.clone()) {
        headers.insert(X_UPSTREAM_REQUEST_ID, theirs);
    }
}

/// The client's key: `Authorization: Bearer KEY`, `x-api-key: KEY` or `x-goog-api-key: KEY`.
pub(crate) fn client_key(headers: &HeaderMap) -> Option<&[u8]> {
    if let Some(value) = headers.get(AUTHORIZATION) {
        let (scheme, key) = value.as_bytes().split_at_checked(7)?;
        return scheme
            .eq_ignore_ascii_case(b"bearer ")
            .then(|| key.trim_ascii());
    }
    headers
        .get(X_API_KEY)
        .or_else(|| headers.get(X_GOOG_API_KEY))
        .map(|value| value.as_bytes().trim_ascii())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gateway::dialect::Dialect;
    use coo_llm_config::ProviderType;
    use coo_llm_core::record::Endpoint;

    fn map(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(name, value)| {
                (
                    HeaderName::from_static(name),
                    HeaderValue::from_static(value),
                )
            })
            .collect()
    }

    #[test]
    fn a_key_comes_in_either_header() {
        let key = |pairs| client_key(&map(pairs)).map(<[u8]>::to_vec);
        assert_eq!(
            key(&[("authorization", "Bearer sk-1")]),
            Some(b"sk-1".to_vec())
        );
        assert_eq!(
            key(&[("authorization", "bearer  sk-1 ")]),
            Some(b"sk-1".to_vec())
        );
        assert_eq!(key(&[("x-api-key", "sk-2")]), Some(b"sk-2".to_vec()));
        assert_eq!(key(&[("x-goog-api-key", "sk-3")]), Some(b"sk-3".to_vec()));
        assert_eq!(key(&[("authorization", "Basic abcdefg")]), None);
        assert_eq!(key(&[("authorization", "Bear")]), None);
        assert_eq!(key(&[]), None);
    }

    #[test]
    fn a_stash_gives_back_what_it_got_without_the_clients_key() {
        let mut headers = map(&[
            ("authorization", "Bearer client"),
            ("openai-beta", "one"),
            ("x-empty", ""),
        ]);
        headers.append("openai-beta", HeaderValue::from_static("two"));
        let odd = HeaderValue::from_bytes(b"caf\xe9").expect("a value");
        headers.insert("x-odd", odd);
        let again = Stash::of(&headers).headers();
        headers.remove(AUTHORIZATION);
        assert_eq!(again, headers);
        assert!(Stash::default().headers().is_empty());
    }

    #[test]
    fn the_clients_key_and_its_connection_do_not_reach_the_provider() {
        let mut headers = map(&[
            ("authorization", "Bearer client"),
            ("x-api-key", "client"),
            ("connection", "keep-alive, x-hop"),
            ("x-hop", "1"),
            ("te", "trailers"),
            ("content-length", "3"),
            ("accept-encoding", "gzip"),
            ("openai-beta", "stays"),
        ]);
        headers.insert(X_GOOG_API_KEY, HeaderValue::from_static("client"));
        let value = HeaderValue::from_static;
        let key = SentKey {
            bearer: value("Bearer provider"),
            bare: value("provider"),
        };
        to_upstreams(&mut headers, &value("req_1"));
        let sent = |kind, endpoint, key| {
            let dialect = Dialect::of(kind);
            let place = dialect.place(endpoint).expect("it is served");
            let mut headers = headers.clone();
            address(
                &mut headers,
                &value("host:1"),
                &dialect.services()[place],
                key,
            );
            let mut left: Vec<_> = headers
                .iter()
                .map(|(name, value)| format!("{name}: {}", value.to_str().unwrap()))
                .filter(|line| !line.starts_with("accept-encoding") && !line.starts_with("host"))
                .collect();
            left.sort();
            left
        };
        let (stays, id) = ("openai-beta: stays", "x-request-id: req_1");
        let chat = Endpoint::ChatCompletions;
        assert_eq!(sent(ProviderType::OpenAi, chat, None), [stays, id]);
        assert_eq!(
            sent(ProviderType::OpenAi, chat, Some(&key)),
            ["authorization: Bearer provider", stays, id]
        );
        for endpoint in [chat, Endpoint::Messages] {
            assert_eq!(
                sent(ProviderType::Anthropic, endpoint, Some(&key)),
                [
                    "anthropic-version: 2023-06-01",
                    stays,
                    "x-api-key: provider",
                    id
                ]
            );
        }
        assert_eq!(
            sent(ProviderType::Gemini, chat, Some(&key)),
            ["authorization: Bearer provider", stays, id]
        );
        assert_eq!(
            sent(ProviderType::Gemini, Endpoint::GenerateContent, Some(&key)),
            [stays, "x-goog-api-key: provider", id]
        );
        let mut versioned = map(&[("anthropic-version", "2099-01-01")]);
        let messages = &Dialect::of(ProviderType::Anthropic).services()[0];
        address(&mut versioned, &value("host:1"), messages, None);
        assert_eq!(versioned["anthropic-version"], "2099-01-01");
        assert_eq!(headers["accept-encoding"], "identity");
    }
}
