//! Why an attempt is worth another one.

use crate::gateway::error::UpstreamFault;

/// What went wrong before an answer began, that another attempt may not meet: the
/// `reason` label of `coo_llm_retries_total`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Trouble {
    /// 429.
    RateLimit,
    /// 401 or 403: this key is refused, another may not be.
    Auth,
    /// No answer in time.
    Timeout,
    /// No connection.
    Connect,
    /// 500, 502, 503, 504 or 529.
    Upstream5xx,
    /// No HTTP, or it broke off before the head's end.
    UpstreamProtocol,
    /// A connection that had been idle was closed just as it was used: the provider's
    /// right, and no sign that it fails.
    StaleConnection,
}

impl Trouble {
    /// Every one, in the order of their numbers.
    pub(crate) const ALL: [Self; 7] = [
        Self::RateLimit,
        Self::Auth,
        Self::Timeout,
        Self::Connect,
        Self::Upstream5xx,
        Self::UpstreamProtocol,
        Self::StaleConnection,
    ];

    /// The label value.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::RateLimit => "rate_limit",
            Self::Auth => "auth",
            Self::Timeout => "timeout",
            Self::Connect => "connect",
            Self::Upstream5xx => "upstream_5xx",
            Self::UpstreamProtocol => "upstream_protocol",
            Self::StaleConnection => "stale_connection",
        }
    }

    /// Of an answer's status; `None` where the answer is the client's, good or bad.
    ///
    /// 501 and 505 stay as they are at the next attempt; 529 is Anthropic's "overloaded".
    pub(crate) const fn of_status(status: u16) -> Option<Self> {
        match status {
            401 | 403 => Some(Self::Auth),
            429 => Some(Self::RateLimit),
            500 | 502 | 503 | 504 | 529 => Some(Self::Upstream5xx),
            _ => None,
        }
    }

    /// Whether it is about the key.
    pub(crate) const fn is_of_key(self) -> bool {
        matches!(self, Self::RateLimit | Self::Auth)
    }
}

impl From<UpstreamFault> for Trouble {
    fn from(fault: UpstreamFault) -> Self {
        match fault {
            UpstreamFault::Connect => Self::Connect,
            UpstreamFault::Timeout => Self::Timeout,
            UpstreamFault::Protocol => Self::UpstreamProtocol,
            UpstreamFault::Stale => Self::StaleConnection,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_numbers_are_the_places_in_the_list() {
        for (at, trouble) in Trouble::ALL.into_iter().enumerate() {
            assert_eq!(trouble as usize, at);
        }
    }

    #[test]
    fn what_the_client_did_wrong_is_not_tried_again() {
        for status in [200, 204, 302, 400, 404, 405, 408, 409, 413, 422, 501, 505] {
            assert_eq!(Trouble::of_status(status), None, "{status}");
        }
        for status in [500, 502, 503, 504, 529] {
            assert_eq!(Trouble::of_status(status), Some(Trouble::Upstream5xx));
        }
    }
}
