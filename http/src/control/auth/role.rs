//! What somebody may do.

use coo_llm_config as config;
use http::Method;

/// What somebody may do in the admin API.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Everything.
    Admin,
    /// Read.
    Viewer,
}

impl Role {
    /// As configuration and answers name it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Admin => "admin",
            Self::Viewer => "viewer",
        }
    }

    /// Whether the role covers requests of this method: a viewer's change nothing.
    #[must_use]
    pub fn covers(self, method: &Method) -> bool {
        self == Self::Admin || is_safe(method)
    }
}

impl From<config::Role> for Role {
    fn from(role: config::Role) -> Self {
        match role {
            config::Role::Admin => Self::Admin,
            config::Role::Viewer => Self::Viewer,
        }
    }
}

/// Whether requests of the method change nothing. Not `Method::is_safe`: TRACE is not for us.
pub(in crate::control) fn is_safe(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS)
}
