//! Traffic of one client by the minute, seeded: the same numbers on every machine.
//!
//! A day's and a week's course in local time, hours that lie above or below it together (AR(1)),
//! bursts of minutes, negative binomial counts, failures that go together, a mix of providers that
//! wanders, cost a request that is heavy-tailed. None of it is what the detectors assume exactly.

use coo_llm_core::NanoUsd;
use coo_llm_exporters::health::{HOUR_S, Kind, Row};

/// A Monday at midnight, UTC.
pub(crate) const START_S: u64 = 1_794_787_200;
/// Minutes of a day.
pub(crate) const DAY_MIN: u64 = 1440;
/// The names of the providers.
pub(crate) const PROVIDERS: [&str; 3] = ["openai", "anthropic", "gemini"];
const USUAL_MIX: [f64; 3] = [0.75, 0.22, 0.03];

/// SplitMix64 (Steele, Lea and Flood 2014).
pub(crate) struct Random(pub u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// In (0, 1).
    pub(crate) fn unit(&mut self) -> f64 {
        ((self.next() >> 11) as f64 + 0.5) / (1u64 << 53) as f64
    }

    fn normal(&mut self) -> f64 {
        let radius = (-2.0 * self.unit().ln()).sqrt();
        radius * (2.0 * std::f64::consts::PI * self.unit()).cos()
    }

    /// Mean `shape` (Marsaglia and Tsang 2000).
    fn gamma(&mut self, shape: f64) -> f64 {
        if shape < 1.0 {
            let small = self.unit().powf(1.0 / shape);
            return self.gamma(shape + 1.0) * small;
        }
        let d = shape - 1.0 / 3.0;
        let c = 1.0 / (9.0 * d).sqrt();
        loop {
            let x = self.normal();
            let v = (1.0 + c * x).powi(3);
            if v > 0.0 && self.unit().ln() < 0.5 * x * x + d - d * v + d * v.ln() {
                return d * v;
            }
        }
    }

    fn poisson(&mut self, mean: f64) -> u64 {
        if mean > 60.0 {
            return (mean + mean.sqrt() * self.normal()).round().max(0.0) as u64;
        }
        let (limit, mut product, mut n) = ((-mean).exp(), self.unit(), 0);
        while product > limit {
            product *= self.unit();
            n += 1;
        }
        n
    }
}

/// How a client's traffic usually is.
#[derive(Clone, Copy)]
pub(crate) struct Client {
    /// Requests a minute, on average over a weekday.
    pub(crate) per_minute: f64,
    /// What a weekend's day has to a weekday.
    pub(crate) weekend: f64,
    /// Its local time is that many hours ahead of UTC,
    pub(crate) ahead_h: u64,
    /// and one less from this minute on.
    pub(crate) clocks_change: Option<u64>,
}

/// What goes wrong.
#[derive(Clone, Copy)]
pub(crate) enum Effect {
    /// So many times the requests.
    Requests(f64),
    /// This part of the requests fails.
    Failures(f64),
    /// The cost of a request grows by this part a day.
    Growth(f64),
    /// So many times the cost of a request.
    Cost(f64),
    /// The first provider gets nothing; the second its part.
    Failover,
}

/// Something that goes wrong from one minute to another.
#[derive(Clone, Copy)]
pub(crate) struct Anomaly {
    pub(crate) effect: Effect,
    pub(crate) from: u64,
    pub(crate) to: u64,
}

impl Anomaly {
    /// What has to be found.
    pub(crate) fn kind(&self) -> Kind {
        match self.effect {
            Effect::Requests(_) => Kind::UsageSpike,
            Effect::Failures(_) => Kind::ErrorRateRise,
            Effect::Growth(_) => Kind::CostDrift,
            Effect::Cost(_) => Kind::CostSpike,
            Effect::Failover => Kind::ProviderShift,
        }
    }
}

fn course(client: &Client, minute: u64) -> f64 {
    let ahead = match client.clocks_change {
        Some(change) if minute >= change => client.ahead_h.saturating_sub(1),
        _ => client.ahead_h,
    };
    let local = minute + ahead * 60;
    let hour = (local % DAY_MIN) as f64 / 60.0;
    // Least at 3, most at 15 o'clock: about 1 to 7.
    let day = 1.0 - 0.75 * ((hour - 3.0) / 24.0 * 2.0 * std::f64::consts::PI).cos();
    let weekday = local / DAY_MIN % 7;
    if weekday >= 5 {
        day * client.weekend
    } else {
        day
    }
}

/// Minutes `[from, to)` after [`START_S`], as rows by minute.
pub(crate) fn minutes(client: &Client, seed: u64, to: u64, anomaly: Option<Anomaly>) -> Vec<Row> {
    let mut random = Random(seed);
    let mut rows = Vec::new();
    let (mut drift, mut failing, mut mix, mut burst) = (0.0, 0.01, USUAL_MIX, 1.0);
    for minute in 0..to {
        if minute % 60 == 0 {
            drift = 0.6 * drift + 0.15 * random.normal();
            let (a, b) = (random.gamma(1.0), random.gamma(99.0));
            failing = a / (a + b);
            let parts = USUAL_MIX.map(|part| random.gamma(60.0 * part));
            let sum: f64 = parts.iter().sum();
            mix = parts.map(|part| part / sum);
        }
        if minute % 5 == 0 {
            burst = random.gamma(12.0) / 12.0;
        }
        let active = anomaly.filter(|it| (it.from..it.to).contains(&minute));
        let (mut rate, mut failing, mut mix, mut price) = (1.0, failing, mix, 1.0);
        match active.map(|it| it.effect) {
            Some(Effect::Requests(times)) => rate = times,
            Some(Effect::Failures(part)) => failing = part,
            Some(Effect::Growth(part)) => {
                let since = anomaly.map_or(minute, |it| it.from);
                price = (1.0 + part).powf((minute - since) as f64 / DAY_MIN as f64);
            }
            Some(Effect::Cost(times)) => price = times,
            Some(Effect::Failover) => mix = [0.0, mix[0] + mix[1], mix[2]],
            None => {}
        }
        let mean = client.per_minute * course(client, minute) * f64::exp(drift) * burst * rate;
        let n = random.gamma(4.0) / 4.0 * mean;
        let n = random.poisson(n);
        let mut cells = [Row::default(); 3];
        for _ in 0..n {
            let at = random.unit();
            let provider = usize::from(at > mix[0]) + usize::from(at > mix[0] + mix[1]);
            let cell = &mut cells[provider];
            cell.requests += 1;
            cell.errors += u64::from(random.unit() < failing);
            // 0.003 USD in the median, 0.006 on average, 0.05 one time in a hundred.
            let cost = 3e6 * f64::exp(1.2 * random.normal()) * price;
            cell.cost = NanoUsd(cell.cost.0 + cost as u64);
            cell.tokens += (cost / 2e3) as u64;
        }
        for (provider, cell) in cells.into_iter().enumerate() {
            if cell.requests > 0 {
                rows.push(Row {
                    start_s: START_S + minute * 60,
                    provider: Some(provider as u32),
                    ..cell
                });
            }
        }
    }
    rows
}

/// The same by the hour.
pub(crate) fn hours(minutes: &[Row]) -> Vec<Row> {
    let mut hours: Vec<Row> = Vec::new();
    for hour in minutes.chunk_by(|a, b| a.start_s / HOUR_S == b.start_s / HOUR_S) {
        let mut cells = [Row::default(); 3];
        for row in hour {
            let Some(cell) = row.provider.and_then(|at| cells.get_mut(at as usize)) else {
                continue;
            };
            *cell = Row {
                start_s: row.start_s / HOUR_S * HOUR_S,
                provider: row.provider,
                requests: cell.requests + row.requests,
                errors: cell.errors + row.errors,
                tokens: cell.tokens + row.tokens,
                cost: NanoUsd(cell.cost.0 + row.cost.0),
                unpriced: 0,
            };
        }
        hours.extend(cells.into_iter().filter(|cell| cell.requests > 0));
    }
    hours
}
