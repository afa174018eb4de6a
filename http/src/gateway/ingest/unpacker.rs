//! A body as it was before it was packed.

use flate2::write::MultiGzDecoder;
use http::HeaderValue;
use std::io::Write as _;

/// Packed bytes that are unpacked at a time; a byte becomes 1032 at most, so this bounds
/// what a request holds to 1 MiB.
const PACKED_BYTES_MAX: usize = 1024;

/// Unpacks a body, or passes it as it is.
#[derive(Debug)]
pub(crate) enum Unpacker {
    Plain,
    Gzip(Box<MultiGzDecoder<Vec<u8>>>),
}

/// The body is not what its header says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct UnpackFault;

impl Unpacker {
    /// By the request's `Content-Encoding`; `None` where it is one that is not known here.
    pub(crate) fn of(encoding: Option<&HeaderValue>) -> Option<Self> {
        let Some(encoding) = encoding else {
            return Some(Self::Plain);
        };
        let encoding = encoding.as_bytes();
        if encoding.eq_ignore_ascii_case(b"identity") {
            Some(Self::Plain)
        } else if encoding.eq_ignore_ascii_case(b"gzip") {
            Some(Self::Gzip(Box::new(MultiGzDecoder::new(Vec::new()))))
        } else {
            None
        }
    }

    /// Takes a part of `packed` out, and gives what it was; empty where more is needed.
    ///
    /// # Errors
    /// [`UnpackFault`] where it is not packed like that.
    pub(crate) fn next<'s, 'p: 's>(
        &'s mut self,
        packed: &mut &'p [u8],
    ) -> Result<&'s [u8], UnpackFault> {
        match self {
            Self::Plain => Ok(std::mem::take(packed)),
            Self::Gzip(decoder) => {
                decoder.get_mut().clear();
                let some = &packed[..packed.len().min(PACKED_BYTES_MAX)];
                let taken = decoder.write(some).map_err(|_| UnpackFault)?;
                if taken == 0 && !some.is_empty() {
                    return Err(UnpackFault);
                }
                *packed = &packed[taken..];
                Ok(decoder.get_ref())
            }
        }
    }

    /// What is left at the end of the body.
    ///
    /// # Errors
    /// [`UnpackFault`] where the end is missing.
    pub(crate) fn finish(&mut self) -> Result<&[u8], UnpackFault> {
        match self {
            Self::Plain => Ok(&[]),
            Self::Gzip(decoder) => {
                decoder.get_mut().clear();
                decoder.try_finish().map_err(|_| UnpackFault)?;
                Ok(decoder.get_ref())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::Compression;
    use flate2::write::GzEncoder;

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(bytes).expect("a Vec takes all");
        encoder.finish().expect("a Vec takes all")
    }

    fn unpack(pieces: &[&[u8]]) -> Result<Vec<u8>, UnpackFault> {
        let header = HeaderValue::from_static("gzip");
        let mut unpacker = Unpacker::of(Some(&header)).expect("gzip is known");
        let mut out = Vec::new();
        for piece in pieces {
            let mut piece = *piece;
            while !piece.is_empty() {
                let part = unpacker.next(&mut piece)?;
                assert!(part.len() <= 2 * 1032 * PACKED_BYTES_MAX, "{}", part.len());
                out.extend_from_slice(part);
            }
        }
        out.extend_from_slice(unpacker.finish()?);
        Ok(out)
    }

    #[test]
    fn gzip_is_unpacked_in_bounded_parts_however_it_is_cut() {
        let plain = vec![b'x'; 20 << 20];
        let packed = gzip(&plain);
        for size in [1, 100, packed.len()] {
            let pieces: Vec<&[u8]> = packed.chunks(size).collect();
            assert_eq!(unpack(&pieces), Ok(plain.clone()), "pieces of {size}");
        }
        let two = [gzip(b"a\n"), gzip(b"b\n")].concat();
        assert_eq!(unpack(&[&two]), Ok(b"a\nb\n".to_vec()));
    }

    #[test]
    fn what_is_not_whole_is_a_fault() {
        let packed = gzip(b"some text");
        assert_eq!(unpack(&[&packed[..packed.len() - 1]]), Err(UnpackFault));
        assert_eq!(unpack(&[b"plain text"]), Err(UnpackFault));
        let mut changed = packed.clone();
        let at = changed.len() - 6;
        changed[at] ^= 1;
        assert_eq!(unpack(&[&changed]), Err(UnpackFault));
        assert!(Unpacker::of(Some(&HeaderValue::from_static("br"))).is_none());
    }
}
