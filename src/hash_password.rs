//! `coo-llm hash-password`: a password from stdin, its argon2id hash to stdout.

use crate::{exit, say};
use argon2::password_hash::PasswordHasher as _;
use argon2::{Algorithm, Argon2, Params, Version};
use std::io::{self, IsTerminal as _, Read as _};
use std::process::ExitCode;

/// The parameters that OWASP's password storage cheat sheet names first: 19 MiB, two passes, one lane.
const MEMORY_KIB: u32 = 19_456;
const PASSES: u32 = 2;
const LANES: u32 = 1;

/// Longer than any password that a person or a generator makes.
const PASSWORD_BYTES_MAX: u64 = 1024;

/// Reads, hashes, prints.
pub(crate) fn run() -> ExitCode {
    let hashed = read_password().and_then(|password| hash(&password));
    match hashed {
        Ok(hash) => {
            say::answer(hash);
            exit::FINE
        }
        Err(message) => {
            say::complain(format_args!("hash-password: {message}"));
            exit::usage()
        }
    }
}

/// From a terminal without echo, else the one line that stdin holds.
fn read_password() -> Result<String, String> {
    let unreadable = |error: io::Error| format!("the password cannot be read: {error}");
    if io::stdin().is_terminal() {
        let first = rpassword::prompt_password("Password: ").map_err(unreadable)?;
        let second = rpassword::prompt_password("Again: ").map_err(unreadable)?;
        if first != second {
            return Err("the two passwords differ".into());
        }
        return checked(&first);
    }
    let mut text = String::new();
    // Two more for the line end.
    let limit = PASSWORD_BYTES_MAX + 2;
    io::stdin()
        .take(limit)
        .read_to_string(&mut text)
        .map_err(unreadable)?;
    checked(&text)
}

/// The password without its line end.
fn checked(text: &str) -> Result<String, String> {
    let password = text.strip_suffix('\n').unwrap_or(text);
    let password = password.strip_suffix('\r').unwrap_or(password);
    if password.is_empty() {
        return Err("the password is empty".into());
    }
    if password.len() as u64 > PASSWORD_BYTES_MAX {
        return Err(format!(
            "the password is longer than {PASSWORD_BYTES_MAX} bytes"
        ));
    }
    if password.contains(['\n', '\r']) {
        return Err("the password is more than one line".into());
    }
    Ok(password.into())
}

/// The hash in PHC form, with a random salt.
fn hash(password: &str) -> Result<String, String> {
    let params = Params::new(MEMORY_KIB, PASSES, LANES, None).map_err(|e| e.to_string())?;
    let hasher = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
    let hash = hasher
        .hash_password(password.as_bytes())
        .map_err(|e| e.to_string())?;
    Ok(hash.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use argon2::password_hash::PasswordVerifier as _;

    #[test]
    fn a_hash_verifies_its_password_and_no_other() {
        let text = hash("hunter2").expect("a hash");
        assert!(
            text.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"),
            "{text}"
        );
        let verify =
            |password: &str| Argon2::default().verify_password(password.as_bytes(), text.as_str());
        assert!(verify("hunter2").is_ok());
        assert!(verify("hunter3").is_err());
        assert_ne!(text, hash("hunter2").expect("a hash"), "the salt is random");
    }

    #[test]
    fn line_ends_are_cut_and_what_is_no_password_is_refused() {
        assert_eq!(checked("a b \r\n").as_deref(), Ok("a b "));
        assert_eq!(checked("pässword").as_deref(), Ok("pässword"));
        for text in ["", "\n", "\r\n", "a\nb\n", &"x".repeat(1025)] {
            assert!(checked(text).is_err(), "{text:?}");
        }
    }
}
