//! Tables, a year-long brute-force scan and properties for the cadence module.

mod catching_up;
mod clock_changes;
mod parsing;
mod properties;
mod spreading;
mod wording;
mod year_scan;

use chrono::{DateTime, Utc};

use super::{Cadence, Expression};

fn cadence(expression: &str, zone: &str) -> Cadence {
    Cadence::parse(expression, zone).unwrap()
}

fn utc(text: &str) -> DateTime<Utc> {
    let text = if text.len() == 16 { format!("{text}:00Z") } else { text.to_owned() };
    text.parse().unwrap()
}

/// Ticks after a UTC instant, each as the zone's wall clock shows it.
fn readings(expression: &str, zone: &str, after: &str, n: usize) -> Vec<String> {
    let cadence = cadence(expression, zone);
    cadence
        .next_ticks(utc(after), n)
        .into_iter()
        .map(|tick| tick.with_timezone(&cadence.zone()).format("%F %R%:z").to_string())
        .collect()
}

fn refusal(expression: &str) -> String {
    Expression::parse(expression).unwrap_err().to_string()
}
