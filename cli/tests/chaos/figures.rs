//! How much is done, and how it is told.

use std::io::Write;
use std::time::Duration;

/// Short, as in `cargo test`, or long, as in `make chaos`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    Short,
    Long,
}

impl Form {
    /// By `COUNTERSIGN_CHAOS`: `long`, or unset.
    pub(crate) fn asked() -> Self {
        match std::env::var("COUNTERSIGN_CHAOS").as_deref() {
            Ok("long") => Self::Long,
            Ok("" | "short") | Err(_) => Self::Short,
            Ok(other) => panic!("COUNTERSIGN_CHAOS={other} can't be used; write long, or leave it out"),
        }
    }

    /// One of the two.
    pub(crate) fn of<T>(self, short: T, long: T) -> T {
        match self {
            Self::Short => short,
            Self::Long => long,
        }
    }

    /// The same in seconds.
    pub(crate) fn secs(self, short: u64, long: u64) -> Duration {
        Duration::from_secs(self.of(short, long))
    }
}

/// Writes a scenario's one line past the test harness' capture, so that it is seen when all is well.
pub(crate) fn tell(scenario: &str, line: &str) {
    let _ = writeln!(std::io::stderr(), "chaos: {scenario}: {line}");
}

/// The value below which `share` (0 … 1) of the samples lie; zero when there are none.
pub(crate) fn quantile(samples: &[Duration], share: f64) -> Duration {
    let mut sorted = samples.to_vec();
    sorted.sort_unstable();
    #[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    let at = ((sorted.len() as f64 * share).ceil() as usize).saturating_sub(1);
    sorted.get(at).copied().unwrap_or_default()
}

/// Milliseconds with one decimal.
pub(crate) fn ms(span: Duration) -> String {
    format!("{:.1} ms", span.as_secs_f64() * 1e3)
}

/// Seconds with one decimal.
pub(crate) fn secs(span: Duration) -> String {
    format!("{:.1} s", span.as_secs_f64())
}
