//! Tails of distributions: how likely is as much as this, or more?

/// Lanczos' approximation, g = 7, n = 9; good to 1e-13 (Lanczos 1964).
const LANCZOS: [f64; 9] = [
    0.999_999_999_999_809_9,
    676.520_368_121_885_1,
    -1_259.139_216_722_402_8,
    771.323_428_777_653_1,
    -176.615_029_162_140_6,
    12.507_343_278_686_905,
    -0.138_571_095_265_720_12,
    9.984_369_578_019_572e-6,
    1.505_632_735_149_311_6e-7,
];

/// The logarithm of the gamma function of `x` > 0.
fn ln_gamma(x: f64) -> f64 {
    if x < 0.5 {
        // Reflection.
        let pi = std::f64::consts::PI;
        return (pi / (pi * x).sin()).ln() - ln_gamma(1.0 - x);
    }
    let x = x - 1.0;
    let t = x + 7.5;
    let series = LANCZOS
        .iter()
        .enumerate()
        .skip(1)
        .fold(LANCZOS[0], |sum, (i, c)| sum + c / (x + i as f64));
    0.5 * (2.0 * std::f64::consts::PI).ln() + (x + 0.5) * t.ln() - t + series.ln()
}

fn ln_beta(a: f64, b: f64) -> f64 {
    ln_gamma(a) + ln_gamma(b) - ln_gamma(a + b)
}

/// The regularized incomplete beta function I_x(a, b), by its continued fraction
/// (DLMF 8.17.22), evaluated as Lentz (1976) does.
fn incomplete_beta(x: f64, a: f64, b: f64) -> f64 {
    if x <= 0.0 {
        return 0.0;
    }
    if x >= 1.0 {
        return 1.0;
    }
    if x > (a + 1.0) / (a + b + 2.0) {
        return 1.0 - incomplete_beta(1.0 - x, b, a);
    }
    const TINY: f64 = 1e-300;
    // It needs about sqrt(max(a, b)) of them.
    const TERMS_MAX: u32 = 2000;
    let front = (a * x.ln() + b * (-x).ln_1p() - ln_beta(a, b)).exp() / a;
    let away = |v: f64| if v.abs() < TINY { TINY } else { v };
    let mut c = 1.0;
    let mut d = 1.0 / away(1.0 - (a + b) * x / (a + 1.0));
    let mut fraction = d;
    for m in 1..TERMS_MAX {
        let m = f64::from(m);
        let even = m * (b - m) * x / ((a + 2.0 * m - 1.0) * (a + 2.0 * m));
        d = 1.0 / away(1.0 + even * d);
        c = away(1.0 + even / c);
        fraction *= d * c;
        let odd = -(a + m) * (a + b + m) * x / ((a + 2.0 * m) * (a + 2.0 * m + 1.0));
        d = 1.0 / away(1.0 + odd * d);
        c = away(1.0 + odd / c);
        fraction *= d * c;
        if (d * c - 1.0).abs() < 1e-12 {
            break;
        }
    }
    front * fraction
}

/// How likely `count` or more is, of a negative binomial count with this mean and a variance of
/// `mean + dispersion * mean^2`.
pub(super) fn count_tail(count: u64, mean: f64, dispersion: f64) -> f64 {
    if count == 0 {
        return 1.0;
    }
    // Below 1e-4 it is Poisson's, for all that matters here.
    let k = 1.0 / dispersion.max(1e-4);
    incomplete_beta(mean / (mean + k), count as f64, k)
}

/// The least count whose tail is below `p`: what is still usual is less.
pub(super) fn count_bound(mean: f64, dispersion: f64, p: f64) -> u64 {
    let (mut low, mut high) = (0u64, 16u64);
    while high < 1 << 50 && count_tail(high, mean, dispersion) > p {
        low = high;
        high *= 2;
    }
    while high - low > 1 {
        let middle = low + (high - low) / 2;
        if count_tail(middle, mean, dispersion) > p {
            low = middle;
        } else {
            high = middle;
        }
    }
    high
}

/// Trials of [`failure_tail`]; more are scaled down to it, which makes it more careful.
const TRIALS_MAX: u64 = 20_000;

/// How likely `failures` or more of `trials` are, where each trial fails with `rate` and trials of
/// one window with a correlation of `correlation`: beta-binomial (Skellam 1948).
pub(super) fn failure_tail(failures: u64, trials: u64, rate: f64, correlation: f64) -> f64 {
    if failures == 0 {
        return 1.0;
    }
    let (failures, trials) = if trials > TRIALS_MAX {
        let part = TRIALS_MAX as f64 / trials as f64;
        ((failures as f64 * part).floor(), TRIALS_MAX as f64)
    } else {
        (failures.min(trials) as f64, trials as f64)
    };
    let rate = rate.clamp(1e-9, 1.0 - 1e-9);
    let both = 1.0 / correlation.clamp(1e-6, 0.5) - 1.0;
    let (alpha, beta) = (rate * both, (1.0 - rate) * both);
    let ln_choose = -(trials + 1.0).ln() - ln_beta(failures + 1.0, trials - failures + 1.0);
    let first =
        ln_choose + ln_beta(failures + alpha, trials - failures + beta) - ln_beta(alpha, beta);
    let mut term = 1.0;
    let mut sum = 1.0;
    let mut k = failures;
    while k < trials {
        let odds = (k + alpha) / (trials - k - 1.0 + beta);
        term *= (trials - k) / (k + 1.0) * odds;
        sum += term;
        k += 1.0;
        if term < sum * 1e-9 {
            break;
        }
    }
    (first.exp() * sum).min(1.0)
}

/// Wilson's interval of a rate (1927), `z` standard deviations wide: of 0 trials, all of it.
pub(super) fn wilson(failures: u64, trials: u64, z: f64) -> (f64, f64) {
    if trials == 0 {
        return (0.0, 1.0);
    }
    let n = trials as f64;
    let rate = failures as f64 / n;
    let z2 = z * z;
    let middle = rate + z2 / (2.0 * n);
    let half = z * (rate * (1.0 - rate) / n + z2 / (4.0 * n * n)).sqrt();
    let whole = 1.0 + z2 / n;
    (
        ((middle - half) / whole).max(0.0),
        ((middle + half) / whole).min(1.0),
    )
}

/// A chi-squared value as one of a standard normal variate (Wilson and Hilferty 1931).
pub(super) fn chi_squared_z(value: f64, degrees: f64) -> f64 {
    let spread = 2.0 / (9.0 * degrees);
    ((value / degrees).max(0.0).cbrt() - (1.0 - spread)) / spread.sqrt()
}

/// No less than the likelihood of a standard normal variate above `z` (Gordon 1941).
pub(super) fn normal_tail(z: f64) -> f64 {
    if z < 1.0 {
        return 0.5;
    }
    (-z * z / 2.0).exp() / (z * (2.0 * std::f64::consts::PI).sqrt())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn near(have: f64, want: f64) {
        assert!((have / want - 1.0).abs() < 1e-6, "{have} is not {want}");
    }

    #[test]
    fn gamma_of_whole_numbers_are_factorials() {
        near(ln_gamma(11.0), 3_628_800f64.ln());
        near(ln_gamma(0.5), std::f64::consts::PI.sqrt().ln());
        near(ln_gamma(0.25), 3.625_609_908_221_908f64.ln());
    }

    /// By adding up its terms, each from the last.
    fn slow_count_tail(count: u64, mean: f64, dispersion: f64) -> f64 {
        let k = 1.0 / dispersion;
        let p = mean / (mean + k);
        let mut term = (k * (1.0 - p).ln()).exp();
        let mut below = 0.0;
        for y in 0..count {
            below += term;
            term *= p * (y as f64 + k) / (y as f64 + 1.0);
        }
        let mut above = 0.0;
        let mut y = count;
        while term > 0.0 && (term > above * 1e-16 || (y as f64) < mean) {
            above += term;
            term *= p * (y as f64 + k) / (y as f64 + 1.0);
            y += 1;
        }
        near(above + below, 1.0);
        above
    }

    #[test]
    fn count_tails_are_the_sums_of_their_terms() {
        for (count, mean, dispersion) in [
            (1, 0.3, 0.5),
            (20, 10.0, 0.1),
            (60, 10.0, 0.1),
            (5, 10.0, 0.1),
            (900, 300.0, 0.05),
            (3000, 1000.0, 0.5),
        ] {
            near(
                count_tail(count, mean, dispersion),
                slow_count_tail(count, mean, dispersion),
            );
        }
        near(count_tail(0, 5.0, 0.1), 1.0);
    }

    #[test]
    fn the_bound_is_the_first_that_is_unusual() {
        let bound = count_bound(100.0, 0.1, 1e-6);
        assert!(count_tail(bound, 100.0, 0.1) <= 1e-6);
        assert!(count_tail(bound - 1, 100.0, 0.1) > 1e-6);
    }

    /// By the product of each term, counted from nothing.
    fn slow_failure_tail(failures: u64, trials: u64, rate: f64, correlation: f64) -> f64 {
        let both = 1.0 / correlation - 1.0;
        let (a, b) = (rate * both, (1.0 - rate) * both);
        let mut sum = 0.0;
        for k in failures..=trials {
            let mut term = 1.0;
            for i in 0..trials {
                let over = both + i as f64;
                term *= if i < k {
                    (trials - i) as f64 / (k - i) as f64 * (a + i as f64) / over
                } else {
                    (b + (i - k) as f64) / over
                };
            }
            sum += term;
        }
        sum
    }

    #[test]
    fn failure_tails_are_the_sums_of_their_terms() {
        for (failures, trials, rate, correlation) in [
            (1, 1, 0.01, 0.1),
            (6, 60, 0.01, 0.02),
            (30, 40, 0.5, 0.3),
            (40, 40, 0.9, 0.01),
        ] {
            near(
                failure_tail(failures, trials, rate, correlation),
                slow_failure_tail(failures, trials, rate, correlation),
            );
        }
        near(failure_tail(0, 9, 0.1, 0.1), 1.0);
        let (many, scaled) = (1_000_000, 20_000);
        near(
            failure_tail(many / 20, many, 0.01, 0.01),
            failure_tail(scaled / 20, scaled, 0.01, 0.01),
        );
    }

    #[test]
    fn wilson_is_as_in_the_literature() {
        // Newcombe 1998, 81 of 263 at 95 %: 0.2553 to 0.3662.
        let (low, high) = wilson(81, 263, 1.959_964);
        assert!((low - 0.2553).abs() < 1e-4 && (high - 0.3662).abs() < 1e-4);
        assert_eq!(wilson(0, 0, 3.0), (0.0, 1.0));
    }

    #[test]
    fn chi_squared_at_five_percent() {
        for (value, degrees) in [(3.841, 1.0), (5.991, 2.0), (11.07, 5.0)] {
            let z = chi_squared_z(value, degrees);
            assert!((z - 1.645).abs() < 0.05, "{z}");
        }
        // 2.87e-7 lies above 5.
        let p = normal_tail(5.0);
        assert!((2.87e-7..3.1e-7).contains(&p), "{p}");
    }
}
