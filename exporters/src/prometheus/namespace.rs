//! The prefix of every metric name.

/// A metric name prefix such as `coo_llm`, known to make valid names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Namespace(Box<str>);

impl Namespace {
    /// Reads a prefix; `None` where it is not `[a-zA-Z_][a-zA-Z0-9_]*`.
    ///
    /// Colons are valid in metric names, but by convention belong to recording rules.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut bytes = text.bytes();
        let first = bytes.next()?;
        let valid = (first.is_ascii_alphabetic() || first == b'_')
            && bytes.all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        valid.then(|| Self(text.into()))
    }

    /// The prefix, without the underscore that follows it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for Namespace {
    /// `coo_llm`.
    fn default() -> Self {
        Self("coo_llm".into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_makes_a_metric_name_is_a_namespace() {
        for good in ["coo_llm", "_x", "A9"] {
            assert_eq!(Namespace::parse(good).expect(good).as_str(), good);
        }
        for bad in ["", "9x", "a-b", "a:b", "a b", "\u{e4}"] {
            assert_eq!(Namespace::parse(bad), None, "{bad:?}");
        }
    }
}
