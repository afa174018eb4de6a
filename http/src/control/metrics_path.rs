//! Where `/metrics` is.

/// First segments that belong to others.
const TAKEN: [&str; 7] = ["health", "ready", "admin", "api", "v1", "ingest", "ui"];

/// A path for the metrics endpoint that collides with no other endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MetricsPath(Box<str>);

impl MetricsPath {
    /// Reads a path such as `/metrics`; `None` where it does not begin with `/`, has
    /// characters other than letters, digits, `-`, `_`, `.` and `/`, or belongs to another
    /// endpoint.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let path = text.strip_prefix('/')?;
        let plain = path
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-_./".contains(&byte));
        let first = path.split('/').next()?;
        let free = !first.is_empty() && !TAKEN.contains(&first);
        (plain && free).then(|| Self(text.into()))
    }

    /// The path.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for MetricsPath {
    /// `/metrics`.
    fn default() -> Self {
        Self("/metrics".into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_free_and_plain_paths_are_taken() {
        for good in ["/metrics", "/internal/metrics.txt"] {
            assert_eq!(MetricsPath::parse(good).expect(good).as_str(), good);
        }
        for bad in [
            "",
            "/",
            "metrics",
            "//x",
            "/health",
            "/v1/metrics",
            "/{x}",
            "/a?b",
            "/admin/m",
        ] {
            assert_eq!(MetricsPath::parse(bad), None, "{bad:?}");
        }
    }
}
