//! The cookie that holds a page's session.

use http::header::COOKIE;
use http::{HeaderMap, HeaderValue};

/// Over TLS the name says what browsers then enforce: no domain, the whole site, TLS only.
const SECURE_NAME: &str = "__Host-coo_session";
pub(in crate::control) const PLAIN_NAME: &str = "coo_session";

fn name(secure: bool) -> &'static str {
    if secure { SECURE_NAME } else { PLAIN_NAME }
}

/// The token in the request's cookies; `None` too where it came twice.
pub(super) fn token(headers: &HeaderMap, secure: bool) -> Option<&[u8]> {
    let lines = headers.get_all(COOKIE).into_iter();
    let pairs = lines.flat_map(|line| line.as_bytes().split(|byte| *byte == b';'));
    let mut tokens = pairs.filter_map(|pair| {
        let value = pair.trim_ascii().strip_prefix(name(secure).as_bytes())?;
        value.strip_prefix(b"=")
    });
    match (tokens.next(), tokens.next()) {
        (Some(token), None) => Some(token),
        _ => None,
    }
}

/// `Set-Cookie` of a session that lasts so many seconds; 0 ends it.
pub(super) fn set(token: &str, secure: bool, seconds: u64) -> HeaderValue {
    let name = name(secure);
    let secure = if secure { "; Secure" } else { "" };
    let text =
        format!("{name}={token}; Path=/; HttpOnly; SameSite=Strict{secure}; Max-Age={seconds}");
    HeaderValue::from_str(&text).expect("a token is base64 and dots")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_token_is_found_among_other_cookies() {
        let of = |lines: &[&'static str], secure| {
            let mut headers = HeaderMap::new();
            for line in lines {
                headers.append(COOKIE, HeaderValue::from_static(line));
            }
            token(&headers, secure).map(<[u8]>::to_vec)
        };
        assert_eq!(
            of(&["a=b; coo_session=x.y.z;c=d"], false),
            Some(b"x.y.z".to_vec())
        );
        assert_eq!(
            of(&["a=b", "__Host-coo_session=t"], true),
            Some(b"t".to_vec())
        );
        assert_eq!(of(&["coo_session=t"], true), None);
        assert_eq!(of(&["xcoo_session=t; coo_sessions=t"], false), None);
        assert_eq!(of(&["coo_session=t; coo_session=u"], false), None);
        assert_eq!(of(&[], false), None);
    }
}
