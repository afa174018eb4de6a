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
pub(super) fn scaled(text: &[u8], scale: u32, round: Round, max: u64) -> Result<u64, DecimalFault> {
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
