//! The distribution of requests over providers.

use super::input::{HOUR_S, Row};
use super::robust::{median, quantile, weighted_median};
use super::sensitivity::Sensitivity;
use super::tail::{chi_squared_z, normal_tail};

/// Hours that are read.
const LONG_H: u64 = 14 * 24;
const RECENT_H: u64 = 48;
const BLOCK_H: u64 = 6;
/// Hours and windows with fewer requests say nothing.
const REQUESTS_MIN: u64 = 30;
/// Hours with enough requests, below which nothing is usual.
const HOURS_MIN: usize = 12;
/// The part that no provider is below: one that was never used may be.
const SHARE_MIN: f64 = 0.002;
/// A finding is at least so many bits from the usual, 1.25 times as far as two of a hundred hours,
/// moves this part of the requests, and is this many standard deviations out.
const BITS_MIN: f64 = 0.05;
const BEYOND_USUAL: f64 = 1.25;
const MOVED_MIN: f64 = 0.15;
const Z_MIN: f64 = 5.0;

/// What is usual.
#[derive(Clone, Debug)]
pub(super) struct Mix {
    ids: Vec<u32>,
    /// Parts of the last two weeks, and of the last two days, by `ids`.
    long: Vec<f64>,
    recent: Vec<f64>,
    /// Of the choices within an hour: a Dirichlet-multinomial's.
    correlation: f64,
    /// Divergence that two of a hundred hours have.
    usual_bits: f64,
}

/// Another distribution than usual.
#[derive(Clone, Debug)]
pub(super) struct Shift {
    pub(super) bits: f64,
    /// The most that is usual.
    pub(super) usual_bits: f64,
    pub(super) p: f64,
    pub(super) requests: u64,
    /// Provider, its part now, its usual part; the most changed first.
    pub(super) shares: Vec<(u32, f64, f64)>,
}

/// Requests by provider.
#[derive(Clone, Debug, Default)]
pub(super) struct Counts {
    ids: Vec<u32>,
    requests: Vec<u64>,
}

impl Counts {
    /// Of rows; requests that reached no provider are left out.
    pub(super) fn of(rows: &[Row]) -> Self {
        let mut counts = Self::default();
        for row in rows {
            if let Some(id) = row.provider {
                let at = counts.place(id);
                counts.requests[at] += row.requests;
            }
        }
        counts
    }

    fn place(&mut self, id: u32) -> usize {
        if let Some(at) = self.ids.iter().position(|have| *have == id) {
            return at;
        }
        self.ids.push(id);
        self.requests.push(0);
        self.ids.len() - 1
    }

    fn total(&self) -> u64 {
        self.requests.iter().sum()
    }
}

/// Jensen-Shannon divergence in bits (Lin 1991).
fn divergence(a: &[f64], b: &[f64]) -> f64 {
    let half = |p: f64, m: f64| if p > 0.0 { p * (p / m).log2() } else { 0.0 };
    let both = a.iter().zip(b).map(|(a, b)| {
        let m = (a + b) / 2.0;
        half(*a, m) + half(*b, m)
    });
    (both.sum::<f64>() / 2.0).max(0.0)
}

/// Twice the log-likelihood ratio of counts with parts `now`, to `base` (the G statistic).
fn g(now: &[f64], base: &[f64], n: f64) -> f64 {
    let parts = now.iter().zip(base);
    let nats = parts.map(|(now, base)| {
        if *now > 0.0 {
            now * (now / base.max(SHARE_MIN)).ln()
        } else {
            0.0
        }
    });
    2.0 * n * nats.sum::<f64>().max(0.0)
}

/// The value of a chi-squared variate at `z` standard deviations (Wilson and Hilferty).
fn chi_squared_at(degrees: f64, z: f64) -> f64 {
    let spread = 2.0 / (9.0 * degrees);
    degrees * (1.0 - spread + z * spread.sqrt()).powi(3)
}

fn normalised(mut parts: Vec<f64>) -> Vec<f64> {
    let sum: f64 = parts.iter().sum();
    if sum > 0.0 {
        parts.iter_mut().for_each(|part| *part /= sum);
    }
    parts
}

/// Hours of one span, by provider.
struct Table {
    first: u64,
    ids: Vec<u32>,
    /// `hours x ids`.
    cells: Vec<u64>,
}

impl Table {
    fn read(rows: &[Row], first: u64, hours: u64) -> Self {
        let ids = Counts::of(rows).ids;
        let mut cells = vec![0; ids.len() * hours as usize];
        for row in rows {
            let at = row
                .provider
                .and_then(|id| ids.iter().position(|i| *i == id));
            let hour = (row.start_s / HOUR_S).checked_sub(first);
            if let (Some(at), Some(hour)) = (at, hour.filter(|hour| *hour < hours)) {
                cells[hour as usize * ids.len() + at] += row.requests;
            }
        }
        Self { first, ids, cells }
    }

    fn hours(&self) -> impl Iterator<Item = &[u64]> {
        self.cells.chunks_exact(self.ids.len().max(1))
    }

    /// Parts, each by the median of blocks of hours that is weighted by their requests.
    fn usual(&self, from: u64) -> Option<Vec<f64>> {
        let k = self.ids.len();
        let from = from.saturating_sub(self.first) as usize;
        let cells = self.cells.get(from * k..)?;
        let mut blocks: Vec<(Vec<u64>, f64)> = Vec::new();
        for block in cells.chunks(k * BLOCK_H as usize) {
            let mut sums = vec![0; k];
            for (at, n) in block.iter().enumerate() {
                sums[at % k] += n;
            }
            let n = sums.iter().sum::<u64>() as f64;
            if n > 0.0 {
                blocks.push((sums, n));
            }
        }
        let part = |at: usize| {
            let mut parts: Vec<(f64, f64)> = blocks
                .iter()
                .map(|(sums, n)| (sums[at] as f64 / n, *n))
                .collect();
            weighted_median(&mut parts)
        };
        (0..k)
            .map(part)
            .collect::<Option<Vec<f64>>>()
            .map(normalised)
    }
}

fn parts(counts: &[u64]) -> (Vec<f64>, u64) {
    let n: u64 = counts.iter().sum();
    let part = |count: &u64| *count as f64 / n.max(1) as f64;
    (counts.iter().map(part).collect(), n)
}

impl Mix {
    /// From rows of the hours before `now_hour`; `None` where there are too few requests.
    pub(super) fn learn(rows: &[Row], now_hour: u64) -> Option<Self> {
        let first = now_hour.saturating_sub(LONG_H);
        let rows = super::input::within(rows, first * HOUR_S, now_hour * HOUR_S);
        let table = Table::read(rows, first, now_hour - first);
        if table.ids.is_empty() {
            return None;
        }
        let long = table.usual(first)?;
        let busy = |from: u64| {
            let hours = table.hours().skip((from - first) as usize);
            hours
                .filter(|hour| hour.iter().sum::<u64>() >= REQUESTS_MIN)
                .count()
        };
        if busy(first) < HOURS_MIN {
            return None;
        }
        let recent_first = now_hour.saturating_sub(RECENT_H);
        let recent = if busy(recent_first) < HOURS_MIN {
            long.clone()
        } else {
            table.usual(recent_first).unwrap_or_else(|| long.clone())
        };

        let degrees = (table.ids.len() as f64 - 1.0).max(1.0);
        let (middle, tail) = (chi_squared_at(degrees, 0.0), chi_squared_at(degrees, 1.881));
        let mut bits = Vec::new();
        let mut by_middle = Vec::new();
        let mut by_tail = Vec::new();
        for hour in table.hours() {
            let (now, n) = parts(hour);
            if n >= REQUESTS_MIN {
                let n = n as f64;
                bits.push(divergence(&now, &long).min(divergence(&now, &recent)));
                let g = g(&now, &long, n).min(g(&now, &recent, n));
                by_middle.push((g / middle - 1.0) / (n - 1.0));
                by_tail.push((g / tail - 1.0) / (n - 1.0));
            }
        }
        let usual_bits = quantile(&mut bits, 0.98).unwrap_or(0.0);
        let by_tail = quantile(&mut by_tail, 0.97).unwrap_or(0.0);
        let by_middle = median(&mut by_middle).unwrap_or(0.0);
        Some(Self {
            ids: table.ids,
            long,
            recent,
            correlation: by_middle.max(by_tail).clamp(0.002, 0.3),
            usual_bits,
        })
    }

    /// The usual parts: of the last two days.
    pub(super) fn usual(&self) -> impl Iterator<Item = (u32, f64)> {
        self.ids.iter().copied().zip(self.recent.iter().copied())
    }

    /// Looks at a window. What is as it was in two weeks or in two days is no shift: neither a
    /// failover that lasts nor the way back.
    pub(super) fn judge(&self, counts: &Counts, sensitivity: Sensitivity) -> Option<Shift> {
        let requests = counts.total();
        if requests < REQUESTS_MIN {
            return None;
        }
        let mut all = Counts {
            ids: self.ids.clone(),
            requests: vec![0; self.ids.len()],
        };
        for (id, n) in counts.ids.iter().zip(&counts.requests) {
            let at = all.place(*id);
            all.requests[at] += n;
        }
        let (now, _) = parts(&all.requests);
        let padded = |usual: &[f64]| {
            let mut usual = usual.to_vec();
            usual.resize(now.len(), 0.0);
            usual
        };
        let bases = [padded(&self.long), padded(&self.recent)];
        let [long, recent] = bases.each_ref().map(|base| divergence(&now, base));
        let (base, bits) = if long <= recent {
            (&bases[0], long)
        } else {
            (&bases[1], recent)
        };
        let usual_bits = (self.usual_bits * BEYOND_USUAL).max(BITS_MIN);
        let moved = now.iter().zip(base).map(|(a, b)| (a - b).abs());
        if bits < usual_bits || moved.sum::<f64>() / 2.0 < MOVED_MIN {
            return None;
        }
        // Rao and Scott's correction: so many independent choices the requests are worth.
        let n = requests as f64;
        let worth = n / (1.0 + (n - 1.0) * self.correlation);
        let degrees = (now.len() as f64 - 1.0).max(1.0);
        let z = bases
            .iter()
            .map(|base| chi_squared_z(g(&now, base, worth), degrees));
        let z = z.fold(f64::INFINITY, f64::min);
        if z < sensitivity.z(Z_MIN) {
            return None;
        }
        let mut shares: Vec<(u32, f64, f64)> = (0..now.len())
            .map(|at| (all.ids[at], now[at], base[at]))
            .collect();
        let change = |share: &(u32, f64, f64)| (share.1 - share.2).abs();
        shares.sort_by(|a, b| change(b).total_cmp(&change(a)));
        Some(Shift {
            bits,
            usual_bits,
            p: normal_tail(z),
            requests,
            shares,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NORMAL: Sensitivity = Sensitivity::Normal;

    const NOW: u64 = 500_000;

    /// Two providers, of which the first has `part` of `requests` in each hour.
    fn rows(hours: u64, requests: u64, part: impl Fn(u64) -> f64) -> Vec<Row> {
        let row = |hour: u64, provider, requests| Row {
            start_s: hour * HOUR_S,
            provider: Some(provider),
            requests,
            ..Row::default()
        };
        (NOW - hours..NOW)
            .flat_map(|hour| {
                let first = (requests as f64 * part(NOW - hour)) as u64;
                [row(hour, 0, first), row(hour, 7, requests - first)]
            })
            .collect()
    }

    fn counts(of: &[(u32, u64)]) -> Counts {
        Counts {
            ids: of.iter().map(|(id, _)| *id).collect(),
            requests: of.iter().map(|(_, n)| *n).collect(),
        }
    }

    #[test]
    fn divergence_is_none_of_equals_and_a_bit_of_strangers() {
        assert!(divergence(&[0.3, 0.7], &[0.3, 0.7]).abs() < 1e-12);
        assert!((divergence(&[1.0, 0.0], &[0.0, 1.0]) - 1.0).abs() < 1e-12);
    }

    #[test]
    fn a_failover_is_a_shift_and_noise_is_not() {
        let noise = |hour: u64| 0.9 + (hour % 5) as f64 * 0.02 - 0.04;
        let mix = Mix::learn(&rows(336, 200, noise), NOW).expect("enough");
        assert!(mix.judge(&counts(&[(0, 85), (7, 15)]), NORMAL).is_none());
        let shift = mix
            .judge(&counts(&[(0, 2), (7, 98)]), NORMAL)
            .expect("a shift");
        assert!(shift.bits > 0.5 && shift.p < 1e-6);
        let part = shift.shares.iter().find(|share| share.0 == 7);
        assert!(part.is_some_and(|share| share.1 > 0.9 && share.2 < 0.2));
        assert!(
            mix.judge(&counts(&[(0, 1), (7, 19)]), NORMAL).is_none(),
            "too few"
        );
    }

    #[test]
    fn a_provider_that_was_never_used_is_a_shift() {
        let mix = Mix::learn(&rows(336, 200, |_| 0.9), NOW).expect("enough");
        let shift = mix.judge(&counts(&[(3, 100)]), NORMAL).expect("a shift");
        assert!(shift.shares.contains(&(3, 1.0, 0.0)));
    }

    #[test]
    fn what_lasted_a_day_and_the_way_back_are_none() {
        let failed_over = |hours| move |ago: u64| if ago <= hours { 0.02 } else { 0.9 };
        let (failover, usual) = (counts(&[(0, 2), (7, 98)]), counts(&[(0, 90), (7, 10)]));
        let short = Mix::learn(&rows(336, 200, failed_over(6)), NOW).expect("enough");
        assert!(short.judge(&failover, NORMAL).is_some() && short.judge(&usual, NORMAL).is_none());
        let long = Mix::learn(&rows(336, 200, failed_over(30)), NOW).expect("enough");
        assert!(long.judge(&failover, NORMAL).is_none() && long.judge(&usual, NORMAL).is_none());
    }

    #[test]
    fn too_little_traffic_has_no_usual_mix() {
        assert!(Mix::learn(&rows(336, 5, |_| 0.9), NOW).is_none());
        assert!(Mix::learn(&[], NOW).is_none());
    }
}
