//! Exact decimals: money and time as text, never through a float.

use coo_llm_core::{Micros, NanoUsd};

/// Appends USD: `12.345678901`, without trailing zeros.
pub fn push_usd(out: &mut Vec<u8>, amount: NanoUsd) {
    push::<9>(out, amount.0);
}

/// Appends seconds: `0.150001`, without trailing zeros.
pub fn push_seconds(out: &mut Vec<u8>, duration: Micros) {
    push::<6>(out, duration.0);
}

/// Appends an integer.
pub fn push_integer<I: itoa::Integer>(out: &mut Vec<u8>, value: I) {
    out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
}

/// Appends `value / 10^PLACES`.
fn push<const PLACES: usize>(out: &mut Vec<u8>, value: u64) {
    let scale = 10u64.pow(PLACES as u32);
    push_integer(out, value / scale);
    let mut rest = value % scale;
    if rest == 0 {
        return;
    }
    let mut digits = [b'0'; PLACES];
    for digit in digits.iter_mut().rev() {
        *digit = b'0' + (rest % 10) as u8;
        rest /= 10;
    }
    let kept = digits
        .iter()
        .rposition(|digit| *digit != b'0')
        .map_or(0, |last| last + 1);
    out.push(b'.');
    out.extend_from_slice(&digits[..kept]);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn usd(nanos: u64) -> String {
        let mut out = Vec::new();
        push_usd(&mut out, NanoUsd(nanos));
        String::from_utf8(out).expect("digits")
    }

    #[test]
    fn money_keeps_every_nano() {
        assert_eq!(usd(0), "0");
        assert_eq!(usd(1), "0.000000001");
        assert_eq!(usd(12_345_678_901), "12.345678901");
        assert_eq!(usd(1_500_000_000), "1.5");
        assert_eq!(usd(3_000_000_000), "3");
        assert_eq!(usd(u64::MAX), "18446744073.709551615");
    }

    proptest! {
        #[test]
        fn a_decimal_reads_back_to_the_same_integer(value: u64) {
            let mut out = Vec::new();
            push_seconds(&mut out, Micros(value));
            let text = String::from_utf8(out).expect("digits");
            let (whole, fraction) = text.split_once('.').unwrap_or((&text, ""));
            prop_assert!(!fraction.ends_with('0') && fraction.len() <= 6);
            let back: u128 = format!("{whole}{fraction:0<6}").parse().expect("digits");
            prop_assert_eq!(back, u128::from(value));
        }
    }
}
