//! How well are anomalies of clients found, and how often without cause?
//!
//! `cargo run --release -p coo-llm-exporters --example client_health [CLIENTS]` prints the table
//! of docs/client-health.md: CLIENTS of each kind, 20 without a number.

#![expect(clippy::print_stdout, reason = "it is what it does")]

mod replay;
mod scenes;
#[cfg(test)]
mod tests;
mod traffic;

use replay::Pace;
use scenes::{SCENES, budgets, clean, clients};
use traffic::DAY_MIN;

const SEED: u64 = 7;

fn main() {
    let of_each = std::env::args().nth(1).and_then(|n| n.parse().ok());
    let of_each: u64 = of_each.unwrap_or(20);
    let pace = Pace { look: 5, learn: 60 };

    println!("| clean traffic | client-months | false alarms | a client-month |");
    println!("| --- | --- | --- | --- |");
    let names = [
        "60 requests an hour",
        "400 an hour",
        "office hours, 180 an hour",
    ];
    for (client, name) in clients().iter().zip(names) {
        let alarms = (0..of_each).map(|i| clean(client, SEED + i, 28, 28, pace));
        print_clean(name, of_each as f64, &alarms.flatten().collect::<Vec<_>>());
    }
    let new = clients().map(|client| {
        let alarms = (0..of_each).map(|i| clean(&client, SEED + 500 + i, 0, 28, pace));
        alarms.flatten().collect::<Vec<_>>()
    });
    print_clean(
        "new clients, their first month",
        3.0 * of_each as f64,
        &new.concat(),
    );
    let clocks = clients().map(|client| {
        let client = traffic::Client {
            clocks_change: Some(34 * DAY_MIN),
            ..client
        };
        let alarms = (0..of_each).map(|i| clean(&client, SEED + 700 + i, 28, 28, pace));
        alarms.flatten().collect::<Vec<_>>()
    });
    print_clean(
        "clocks go back on day 6",
        3.0 * of_each as f64,
        &clocks.concat(),
    );

    println!("\n| anomaly | clients | recall | precision | delay, median | 90 of 100 | wrong |");
    println!("| --- | --- | --- | --- | --- | --- | --- |");
    for scene in &SCENES {
        let score = scene.play(SEED, of_each, pace);
        let time = |part| {
            score
                .delay(part)
                .map_or("-".to_owned(), |minutes| match minutes {
                    0..180 => format!("{minutes} min"),
                    180..2880 => format!("{} h", minutes / 60),
                    _ => format!("{} days", minutes / DAY_MIN),
                })
        };
        let (recall, precision) = (score.recall(), score.precision());
        let (median, late) = (time(0.5), time(0.9));
        println!(
            "| {} | {} | {recall:.2} | {precision:.2} | {median} | {late} | {} |",
            scene.name,
            score.played,
            by_kind(&score.wrong)
        );
    }

    println!(
        "\n| budget, 28 days | clients | found | days ahead, median | interval holds | off, median |"
    );
    println!("| --- | --- | --- | --- | --- | --- |");
    for part in [0.7, 0.95, 1.05, 1.3] {
        let all = budgets(SEED, of_each, part);
        let found = all.iter().filter(|it| it.found.is_some()).count();
        let mut ahead: Vec<u64> = all
            .iter()
            .filter_map(|it| Some(it.gone? - it.found?))
            .collect();
        ahead.sort_unstable();
        let ahead = ahead.get(ahead.len() / 2);
        let ahead = ahead.map_or("-".to_owned(), |min| {
            format!("{:.1}", *min as f64 / DAY_MIN as f64)
        });
        let forecasts: usize = all.iter().map(|it| it.forecasts).sum();
        let within: usize = all.iter().map(|it| it.within).sum();
        let within = within as f64 / forecasts.max(1) as f64;
        let mut offs: Vec<f64> = all.iter().map(|it| it.off).collect();
        offs.sort_by(f64::total_cmp);
        let off = offs.get(offs.len() / 2).copied().unwrap_or(0.0);
        println!(
            "| {part} of what it costs | {} | {found} | {ahead} | {within:.2} | {off:.3} |",
            all.len()
        );
    }
}

fn print_clean(name: &str, months: f64, alarms: &[(coo_llm_exporters::health::Kind, u64)]) {
    let rate = alarms.len() as f64 / months;
    println!("| {name} | {months:.0} | {} | {rate:.3} |", by_kind(alarms));
}

fn by_kind(alarms: &[(coo_llm_exporters::health::Kind, u64)]) -> String {
    let mut text = alarms.len().to_string();
    for kind in coo_llm_exporters::health::Kind::ALL {
        let n = alarms.iter().filter(|(have, _)| *have == kind).count();
        if n > 0 {
            text += &format!(" {}: {n}", kind.name());
        }
    }
    text
}
