//! Estimates that a few wild values do not move.

/// MAD of a normal distribution times this is its standard deviation.
const MAD_TO_SIGMA: f64 = 1.4826;
/// The 97th percentile of the absolute value of a standard normal variate.
const ABS_NORMAL_Q97: f64 = 2.170;

/// The value that a part `q` of the others lies below; `None` of nothing. Reorders them.
pub(super) fn quantile(values: &mut [f64], q: f64) -> Option<f64> {
    let last = values.len().checked_sub(1)?;
    let at = ((last as f64) * q).round() as usize;
    let (_, value, _) = values.select_nth_unstable_by(at.min(last), f64::total_cmp);
    Some(*value)
}

/// The middle value, or the mean of the two. Reorders them.
pub(super) fn median(values: &mut [f64]) -> Option<f64> {
    let n = values.len();
    if n == 0 {
        return None;
    }
    let (below, upper, _) = values.select_nth_unstable_by(n / 2, f64::total_cmp);
    let upper = *upper;
    if n % 2 == 1 {
        return Some(upper);
    }
    let lower = below.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    Some((lower + upper) / 2.0)
}

/// The mean without the `cut` lowest and highest parts (Tukey 1962). Reorders them.
pub(super) fn trimmed_mean(values: &mut [f64], cut: f64) -> Option<f64> {
    let n = values.len();
    let off = ((n as f64) * cut).ceil() as usize;
    if n == 0 {
        return None;
    }
    if n <= 2 * off {
        return median(values);
    }
    values.sort_unstable_by(f64::total_cmp);
    let kept = &values[off..n - off];
    Some(kept.iter().sum::<f64>() / kept.len() as f64)
}

/// The value at which half the weight is reached. Reorders them.
pub(super) fn weighted_median(values: &mut [(f64, f64)]) -> Option<f64> {
    values.sort_unstable_by(|a, b| a.0.total_cmp(&b.0));
    let half = values.iter().map(|(_, weight)| weight).sum::<f64>() / 2.0;
    let mut seen = 0.0;
    let mut reached = None;
    for (value, weight) in values {
        if *weight > 0.0 && reached.is_none() {
            seen += *weight;
            if seen >= half {
                reached = Some(*value);
            }
        }
    }
    reached
}

/// The standard deviation around zero: what the median of the absolute values says, or
/// their 97th percentile where the tails are heavier than that. Reorders them.
pub(super) fn scale(values: &mut [f64]) -> Option<f64> {
    for value in values.iter_mut() {
        *value = value.abs();
    }
    let tail = quantile(values, 0.97)? / ABS_NORMAL_Q97;
    let middle = median(values)? * MAD_TO_SIGMA;
    Some(middle.max(tail))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_and_means_withstand_one_wild_value() {
        assert_eq!(median(&mut []), None);
        assert_eq!(median(&mut [3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(&mut [4.0, 1.0, 2.0, 900.0]), Some(3.0));
        assert_eq!(trimmed_mean(&mut [1.0, 2.0, 3.0, 900.0], 0.05), Some(2.5));
        assert_eq!(trimmed_mean(&mut [5.0], 0.05), Some(5.0));
        assert_eq!(quantile(&mut [1.0, 5.0, 2.0], 1.0), Some(5.0));
    }

    #[test]
    fn weight_decides_the_weighted_median() {
        assert_eq!(
            weighted_median(&mut [(9.0, 5.0), (1.0, 1.0), (2.0, 1.0)]),
            Some(9.0)
        );
        assert_eq!(weighted_median(&mut [(9.0, 0.0), (1.0, 1.0)]), Some(1.0));
        assert_eq!(weighted_median(&mut [(9.0, 0.0)]), None);
    }

    #[test]
    fn the_scale_of_normal_quantiles_is_one() {
        // -2.17, .., 2.17: standard normal quantiles from a table.
        let table = [
            2.17, 1.28, 0.84, 0.67, 0.52, 0.25, 0.0, 0.25, 0.52, 0.67, 0.84, 1.28,
        ];
        let sigma = scale(&mut table.clone()).expect("values");
        assert!((0.9..1.1).contains(&sigma), "{sigma}");
    }
}
