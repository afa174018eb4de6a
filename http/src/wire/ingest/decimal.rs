//! Decimal numbers as JSON writes them, made integers without a binary fraction between.

/// Which integer stands for what lies between two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Round {
    /// The nearest; the upper of two that are as near.
    HalfUp,
    /// The upper.
    Up,
    /// None: it has to be whole.
    Whole,
}

/// Why a text is no such number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum DecimalFault {
    NotANumber,
    Negative,
    NotWhole,
    TooLarge,
}

/// `text` times 10^`scale`, where that is at most `max`.
#[inline]
pub(super) fn scaled(text: &[u8], scale: u32, round: Round, max: u64) -> Result<u64, DecimalFault> {
    match plain(text, scale, max) {
        Some(value) => Ok(value),
        None => any(text, scale, round, max),
    }
}

/// What most are: digits with a point in between and none that has to be rounded; `None`
/// where it is not as plain as that.
#[inline]
fn plain(text: &[u8], scale: u32, max: u64) -> Option<u64> {
    /// Digits that always fit, and a point.
    const BYTES_MAX: usize = 19;
    const TENS: [u64; 10] = [
        1,
        10,
        100,
        1_000,
        10_000,
        100_000,
        1_000_000,
        10_000_000,
        100_000_000,
        1_000_000_000,
    ];
    if text.len() > BYTES_MAX {
        return None;
    }
    let mut value = 0u64;
    let mut point = None;
    for (at, byte) in text.iter().enumerate() {
        match byte {
            b'0'..=b'9' => value = value * 10 + u64::from(byte - b'0'),
            b'.' if point.is_none() && at > 0 => point = Some(at),
            _ => return None,
        }
    }
    let behind = text.len() - (point? + 1);
    if behind == 0 {
        return None;
    }
    let more = (scale as usize).checked_sub(behind)?;
    value
        .checked_mul(*TENS.get(more)?)
        .filter(|value| *value <= max)
}

/// Any of them.
fn any(text: &[u8], scale: u32, round: Round, max: u64) -> Result<u64, DecimalFault> {
    let (is_negative, unsigned) = match text {
        [b'-', rest @ ..] => (true, rest),
        _ => (false, text),
    };
    let (mantissa, exponent) = match unsigned.iter().position(|byte| matches!(byte, b'e' | b'E')) {
        Some(at) => (&unsigned[..at], exponent(&unsigned[at + 1..])?),
        None => (unsigned, 0),
    };
    let point = mantissa.iter().position(|byte| *byte == b'.');
    let whole_digits = point.unwrap_or(mantissa.len());
    if whole_digits == 0 || point.is_some_and(|at| at + 1 == mantissa.len()) {
        return Err(DecimalFault::NotANumber);
    }
    // Digits before this place are of the integer, those from it on are behind its point.
    let ends = i64::try_from(whole_digits)
        .unwrap_or(i64::MAX)
        .saturating_add(exponent)
        .saturating_add(i64::from(scale));
    let mut value = 0u64;
    let mut is_too_large = false;
    let mut at = 0i64;
    let mut behind = Behind::default();
    for (place, byte) in mantissa.iter().enumerate() {
        if Some(place) == point {
            continue;
        }
        if !byte.is_ascii_digit() {
            return Err(DecimalFault::NotANumber);
        }
        let digit = byte - b'0';
        if at < ends {
            value = value.saturating_mul(10).saturating_add(u64::from(digit));
            is_too_large |= value > max;
        } else {
            behind.push(digit, at == ends);
        }
        at += 1;
    }
    while at < ends && value > 0 && !is_too_large {
        value = value.saturating_mul(10);
        is_too_large |= value > max;
        at += 1;
    }
    let is_zero = value == 0 && behind.is_zero;
    if is_negative && !is_zero {
        return Err(DecimalFault::Negative);
    }
    let is_above = match round {
        Round::HalfUp => behind.first >= 5,
        Round::Up => !behind.is_zero,
        Round::Whole if behind.is_zero => false,
        Round::Whole => return Err(DecimalFault::NotWhole),
    };
    value = value.saturating_add(u64::from(is_above));
    if is_too_large || value > max {
        return Err(DecimalFault::TooLarge);
    }
    Ok(value)
}

/// The digits behind the point.
#[derive(Debug)]
struct Behind {
    first: u8,
    is_zero: bool,
}

impl Default for Behind {
    fn default() -> Self {
        Self {
            first: 0,
            is_zero: true,
        }
    }
}

impl Behind {
    fn push(&mut self, digit: u8, is_first: bool) {
        if is_first {
            self.first = digit;
        }
        self.is_zero &= digit == 0;
    }
}

/// What follows an `e`; far beyond any range it stays where it is.
fn exponent(text: &[u8]) -> Result<i64, DecimalFault> {
    const FAR: i64 = 1 << 32;
    let (is_negative, digits) = match text {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        _ => (false, text),
    };
    if digits.is_empty() {
        return Err(DecimalFault::NotANumber);
    }
    let mut value = 0i64;
    for digit in digits {
        if !digit.is_ascii_digit() {
            return Err(DecimalFault::NotANumber);
        }
        value = (value * 10 + i64::from(digit - b'0')).min(FAR);
    }
    Ok(if is_negative { -value } else { value })
}

#[cfg(test)]
mod tests {
    use super::*;

    const NANO: u32 = 9;

    proptest::proptest! {
        #[test]
        fn what_is_plain_is_what_it_is_to_the_slow_way(
            text in "[0-9]{0,11}\\.?[0-9.e-]{0,10}",
            scale in 0u32..10,
            max in proptest::sample::select(&[1 << 40, 1000, u64::MAX][..]),
        ) {
            if let Some(value) = plain(text.as_bytes(), scale, max) {
                for round in [Round::HalfUp, Round::Up, Round::Whole] {
                    proptest::prop_assert_eq!(any(text.as_bytes(), scale, round, max), Ok(value));
                }
            }
        }
    }

    #[test]
    fn usual_numbers_are_plain() {
        assert_eq!(plain(b"812.5", 3, 1 << 40), Some(812_500));
        assert_eq!(plain(b"0.00475", 9, 1 << 40), Some(4_750_000));
        assert_eq!(
            plain(b"99999999.123456789", 9, u64::MAX),
            Some(99_999_999_123_456_789)
        );
        for text in ["", ".", ".5", "5.", "5", "1.2.3", "1.2345", "-1.5", "1e3"] {
            assert_eq!(plain(text.as_bytes(), 3, 1 << 40), None, "{text}");
        }
    }

    #[test]
    fn money_is_exact_and_rounded_once_half_up() {
        let nano = |text: &str| scaled(text.as_bytes(), NANO, Round::HalfUp, 1 << 40);
        assert_eq!(nano("0.000123"), Ok(123_000));
        assert_eq!(nano("0.1"), Ok(100_000_000));
        assert_eq!(nano("1.5e-7"), Ok(150));
        assert_eq!(nano("15E-8"), Ok(150));
        assert_eq!(nano("0.0000000005"), Ok(1));
        assert_eq!(nano("0.00000000049999999999999999999999999999"), Ok(0));
        // The nearest double is below the half; the text is not.
        assert_eq!(nano("0.0000123455"), Ok(12_346));
        assert_eq!(nano("1e-400"), Ok(0));
        assert_eq!(nano("-0"), Ok(0));
        assert_eq!(nano("-0.0e5"), Ok(0));
        assert_eq!(nano("1e3"), Ok(1_000_000_000_000));
        assert_eq!(nano("1099.511627776"), Ok(1 << 40));
        assert_eq!(nano("1099.5116277764"), Ok(1 << 40));
        for text in [
            "1099.5116277765",
            "1e99999999999999999999",
            "99999999999999999999999",
        ] {
            assert_eq!(nano(text), Err(DecimalFault::TooLarge), "{text}");
        }
        assert_eq!(nano("0e99999999999999999999"), Ok(0));
        assert_eq!(nano("-1e-30"), Err(DecimalFault::Negative));
        for text in [
            "", "-", ".5", "5.", "1.2.3", "1e", "1e+", "0x1", "NaN", "1 ", "+1", "--1", "1e2.5",
        ] {
            assert_eq!(nano(text), Err(DecimalFault::NotANumber), "{text:?}");
        }
    }

    #[test]
    fn a_time_is_rounded_up_and_a_count_is_whole() {
        let micros = |text: &str| scaled(text.as_bytes(), 3, Round::Up, 1 << 40);
        assert_eq!(micros("812.5"), Ok(812_500));
        assert_eq!(micros("0.0001"), Ok(1));
        assert_eq!(micros("0.001"), Ok(1));
        assert_eq!(micros("1e-9"), Ok(1));
        let count = |text: &str| scaled(text.as_bytes(), 0, Round::Whole, u64::MAX);
        assert_eq!(count("12.0"), Ok(12));
        assert_eq!(count("1.2e1"), Ok(12));
        assert_eq!(count("18446744073709551615"), Ok(u64::MAX));
        assert_eq!(count("12.5"), Err(DecimalFault::NotWhole));
        assert_eq!(count("1e-1"), Err(DecimalFault::NotWhole));
        assert_eq!(count("-3"), Err(DecimalFault::Negative));
    }
}
