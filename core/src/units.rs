//! Newtypes for the numbers of the meter, so that two integers cannot be swapped.
//!
//! Money is integer nano-USD, tokens are integers, time is integer microseconds
//! or unix milliseconds. A decimal appears only where something is rendered.

use std::ops::{Add, AddAssign};
use std::time::Duration;

/// An amount of money in billionths of a US dollar.
///
/// `u64` holds 18.4 billion USD. Sums saturate; see [`crate::shard`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NanoUsd(pub u64);

impl NanoUsd {
    /// Nano-USD in one USD.
    pub const PER_USD: u64 = 1_000_000_000;
    /// No money. An unknown cost is `Option::None`, never this.
    pub const ZERO: Self = Self(0);

    /// The amount in USD, for rendering as JSON or text.
    ///
    /// Exact up to 2^53 nano-USD (about 9 million USD); above that the nearest `f64`.
    #[must_use]
    pub fn as_usd_f64(self) -> f64 {
        self.0 as f64 / Self::PER_USD as f64
    }

    /// The sum, or [`u64::MAX`] where it would not fit.
    #[must_use]
    pub const fn saturating_add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }
}

impl Add for NanoUsd {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        self.saturating_add(other)
    }
}

impl AddAssign for NanoUsd {
    fn add_assign(&mut self, other: Self) {
        *self = self.saturating_add(other);
    }
}

/// A duration in whole microseconds, rounded up.
///
/// Rounding up keeps `value <= bound` exact for every bound that is a whole
/// number of microseconds, which all histogram bounds are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Micros(pub u64);

impl Micros {
    /// The duration in seconds, for rendering.
    #[must_use]
    pub fn as_secs_f64(self) -> f64 {
        self.0 as f64 / 1e6
    }

    /// The duration in milliseconds, for rendering.
    #[must_use]
    pub fn as_millis_f64(self) -> f64 {
        self.0 as f64 / 1e3
    }

    /// Reads a number of seconds, rounding up; negative and NaN give 0, too large gives [`u64::MAX`].
    #[must_use]
    pub fn from_secs_f64(secs: f64) -> Self {
        // `as` saturates: NaN to 0, negatives to 0, infinity to MAX.
        Self((secs * 1e6).ceil() as u64)
    }
}

impl From<Duration> for Micros {
    fn from(duration: Duration) -> Self {
        let nanos = duration.as_nanos();
        Self(u64::try_from(nanos.div_ceil(1000)).unwrap_or(u64::MAX))
    }
}

/// A point in time: milliseconds since 1970-01-01T00:00:00Z.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UnixMillis(pub u64);
