//! What `/metrics` has of the watch.

use super::board::{Board, View};
use super::report::Report;
use crate::health::Kind as Anomaly;
use crate::prometheus::{Extra, Kind, Value};
use coo_llm_core::Micros;

fn seconds(s: u64) -> Value {
    Value::Seconds(Micros(s.saturating_mul(1_000_000)))
}

impl Board {
    /// The families of clients and of the job.
    #[must_use]
    pub fn families(&self) -> Vec<Extra> {
        let health = self.health();
        let mut families = vec![
            Extra::new(
                Kind::Counter,
                "client_health_failures",
                "Runs of the job that watches clients that could not read the history.",
            )
            .with(&[], Value::Count(health.failures)),
        ];
        if let (Some(duration), Some(at)) = (health.duration, health.last_run) {
            let gauge = |name, help, value| Extra::new(Kind::Gauge, name, help).with(&[], value);
            families.push(gauge(
                "client_health_run_duration_seconds",
                "How long the last run of the job that watches clients took.",
                Value::Seconds(duration),
            ));
            families.push(gauge(
                "client_health_last_run_timestamp_seconds",
                "When the job that watches clients ran last.",
                Value::Seconds(Micros(at.0.saturating_mul(1000))),
            ));
        }
        if let Some(view) = self.view() {
            families.extend(view.families());
        }
        families
    }
}

impl View {
    fn families(&self) -> Vec<Extra> {
        let gauge = |name, help| Extra::new(Kind::Gauge, name, help);
        let mut anomaly = gauge(
            "client_anomaly",
            "Whether something unusual goes on for a client (1) or not (0), by its kind.",
        );
        let mut since = gauge(
            "client_anomaly_since_timestamp_seconds",
            "Since when what is unusual goes on.",
        );
        let mut forecast = [
            gauge(
                "client_budget_forecast_usd",
                "What the present period of a client's budget will have cost, as expected.",
            ),
            gauge(
                "client_budget_forecast_lower_usd",
                "The same: 5 of 100 periods cost less.",
            ),
            gauge(
                "client_budget_forecast_upper_usd",
                "The same: 5 of 100 periods cost more.",
            ),
        ];
        let mut exhausted = gauge(
            "client_budget_exhausted_timestamp_seconds",
            "When a client's budget will be spent, where that is within its period.",
        );
        for report in &self.clients {
            let id = [("client_id", &*report.client)];
            for kind in Anomaly::ALL {
                let labels = [id[0], ("kind", kind.name())];
                let open = report.open_of(kind);
                anomaly = anomaly.with(&labels, Value::Count(u64::from(open.is_some())));
                if let Some(open) = open {
                    since = since.with(&labels, seconds(open.finding.since_s));
                }
            }
            exhausted = budget(report, &mut forecast, exhausted);
        }
        let mut began = Extra::new(
            Kind::Counter,
            "client_anomalies",
            "Times that something unusual began for a client, by its kind.",
        );
        for (kind, n) in Anomaly::ALL.into_iter().zip(&self.began) {
            began = began.with(&[("kind", kind.name())], Value::Count(*n));
        }
        let watched = gauge("client_health_clients", "Clients that are watched.");
        let watched = watched.with(&[], Value::Count(self.clients.len() as u64));
        let left_out = Extra::new(
            Kind::Counter,
            "client_health_rows_left_out",
            "Rows of the history that nobody watches, because too many clients are watched already.",
        );
        let left_out = left_out.with(&[], Value::Count(self.left_out as u64));
        let mut families = vec![anomaly, since];
        families.extend(forecast);
        families.extend([exhausted, began, watched, left_out]);
        families
    }
}

/// What is known of a budget's future.
fn budget(report: &Report, forecast: &mut [Extra; 3], exhausted: Extra) -> Extra {
    let id = [("client_id", &*report.client)];
    let Some(known) = report.cost.forecast else {
        return exhausted;
    };
    for (family, value) in forecast
        .iter_mut()
        .zip([known.expected, known.lower, known.upper])
    {
        let labels = vec![("client_id", report.client.to_string())];
        family.samples.push((labels, Value::Usd(value)));
    }
    match known.spent_at_s {
        Some(at) => exhausted.with(&id, seconds(at)),
        None => exhausted,
    }
}
