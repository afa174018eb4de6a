//! `${VAR}` and `${VAR:-default}` in a value. Only `${` is special, so an argon2
//! hash with its single `$` needs no care; `$${` stands for a literal `${`.

/// Expands `text`; variables are asked of `env` and not expanded again.
///
/// As in a shell, `${VAR:-default}` takes the default where `VAR` is unset or empty.
///
/// # Errors
/// A message that names the variable, never its value.
pub(crate) fn expand(text: &str, env: &dyn Fn(&str) -> Option<String>) -> Result<String, String> {
    let mut expanded = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        expanded.push_str(&rest[..at]);
        rest = &rest[at..];
        if let Some(after) = rest.strip_prefix("$${") {
            expanded.push_str("${");
            rest = after;
        } else if let Some(after) = rest.strip_prefix("${") {
            let Some(end) = after.find('}') else {
                return Err("`${` without `}`; close it, or write `$${` for a literal `${`".into());
            };
            expanded.push_str(&variable(&after[..end], env)?);
            rest = &after[end + 1..];
        } else {
            expanded.push('$');
            rest = &rest[1..];
        }
    }
    expanded.push_str(rest);
    Ok(expanded)
}

/// The value of what stands between `${` and `}`.
fn variable(inner: &str, env: &dyn Fn(&str) -> Option<String>) -> Result<String, String> {
    let (name, default) = match inner.split_once(":-") {
        Some((name, default)) => (name, Some(default)),
        None => (inner, None),
    };
    let is_name = !name.starts_with(|c: char| c.is_ascii_digit())
        && !name.is_empty()
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    if !is_name {
        // The text is not shown: it may be the secret itself, put between the braces.
        return Err(
            "what stands in `${...}` is not a variable name; write `${NAME}`, `${NAME:-default}`, \
             or `$${` for a literal `${`"
                .into(),
        );
    }
    match (env(name), default) {
        (Some(value), Some(default)) if value.is_empty() => Ok(default.into()),
        (Some(value), _) => Ok(value),
        (None, Some(default)) => Ok(default.into()),
        (None, None) => Err(format!(
            "environment variable `{name}` is not set; set it, or write `${{{name}:-default}}`"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expanded(text: &str) -> Result<String, String> {
        expand(text, &|name| match name {
            "KEY" => Some("value-${X}".into()),
            "EMPTY" => Some(String::new()),
            _ => None,
        })
    }

    #[test]
    fn variables_defaults_and_escapes() {
        for (text, want) in [
            ("", ""),
            ("plain", "plain"),
            ("${KEY}", "value-${X}"),
            ("a${KEY}b${KEY}", "avalue-${X}bvalue-${X}"),
            ("${EMPTY}", ""),
            ("${EMPTY:-d}", "d"),
            ("${NONE:-}", ""),
            ("${NONE:-a:-b}", "a:-b"),
            ("$${KEY}", "${KEY}"),
            ("$$${KEY}", "$${KEY}"),
            (
                "$argon2id$v=19$m=19456,t=2,p=1$c2FsdA$aGFzaA",
                "$argon2id$v=19$m=19456,t=2,p=1$c2FsdA$aGFzaA",
            ),
            ("cost: 5$", "cost: 5$"),
            ("é$é", "é$é"),
        ] {
            assert_eq!(expanded(text).as_deref(), Ok(want), "{text}");
        }
    }

    #[test]
    fn an_unset_variable_is_named() {
        let error = expanded("x${NOT_THERE}").expect_err("unset");
        assert!(error.contains("`NOT_THERE` is not set"), "{error}");
    }

    #[test]
    fn what_is_no_variable_is_refused_without_being_shown() {
        for text in ["${}", "${:-x}", "${sk-secret}", "${1A}", "${sk-secret"] {
            let error = expanded(text).expect_err(text);
            assert!(!error.contains("sk-secret"), "{error}");
        }
    }
}
