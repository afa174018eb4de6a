//! Embeddings: noise of length one, as floats or as base64 of little-endian `f32`.

use bytes::Bytes;

use super::SimRequest;
use super::writing::{put, quoted};
use crate::wire::prng::Prng;

/// Dimensions where the request names none; small, so that a demo stays cheap.
const DIMENSIONS_DEFAULT: u64 = 64;

/// Dimensions at most, as in the largest of OpenAI's models.
const DIMENSIONS_MAX: u64 = 3072;

/// Inputs at most, as OpenAI has it.
const INPUTS_MAX: usize = 2048;

/// Floats at most in one body, which bounds it to about 13 MB.
const FLOATS_MAX: u64 = 1 << 20;

/// The response; `None` if the input is missing or too many.
pub(super) fn body(request: &SimRequest<'_>, prng: &mut Prng) -> Option<Bytes> {
    let inputs = u64::try_from(request.inputs).ok()?;
    if inputs == 0 || request.inputs > INPUTS_MAX {
        return None;
    }
    let dimensions = request.dimensions.unwrap_or(DIMENSIONS_DEFAULT);
    let dimensions = dimensions.min(DIMENSIONS_MAX).min(FLOATS_MAX / inputs);
    let mut out = String::from(r#"{"object":"list","data":["#);
    for index in 0..inputs {
        let comma = if index == 0 { "" } else { "," };
        put(
            &mut out,
            format_args!(r#"{comma}{{"object":"embedding","index":{index},"embedding":"#),
        );
        let vector = unit_vector(dimensions, prng);
        if request.is_base64 {
            let bytes: Vec<u8> = vector.iter().flat_map(|x| x.to_le_bytes()).collect();
            out.push('"');
            put_base64(&mut out, &bytes);
            out.push('"');
        } else {
            put_floats(&mut out, &vector);
        }
        out.push('}');
    }
    put(
        &mut out,
        format_args!(
            r#"],"model":{},"usage":{{"prompt_tokens":{tokens},"total_tokens":{tokens}}}}}"#,
            quoted(&request.envelope.model),
            tokens = request.prompt_tokens
        ),
    );
    Some(out.into())
}

fn unit_vector(dimensions: u64, prng: &mut Prng) -> Vec<f32> {
    let raw: Vec<f64> = (0..dimensions).map(|_| prng.normal()).collect();
    let length = raw.iter().map(|x| x * x).sum::<f64>().sqrt();
    let length = if length > 0.0 { length } else { 1.0 };
    raw.into_iter().map(|x| (x / length) as f32).collect()
}

fn put_floats(out: &mut String, vector: &[f32]) {
    out.push('[');
    for (index, x) in vector.iter().enumerate() {
        put(
            out,
            format_args!("{}{x}", if index == 0 { "" } else { "," }),
        );
    }
    out.push(']');
}

/// RFC 4648, section 4, with padding.
fn put_base64(out: &mut String, bytes: &[u8]) {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for group in bytes.chunks(3) {
        let bits = group.iter().enumerate().fold(0, |bits, (place, byte)| {
            bits | u32::from(*byte) << (16 - 8 * place)
        });
        for digit in 0..4 {
            out.push(if digit <= group.len() {
                char::from(ALPHABET[(bits >> (18 - 6 * digit) & 63) as usize])
            } else {
                '='
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_rfc_4648s() {
        for (plain, coded) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
            ("fooba", "Zm9vYmE="),
            ("foobar", "Zm9vYmFy"),
        ] {
            let mut out = String::new();
            put_base64(&mut out, plain.as_bytes());
            assert_eq!(out, coded);
        }
        let mut out = String::new();
        put_base64(&mut out, &[0xfb, 0xff, 0xfe]);
        assert_eq!(out, "+//+");
    }
}
