//! Which headers pass, and which are the gateway's own.

use http::header::{
    ACCEPT_ENCODING, AUTHORIZATION, CONNECTION, CONTENT_LENGTH, EXPECT, HOST, HeaderMap,
    HeaderName, HeaderValue, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, TE, TRAILER,
    TRANSFER_ENCODING, UPGRADE,
};

pub(crate) const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
pub(crate) const X_API_KEY: HeaderName = HeaderName::from_static("x-api-key");
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
    for name in [X_API_KEY, CONTENT_LENGTH, EXPECT] {
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
    authorization: Option<&HeaderValue>,
) {
    headers.insert(HOST, authority.clone());
    match authorization {
        Some(key) => headers.insert(AUTHORIZATION, key.clone()),
        None => headers.remove(AUTHORIZATION),
    };
}

/// Makes a provider's headers those of the answer.
pub(crate) fn to_client(headers: &mut HeaderMap, request_id: &HeaderValue) {
    strip_connection(headers);
    if let Some(theirs) = headers.insert(X_REQUEST_ID, request_id.clone()) {
        headers.insert(X_UPSTREAM_REQUEST_ID, theirs);
    }
}

/// The client's key: `Authorization: Bearer KEY`, or `x-api-key: KEY`.
pub(crate) fn client_key(headers: &HeaderMap) -> Option<&[u8]> {
    if let Some(value) = headers.get(AUTHORIZATION) {
        let (scheme, key) = value.as_bytes().split_at_checked(7)?;
        return scheme
            .eq_ignore_ascii_case(b"bearer ")
            .then(|| key.trim_ascii());
    }
    headers
        .get(X_API_KEY)
        .map(|value| value.as_bytes().trim_ascii())
}

#[cfg(test)]
mod tests {
    use super::*;

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
        assert_eq!(key(&[("authorization", "Basic abcdefg")]), None);
        assert_eq!(key(&[("authorization", "Bear")]), None);
        assert_eq!(key(&[]), None);
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
        let value = HeaderValue::from_static;
        let key = value("Bearer provider");
        to_upstreams(&mut headers, &value("req_1"));
        let mut keyless = headers.clone();
        address(&mut keyless, &value("host:1"), None);
        assert!(!keyless.contains_key(AUTHORIZATION), "{keyless:?}");
        address(&mut headers, &value("host:1"), Some(&key));
        let mut left: Vec<_> = headers
            .iter()
            .map(|(name, value)| format!("{name}: {}", value.to_str().unwrap()))
            .collect();
        left.sort();
        assert_eq!(
            left,
            [
                "accept-encoding: identity",
                "authorization: Bearer provider",
                "host: host:1",
                "openai-beta: stays",
                "x-request-id: req_1",
            ]
        );
    }
}
