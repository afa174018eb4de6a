//! Bytes as hexadecimal digits.

/// The bytes in lower-case digits.
pub(super) fn of(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |nibble: u8| char::from(DIGITS[usize::from(nibble & 15)]);
    let pairs = bytes.iter().flat_map(|byte| [byte >> 4, *byte]);
    pairs.map(digit).collect()
}

/// The 32 bytes that 64 lower-case digits stand for; `None` for anything else.
pub(super) fn digest(text: &[u8]) -> Option<[u8; 32]> {
    let nibble = |digit: u8| match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    };
    let mut bytes = [0; 32];
    if text.len() != 64 {
        return None;
    }
    for (byte, pair) in bytes.iter_mut().zip(text.chunks_exact(2)) {
        *byte = nibble(pair[0])? << 4 | nibble(pair[1])?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_come_back_as_bytes() {
        let bytes: [u8; 32] = std::array::from_fn(|n| (n * 9 + 3) as u8);
        let text = of(&bytes);
        assert!(text.starts_with("030c151e"), "{text}");
        assert_eq!(digest(text.as_bytes()), Some(bytes));
        assert_eq!(digest(text.to_uppercase().as_bytes()), None);
        assert_eq!(digest(&text.as_bytes()[1..]), None);
    }
}
