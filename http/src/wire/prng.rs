//! A small deterministic random generator, for the simulator and for jitter; not for secrets.

/// `SplitMix64` (Steele, Lea and Flood, 2014): one word of state, any seed is good.
#[derive(Clone, Debug)]
pub(crate) struct Prng(u64);

impl Prng {
    pub(crate) const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// 64 uniform bits.
    pub(crate) fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A uniform float in [0, 1), with 53 bits.
    pub(crate) fn unit(&mut self) -> f64 {
        (self.bits() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// A uniform integer from 0 up to, and without, `end`; 0 if `end` is 0.
    ///
    /// The multiply-shift keeps a bias of at most `end` / 2^64.
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        ((u128::from(self.bits()) * u128::from(end)) >> 64) as u64
    }

    /// A standard normal value, by Box and Muller.
    pub(crate) fn normal(&mut self) -> f64 {
        // 1 - unit() is in (0, 1], so that the logarithm is finite.
        let radius = (-2.0 * (1.0 - self.unit()).ln()).sqrt();
        radius * (std::f64::consts::TAU * self.unit()).cos()
    }

    /// A log-normal value with that median; `sigma` is the deviation of its logarithm.
    pub(crate) fn log_normal(&mut self, median: f64, sigma: f64) -> f64 {
        median * (sigma * self.normal()).exp()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bits_are_splitmix64() {
        // The reference implementation's first values for the seed 1234567.
        let mut prng = Prng::new(1_234_567);
        let bits: Vec<u64> = (0..3).map(|_| prng.bits()).collect();
        assert_eq!(
            bits,
            [
                6_457_827_717_110_365_317,
                3_203_168_211_198_807_973,
                9_817_491_932_198_370_423
            ]
        );
    }

    #[test]
    fn the_log_normal_has_its_median_and_sigma() {
        let mut prng = Prng::new(7);
        let mut values: Vec<f64> = (0..20_001).map(|_| prng.log_normal(100.0, 0.5)).collect();
        values.sort_by(f64::total_cmp);
        assert!(
            (values[10_000] - 100.0).abs() < 3.0,
            "median {}",
            values[10_000]
        );
        // The quantile at one sigma above the median.
        let high = values[(0.841_345 * 20_001.0) as usize];
        assert!((high - 100.0 * 0.5_f64.exp()).abs() < 6.0, "84 % {high}");
    }

    #[test]
    fn below_stays_below_and_reaches_both_ends() {
        let mut prng = Prng::new(1);
        let mut seen = [0_u32; 5];
        for _ in 0..5000 {
            seen[prng.below(5) as usize] += 1;
        }
        assert!(seen.iter().all(|count| *count > 800), "{seen:?}");
        assert_eq!(prng.below(0), 0);
    }
}
