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

fn tag(out: &mut Vec<u8>, field: u32, wire_type: u32) {
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
        let mut longer = Vec::with_capacity(5);
        varint(&mut longer, length as u64);
        out.splice(at..=at, longer);
    }
}

/// A packed field of `sint64`.
pub(super) fn packed_sints(out: &mut Vec<u8>, field: u32, values: impl Iterator<Item = i64>) {
    message(out, field, |out| {
        values.for_each(|value| varint(out, zigzag(value)));
    });
}
