//! How rows hang together: each line holds the hash of the line before, and its own.

use crate::control::hex;
use sha2::{Digest, Sha256};

/// Longer than any line: a longer one is none of ours, and is not read into memory.
pub(super) const LINE_BYTES_MAX: u64 = 16 * 1024;

/// What stands before the first row.
pub(super) const GENESIS: Link = Link {
    seq: 0,
    time_ms: 0,
    hash: [0; 32],
};

const PREV: &[u8] = b",\"prev\":\"";
const HASH: &[u8] = b",\"hash\":\"";
const END: &[u8] = b"\"}\n";
const DIGITS: usize = 64;

/// A row's place in the chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Link {
    /// From 1 on, without a gap.
    pub(super) seq: u64,
    /// Unix milliseconds; never before the row before.
    pub(super) time_ms: u64,
    pub(super) hash: [u8; 32],
}

impl Link {
    /// The line that follows this one, and its place. `members` are JSON members, each with a
    /// comma before it.
    pub(super) fn next(self, time_ms: u64, members: &str) -> (String, Self) {
        let seq = self.seq + 1;
        // A clock that was set back stands still until it is where it was.
        let time_ms = time_ms.max(self.time_ms);
        let prev = hex::of(&self.hash);
        let body = format!("{{\"seq\":{seq},\"time\":{time_ms}{members},\"prev\":\"{prev}\"");
        let hash: [u8; 32] = Sha256::digest(&body).into();
        let line = format!("{body},\"hash\":\"{}\"}}\n", hex::of(&hash));
        let link = Self { seq, time_ms, hash };
        (line, link)
    }
}

/// What a line says of its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Read {
    pub(super) link: Link,
    pub(super) prev: [u8; 32],
}

impl Read {
    /// Reads a line with its end, and checks its hash.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(super) fn of(line: &[u8]) -> Result<Self, &'static str> {
        let line = line.strip_suffix(END).ok_or("the line's end is missing")?;
        let (body, hash) = split(line, HASH).ok_or("the line has no hash")?;
        let (fields, prev) = split(body, PREV).ok_or("the line has no hash of the one before")?;
        let (seq, fields) = number(fields, b"{\"seq\":").ok_or("the line has no number")?;
        let (time_ms, _) = number(fields, b",\"time\":").ok_or("the line has no time")?;
        let found: [u8; 32] = Sha256::digest(body).into();
        if found != hash {
            return Err("the line does not have the hash that it says");
        }
        let link = Link { seq, time_ms, hash };
        Ok(Self { link, prev })
    }

    /// Whether it follows the row at `before`.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(super) fn follows(&self, before: Link) -> Result<(), String> {
        if self.link.seq != before.seq + 1 {
            return Err(format!(
                "row {} follows row {}: rows were removed, added or put in another order",
                self.link.seq, before.seq
            ));
        }
        if self.prev != before.hash {
            return Err(format!("row {} was changed", before.seq));
        }
        if self.link.time_ms < before.time_ms {
            return Err("the row is older than the one before".to_owned());
        }
        Ok(())
    }
}

/// The digest at the end of `line`, and what stands before `name`.
fn split<'l>(line: &'l [u8], name: &[u8]) -> Option<(&'l [u8], [u8; 32])> {
    let line = line.strip_suffix(b"\"").unwrap_or(line);
    let (rest, digits) = line.split_at_checked(line.len().checked_sub(DIGITS)?)?;
    Some((rest.strip_suffix(name)?, hex::digest(digits)?))
}

fn number<'l>(line: &'l [u8], name: &[u8]) -> Option<(u64, &'l [u8])> {
    let rest = line.strip_prefix(name)?;
    let digits = rest.iter().take_while(|b| b.is_ascii_digit()).count();
    let (digits, rest) = rest.split_at(digits);
    let number = std::str::from_utf8(digits).ok()?.parse().ok()?;
    Some((number, rest))
}
