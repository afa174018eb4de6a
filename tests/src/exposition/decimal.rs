//! A decimal number as text, read without a float.

use std::cmp::Ordering;

/// A number as it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decimal(String);

impl Decimal {
    /// Takes a Prometheus value: a decimal with an optional exponent, `+Inf`, `-Inf` or `NaN`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let special = matches!(text, "+Inf" | "-Inf" | "NaN");
        let starts = text.starts_with(|c: char| c.is_ascii_digit() || matches!(c, '-' | '+' | '.'));
        let known = special || (starts && text.parse::<f64>().is_ok());
        known.then(|| Self(text.to_owned()))
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it is below zero; minus zero is not.
    #[must_use]
    pub fn is_negative(&self) -> bool {
        self.as_f64() < 0.0
    }

    /// The nearest float, for comparisons that need no exactness.
    #[must_use]
    pub fn as_f64(&self) -> f64 {
        self.0.parse().expect("parse() took only what is a float")
    }

    /// By value.
    #[must_use]
    pub fn total_cmp(&self, other: &Self) -> Ordering {
        self.as_f64().total_cmp(&other.as_f64())
    }

    /// The value times 10^`digits`, exactly; `None` where that is no whole number in `u64`.
    #[must_use]
    pub fn scaled(&self, digits: i32) -> Option<u64> {
        let (mantissa, exponent) = match self.0.split_once(['e', 'E']) {
            Some((mantissa, exponent)) => (mantissa, exponent.parse::<i32>().ok()?),
            None => (self.0.as_str(), 0),
        };
        let mantissa = mantissa.strip_prefix('+').unwrap_or(mantissa);
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let mut number = format!("{whole}{fraction}");
        if !number.bytes().all(|b| b.is_ascii_digit()) {
            return None;
        }
        let mut shift = exponent + digits - i32::try_from(fraction.len()).ok()?;
        while shift < 0 && number.ends_with('0') {
            number.pop();
            shift += 1;
        }
        if number.is_empty() {
            return Some(0);
        }
        let zeros = usize::try_from(shift).ok()?;
        let significant = number.trim_start_matches('0');
        if significant.is_empty() {
            return Some(0);
        }
        format!("{significant}{}", "0".repeat(zeros)).parse().ok()
    }
}
