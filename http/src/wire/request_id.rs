//! Request ids: made without a heap, or taken from the client if they are sane.

use std::fmt;
use std::hash::{BuildHasher, RandomState};

/// Bytes of an id at most, the client's included.
pub const REQUEST_ID_BYTES_MAX: usize = 128;

/// Bytes of an id of ours: `req_` and 32 hex digits.
pub const OWN_REQUEST_ID_BYTES: usize = 36;

/// The id of one request: visible ASCII, 1 to [`REQUEST_ID_BYTES_MAX`] bytes.
#[derive(Clone, Copy)]
pub struct RequestId {
    bytes: [u8; REQUEST_ID_BYTES_MAX],
    length: u8,
}

impl RequestId {
    /// A client's `x-request-id`; `None` if it is empty, too long, or has anything
    /// else than visible ASCII, such as a line break that would forge a log line.
    #[must_use]
    pub fn from_client(header: &[u8]) -> Option<Self> {
        if header.is_empty() || !header.iter().all(u8::is_ascii_graphic) {
            return None;
        }
        let mut bytes = [0; REQUEST_ID_BYTES_MAX];
        bytes.get_mut(..header.len())?.copy_from_slice(header);
        Some(Self {
            bytes,
            length: header.len() as u8,
        })
    }

    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(self.as_bytes()).expect("an id is ASCII")
    }

    /// The id as bytes, fit for a header value.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.length)]
    }
}

impl fmt::Debug for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("RequestId").field(&self.as_str()).finish()
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl PartialEq for RequestId {
    fn eq(&self, other: &Self) -> bool {
        self.as_bytes() == other.as_bytes()
    }
}

impl Eq for RequestId {}

/// 64 random bits that tell this process from any other one, and from its past.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProcessTag(pub u64);

impl ProcessTag {
    /// A tag from the operating system's randomness, by way of the keys that `std`
    /// draws for its hash maps.
    #[must_use]
    pub fn random() -> Self {
        Self(RandomState::new().hash_one(std::process::id()))
    }
}

/// Makes the ids of one worker: `req_`, then the process tag (16 hex digits), the
/// worker (4) and a counter (12). It repeats after 2^48 requests of one worker, which
/// is 89 years at 100,000 a second.
#[derive(Debug)]
pub struct RequestIds {
    process: ProcessTag,
    worker: u16,
    made: u64,
}

impl RequestIds {
    /// The generator of one worker; two of them in a process must not share an index.
    #[must_use]
    pub const fn new(process: ProcessTag, worker: u16) -> Self {
        Self {
            process,
            worker,
            made: 0,
        }
    }

    /// The next id.
    pub fn make(&mut self) -> RequestId {
        let mut bytes = [0; REQUEST_ID_BYTES_MAX];
        bytes[..4].copy_from_slice(b"req_");
        write_hex(&mut bytes[4..20], self.process.0);
        write_hex(&mut bytes[20..24], u64::from(self.worker));
        write_hex(&mut bytes[24..OWN_REQUEST_ID_BYTES], self.made);
        self.made = self.made.wrapping_add(1);
        RequestId {
            bytes,
            length: OWN_REQUEST_ID_BYTES as u8,
        }
    }

    /// The client's id if it sent a sane one, else the next of ours.
    pub fn take(&mut self, client_header: Option<&[u8]>) -> RequestId {
        client_header
            .and_then(RequestId::from_client)
            .unwrap_or_else(|| self.make())
    }
}

/// The lowest hex digits of a number, as many as there is room.
fn write_hex(room: &mut [u8], mut number: u64) {
    for digit in room.iter_mut().rev() {
        *digit = b"0123456789abcdef"[(number & 15) as usize];
        number >>= 4;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn ids_are_fixed_text() {
        let mut ids = RequestIds::new(ProcessTag(0x0123_4567_89ab_cdef), 0xfffe);
        assert_eq!(ids.make().as_str(), "req_0123456789abcdeffffe000000000000");
        assert_eq!(ids.make().as_str(), "req_0123456789abcdeffffe000000000001");
        assert_eq!(ids.make().as_bytes().len(), OWN_REQUEST_ID_BYTES);
    }

    #[test]
    fn ids_differ_across_workers_and_restarts() {
        let mut seen = HashSet::new();
        for _ in 0..4 {
            let process = ProcessTag::random();
            for worker in 0..4 {
                let mut ids = RequestIds::new(process, worker);
                for _ in 0..1000 {
                    assert!(seen.insert(ids.make().to_string()));
                }
            }
        }
    }

    #[test]
    fn a_clients_id_is_taken_if_it_is_sane() {
        let mut ids = RequestIds::new(ProcessTag(1), 0);
        assert_eq!(ids.take(Some(b"trace-42/~!")).as_str(), "trace-42/~!");
        assert_eq!(ids.take(Some(&[b'x'; 128])).as_bytes(), [b'x'; 128]);
        for bad in [
            &b""[..],
            b"a b",
            b"a\nb",
            b"a\x7f",
            "\u{e9}".as_bytes(),
            &[b'x'; 129],
        ] {
            assert!(ids.take(Some(bad)).as_str().starts_with("req_"), "{bad:?}");
        }
        assert!(ids.take(None).as_str().starts_with("req_"));
    }
}
