//! The few rules of protocol buffers that a page needs: proto2 wire types 0, 1 and 2.
//!
//! By hand, because a page writes eight small messages that have not changed in years:
//! a code generator and its runtime would be most of this crate. The tests read
//! pages back with `prost`, which is someone else's reader.

/// Appends a varint.
pub(super) fn varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

pub(super) fn tag(out: &mut Vec<u8>, field: u32, wire_type: u32) {
    varint(out, u64::from(field << 3 | wire_type));
}

/// A `uint64`, `uint32`, `int64` that is not negative, or an enum.
pub(super) fn uint(out: &mut Vec<u8>, field: u32, value: u64) {
    tag(out, field, 0);
    varint(out, value);
}

/// A `sint32` or `sint64`: zigzag.
pub(super) fn sint(out: &mut Vec<u8>, field: u32, value: i64) {
    uint(out, field, zigzag(value));
}

fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)).cast_unsigned()
}

/// A `double`.
pub(super) fn double(out: &mut Vec<u8>, field: u32, value: f64) {
    tag(out, field, 1);
    out.extend_from_slice(&value.to_le_bytes());
}

/// A string, bytes or message that is there already.
pub(super) fn bytes(out: &mut Vec<u8>, field: u32, value: &[u8]) {
    tag(out, field, 2);
    varint(out, value.len() as u64);
    out.extend_from_slice(value);
}

/// A message whose length is known only when it is written.
pub(super) fn message(out: &mut Vec<u8>, field: u32, write: impl FnOnce(&mut Vec<u8>)) {
    tag(out, field, 2);
    // Nearly all are shorter than 128 bytes: one byte of length, made longer where it must be.
    let at = out.len();
    out.push(0);
    write(out);
    let length = out.len() - at - 1;
    if length < 0x80 {
        out[at] = length as u8;
    } else {
        put_length(out, at, 1);
    }
}

/// Replaces `reserved` bytes at `at` by the length of what stands behind them.
pub(super) fn put_length(out: &mut Vec<u8>, at: usize, reserved: usize) {
    let mut rest = (out.len() - at - reserved) as u64;
    let (mut length, mut used) = ([0u8; 10], 1);
    while rest >= 0x80 {
        length[used - 1] = rest as u8 | 0x80;
        rest >>= 7;
        used += 1;
    }
    length[used - 1] = rest as u8;
    out.splice(at..at + reserved, length[..used].iter().copied());
}

/// A packed field of `sint64`.
pub(super) fn packed_sints(out: &mut Vec<u8>, field: u32, values: impl Iterator<Item = i64>) {
    message(out, field, |out| {
        values.for_each(|value| varint(out, zigzag(value)));
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_length_takes_the_bytes_it_needs() {
        for body in [0usize, 1, 127, 128, 16_383, 16_384, 2_097_151, 2_097_152] {
            for reserved in [1, 4] {
                let mut out = b"before".to_vec();
                let at = out.len();
                out.resize(at + reserved, 0);
                out.resize(at + reserved + body, b'x');
                put_length(&mut out, at, reserved);
                let mut want = b"before".to_vec();
                prost::encode_length_delimiter(body, &mut want).expect("a Vec takes all");
                want.resize(want.len() + body, b'x');
                assert!(out == want, "{body} bytes behind {reserved}");
            }
        }
    }

    #[test]
    fn signed_numbers_are_zigzag() {
        for value in [0, -1, 1, i64::MIN, i64::MAX] {
            let mut out = Vec::new();
            sint(&mut out, 1, value);
            let mut want = vec![1 << 3];
            prost::encoding::encode_varint(((value << 1) ^ (value >> 63)) as u64, &mut want);
            assert_eq!(out, want);
        }
        assert_eq!([0, -1, 1, -2].map(zigzag), [0, 1, 2, 3]);
        assert_eq!([i64::MAX, i64::MIN].map(zigzag), [u64::MAX - 1, u64::MAX]);
    }
}
