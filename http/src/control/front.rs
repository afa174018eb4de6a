//! What stands before the admin API: who counts as the client, and which pages of other origins
//! may call it.

use coo_llm_config::{AddressRange, Server};
use http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_METHOD, ORIGIN, VARY,
};
use http::{HeaderMap, HeaderValue, Method};
use std::net::IpAddr;

/// Addresses of `X-Forwarded-For` that are looked at, from the end.
const FORWARDED_MAX: usize = 32;

/// The client's address; `None` where the request came over no socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Client(pub(super) Option<IpAddr>);

/// Whether the client's connection is TLS, as far as we know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct IsSecure(pub(super) bool);

/// Settings of the admin API's front.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Front {
    /// Requests a minute that an address may send; `None`: any number.
    pub req_per_min: Option<u32>,
    /// Whose `X-Forwarded-For` and `X-Forwarded-Proto` are believed.
    pub trusted_proxies: Vec<AddressRange>,
    /// Origins whose pages may call the API, with a bearer token: cookies are not for them.
    pub cors_origins: Vec<String>,
    /// Whether the listeners speak TLS.
    pub is_tls: bool,
}

impl Front {
    /// As the configuration says.
    #[must_use]
    pub fn new(server: &Server) -> Self {
        let cors = &server.cors;
        Self {
            req_per_min: server.admin_req_per_min,
            trusted_proxies: server.trusted_proxies.clone(),
            cors_origins: if cors.enabled {
                cors.allowed_origins.clone()
            } else {
                Vec::new()
            },
            is_tls: server.tls.is_some(),
        }
    }

    fn trusts(&self, address: IpAddr) -> bool {
        let mut ranges = self.trusted_proxies.iter();
        ranges.any(|range| range.contains(address))
    }

    /// The client: the socket's, or the last one in `X-Forwarded-For` that is no proxy of ours.
    /// What stands before it was written by somebody whom nobody vouches for.
    pub(super) fn client(&self, peer: Option<IpAddr>, headers: &HeaderMap) -> Client {
        let mut client = peer.map(|peer| peer.to_canonical());
        let lines: Vec<&HeaderValue> = headers.get_all("x-forwarded-for").iter().collect();
        let hops = lines
            .iter()
            .rev()
            .flat_map(|line| line.as_bytes().rsplit(|byte| *byte == b','))
            .take(FORWARDED_MAX);
        for hop in hops {
            if !client.is_some_and(|client| self.trusts(client)) {
                break;
            }
            let hop = std::str::from_utf8(hop.trim_ascii()).ok();
            let Some(hop) = hop.and_then(|hop| hop.parse::<IpAddr>().ok()) else {
                break;
            };
            client = Some(hop.to_canonical());
        }
        Client(client)
    }

    /// Whether the client's connection is TLS: ours, or that of a proxy that says so.
    pub(super) fn is_secure(&self, peer: Option<IpAddr>, headers: &HeaderMap) -> IsSecure {
        let is_from_proxy = peer.is_some_and(|peer| self.trusts(peer));
        let scheme = headers.get("x-forwarded-proto").map(HeaderValue::as_bytes);
        let is_forwarded = scheme.is_some_and(|scheme| scheme.eq_ignore_ascii_case(b"https"));
        IsSecure(self.is_tls || (is_from_proxy && is_forwarded))
    }

    /// The request's origin, where its pages may call us.
    pub(super) fn allowed_origin(&self, headers: &HeaderMap) -> Option<HeaderValue> {
        let origin = headers.get(ORIGIN)?;
        let mut allowed = self.cors_origins.iter();
        let is_allowed = allowed.any(|allowed| allowed.as_bytes() == origin.as_bytes());
        is_allowed.then(|| origin.clone())
    }

    /// Whether answers differ by origin.
    pub(super) fn has_cors(&self) -> bool {
        !self.cors_origins.is_empty()
    }
}

/// Whether a browser asks what a page may send.
pub(super) fn is_preflight(method: &Method, headers: &HeaderMap) -> bool {
    *method == Method::OPTIONS && headers.contains_key(ACCESS_CONTROL_REQUEST_METHOD)
}

/// Lets the pages of `origin` read this answer.
pub(super) fn allow(origin: HeaderValue, headers: &mut HeaderMap) {
    headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
}

/// What pages may send, for the answer to a preflight.
pub(super) fn allow_sending(headers: &mut HeaderMap) {
    let methods = HeaderValue::from_static("GET, POST, PUT, DELETE");
    headers.insert(ACCESS_CONTROL_ALLOW_METHODS, methods);
    let names = HeaderValue::from_static("authorization, content-type");
    headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, names);
    headers.insert(ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("600"));
}

/// Says to caches that the answer depends on the origin.
pub(super) fn vary(headers: &mut HeaderMap) {
    headers.append(VARY, HeaderValue::from_name(ORIGIN));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_client_is_the_last_address_that_is_no_proxy_of_ours() {
        let ranges = ["10.0.0.0/8", "::1"];
        let front = Front {
            trusted_proxies: ranges
                .iter()
                .map(|range| AddressRange::parse(range).expect(range))
                .collect(),
            ..Front::default()
        };
        let table: [(&str, &[&str], &str); 10] = [
            ("192.0.2.1", &[], "192.0.2.1"),
            // Not a proxy of ours: what it says is its own invention.
            ("192.0.2.1", &["198.51.100.7"], "192.0.2.1"),
            ("10.0.0.1", &["198.51.100.7"], "198.51.100.7"),
            ("::ffff:10.0.0.1", &["198.51.100.7"], "198.51.100.7"),
            (
                "10.0.0.1",
                &["127.0.0.1, 198.51.100.7,10.0.0.9"],
                "198.51.100.7",
            ),
            (
                "10.0.0.1",
                &["127.0.0.1", "198.51.100.7", "10.0.0.9"],
                "198.51.100.7",
            ),
            ("10.0.0.1", &["198.51.100.7, x"], "10.0.0.1"),
            ("10.0.0.1", &[""], "10.0.0.1"),
            ("10.0.0.1", &["10.0.0.2, 10.0.0.3"], "10.0.0.2"),
            ("::1", &["2001:db8::7"], "2001:db8::7"),
        ];
        for (peer, lines, want) in table {
            let mut headers = HeaderMap::new();
            for line in lines {
                headers.append(
                    "x-forwarded-for",
                    HeaderValue::from_str(line).expect("text"),
                );
            }
            let peer: IpAddr = peer.parse().expect("an address");
            let Client(client) = front.client(Some(peer), &headers);
            let want: IpAddr = want.parse().expect("an address");
            assert_eq!(client, Some(want), "{peer} {lines:?}");
        }
        let mut headers = HeaderMap::new();
        headers.append("x-forwarded-proto", HeaderValue::from_static("https"));
        let secure = |peer: &str| front.is_secure(peer.parse().ok(), &headers).0;
        assert!(secure("10.0.0.1") && !secure("192.0.2.1"));
    }
}
