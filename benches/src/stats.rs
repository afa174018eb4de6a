//! Medians and quantiles of a few numbers.

/// The value below which the fraction `q` of the values lies; NaN where there is none.
#[must_use]
pub fn quantile(values: &[f64], q: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let last = sorted.len().saturating_sub(1);
    let at = (q * last as f64).round() as usize;
    sorted.get(at).copied().unwrap_or(f64::NAN)
}

/// The median; NaN where there is none.
#[must_use]
pub fn median(values: &[f64]) -> f64 {
    quantile(values, 0.5)
}

/// "median [min .. max]".
#[must_use]
pub fn spread(values: &[f64], digits: usize) -> String {
    let at = |q| quantile(values, q);
    format!(
        "{:.digits$} [{:.digits$} .. {:.digits$}]",
        at(0.5),
        at(0.0),
        at(1.0)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_taken_from_sorted_values() {
        let values = [3.0, 1.0, 2.0];
        assert_eq!(median(&values), 2.0);
        assert_eq!(quantile(&values, 0.0), 1.0);
        assert_eq!(quantile(&values, 1.0), 3.0);
        assert!(median(&[]).is_nan());
        assert_eq!(spread(&values, 1), "2.0 [1.0 .. 3.0]");
    }
}
