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

/// The slope of the straight line through the points that leaves the least squares, and its
/// standard error; NaN for fewer than three points.
#[must_use]
pub fn slope(points: &[(f64, f64)]) -> (f64, f64) {
    let n = points.len() as f64;
    let mean_x = points.iter().map(|(x, _)| x).sum::<f64>() / n;
    let mean_y = points.iter().map(|(_, y)| y).sum::<f64>() / n;
    let xx: f64 = points.iter().map(|(x, _)| (x - mean_x).powi(2)).sum();
    let xy: f64 = points
        .iter()
        .map(|(x, y)| (x - mean_x) * (y - mean_y))
        .sum();
    let slope = xy / xx;
    let residual = |(x, y): &(f64, f64)| (y - mean_y - slope * (x - mean_x)).powi(2);
    let residuals: f64 = points.iter().map(residual).sum();
    let error = (residuals / (n - 2.0) / xx).sqrt();
    if points.len() < 3 {
        return (f64::NAN, f64::NAN);
    }
    (slope, error)
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

    #[test]
    fn a_line_has_its_slope_and_what_lies_off_it_an_error() {
        let line: Vec<_> = (0..9)
            .map(|x| (f64::from(x), 3.0 - 0.5 * f64::from(x)))
            .collect();
        let (steep, error) = slope(&line);
        assert!(
            (steep + 0.5).abs() < 1e-9 && error < 1e-9,
            "{steep} {error}"
        );
        // By hand: 0, 1, 0 at 0, 1, 2 is flat, and its error is sqrt(2/3 / 1 / 2).
        let (flat, error) = slope(&[(0.0, 0.0), (1.0, 1.0), (2.0, 0.0)]);
        assert!(flat.abs() < 1e-9, "{flat}");
        assert!((error - (1.0f64 / 3.0).sqrt()).abs() < 1e-9, "{error}");
        assert!(slope(&line[..2]).0.is_nan());
    }
}
