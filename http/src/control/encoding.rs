//! A page in the encoding that its reader asked for.

use bytes::Bytes;
use coo_llm_exporters::prometheus::negotiation::Encoding;
use flate2::Compression;
use flate2::write::GzEncoder;
use std::io::Write;

/// What a page can be sent in, the best first: zstd makes fewer bytes in less time.
pub(super) const OFFERED: [Encoding; 2] = [Encoding::Zstd, Encoding::Gzip];

/// Pages up to here (0.2 ms of gzip) are encoded on the control thread; larger ones would
/// hold up its other work, so a thread of their own encodes them.
const ENCODED_INLINE_MAX: usize = 64 * 1024;

/// The page and what it is encoded in: [`Encoding::Identity`] where the other could not be.
pub(super) async fn encode(page: Bytes, wanted: Encoding) -> (Bytes, Encoding) {
    let encoder = match wanted {
        Encoding::Identity => return (page, Encoding::Identity),
        Encoding::Gzip => gzip,
        Encoding::Zstd => zstd,
    };
    if page.len() <= ENCODED_INLINE_MAX {
        return (encoder(&page), wanted);
    }
    let copy = page.clone();
    // Fails where the runtime ends.
    let encoded = tokio::task::spawn_blocking(move || encoder(&copy)).await;
    match encoded {
        Ok(encoded) => (encoded, wanted),
        Err(_) => (page, Encoding::Identity),
    }
}

/// The lowest level: 9.6 MB of counters shrink to 1.0 MB in 25 ms; level 6 takes four times
/// as long for 0.8 MB.
fn gzip(page: &[u8]) -> Bytes {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder
        .write_all(page)
        .and_then(|()| encoder.finish())
        .expect("a Vec takes every write")
        .into()
}

/// 9.2 MB of text shrink to 0.29 MB in 9 ms, level 3 makes 0.31 MB of them; gzip took 23 ms for
/// 0.61 MB in the same run.
const ZSTD_LEVEL: i32 = 1;

fn zstd(page: &[u8]) -> Bytes {
    zstd::bulk::compress(page, ZSTD_LEVEL)
        .expect("the buffer has the size that the worst page needs")
        .into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;

    fn decoded(encoded: &[u8], encoding: Encoding) -> Vec<u8> {
        let mut page = Vec::new();
        let read = match encoding {
            Encoding::Identity => return encoded.to_vec(),
            Encoding::Gzip => flate2::read::GzDecoder::new(encoded).read_to_end(&mut page),
            Encoding::Zstd => ruzstd::decoding::StreamingDecoder::new(encoded)
                .expect("a frame's header")
                .read_to_end(&mut page),
        };
        assert_eq!(read.expect("a whole frame"), page.len());
        page
    }

    /// Both sides of the bound, what compresses well and what does not at all.
    #[tokio::test]
    async fn every_page_comes_back() {
        let mut random = 1u64;
        let mut noise = || {
            random = random
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            (random >> 56) as u8
        };
        for bytes in [0, 1, ENCODED_INLINE_MAX, ENCODED_INLINE_MAX + 1, 1 << 20] {
            let lines = b"coo_llm_requests_total{provider=\"a\"} 1\n";
            let plain: Vec<u8> = lines.iter().copied().cycle().take(bytes).collect();
            let noisy: Vec<u8> = (0..bytes).map(|_| noise()).collect();
            for page in [plain, noisy] {
                for wanted in [Encoding::Identity, Encoding::Gzip, Encoding::Zstd] {
                    let (encoded, encoding) = encode(page.clone().into(), wanted).await;
                    assert_eq!(encoding, wanted);
                    assert!(decoded(&encoded, encoding) == page, "{bytes} as {wanted:?}");
                }
            }
        }
    }
}
