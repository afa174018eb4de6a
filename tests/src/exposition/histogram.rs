//! The rules that tie a histogram's samples together.

use super::{Labels, Sample};
use std::collections::BTreeMap;

#[derive(Default)]
struct Parts<'a> {
    /// (`le` as written, value) in order of the page.
    buckets: Vec<(&'a str, &'a Sample)>,
    sum: Option<&'a Sample>,
    count: Option<&'a Sample>,
}

/// Checks all series of the histogram `name`.
pub(super) fn check(name: &str, samples: &[Sample]) -> Result<(), String> {
    let mut series: BTreeMap<Labels, Parts<'_>> = BTreeMap::new();
    for sample in samples {
        let Some(suffix) = sample.name.strip_prefix(name) else {
            continue;
        };
        let mut labels = sample.labels.clone();
        labels.remove("le");
        match suffix {
            "_bucket" => {
                let le = sample
                    .labels
                    .get("le")
                    .ok_or(format!("{name} has a bucket without le"))?;
                series.entry(labels).or_default().buckets.push((le, sample));
            }
            "_sum" => series.entry(labels).or_default().sum = Some(sample),
            "_count" => series.entry(labels).or_default().count = Some(sample),
            _ => {}
        }
    }
    for (labels, parts) in series {
        add_up(&parts).map_err(|why| format!("{name}{labels:?}: {why}"))?;
    }
    Ok(())
}

fn add_up(parts: &Parts<'_>) -> Result<(), String> {
    let count = parts.count.ok_or("no _count")?;
    let sum = parts.sum.ok_or("no _sum")?;
    let edge = |le: &str| le.parse::<f64>().map_err(|_| format!("le={le:?}"));
    let (last, top) = parts.buckets.last().ok_or("no buckets")?;
    if *last != "+Inf" || top.value.scaled(0) != count.value.scaled(0) {
        return Err("the last bucket is not +Inf with the value of _count".to_owned());
    }
    for pair in parts.buckets.windows(2) {
        let [(low, below), (high, above)] = pair else {
            continue;
        };
        if edge(low)? >= edge(high)? {
            return Err(format!("le {low} stands before {high}"));
        }
        if below.value.scaled(0).ok_or("a bucket that is no count")?
            > above.value.scaled(0).ok_or("a bucket that is no count")?
        {
            return Err(format!("fewer up to {high} than up to {low}"));
        }
    }
    let empty = count.value.scaled(0) == Some(0);
    if sum.value.is_negative() || (empty && sum.value.as_f64() != 0.0) {
        return Err(format!(
            "_sum {} with _count {}",
            sum.value.as_str(),
            count.value.as_str()
        ));
    }
    Ok(())
}
