//! The ticker: turns due ticks into jobs, in any number of processes at once.
//!
//! A due schedule is locked (others skip it), its jobs are enqueued and it is moved on to its next tick in
//! one transaction. So a tick fires once: whoever dies before the commit has done nothing, whoever comes
//! after it finds the next tick. Should the same tick ever be planned twice (a restored backup, a clock
//! that was set back), the key `schedule:<id>@<tick>` leads to the job that is there.
//!
//! What it refuses to do: elect a leader, end by itself, or let one schedule that can't fire stop others.

mod plan;
mod round;

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use domain::{Clock, SystemClock};
use jobs::Registry;
use queue::{Queue, QueueError};
use telemetry::metric;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use crate::cadence::DEFAULT_GRACE;

pub use round::Round;

/// Shortest sleep while something due is held by another ticker.
const SHORTEST: Duration = Duration::from_millis(5);
/// First and longest pause while PostgreSQL is away.
const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);
/// How long a round in hand may go on after the stop; cutting it short only leaves its ticks due.
const STOP_GRACE: Duration = Duration::from_secs(3);

/// How a ticker works.
#[derive(Clone, Copy, Debug)]
pub struct TickerConfig {
    /// Most schedules one transaction takes.
    pub batch: i64,
    /// Longest sleep between looks: how late a schedule made or resumed just now may be.
    pub longest_sleep: Duration,
    /// How old a tick may be and still count as on time.
    pub grace: Duration,
    /// How long a schedule that can't fire is left alone before it is tried again.
    pub hold: Duration,
}

impl Default for TickerConfig {
    fn default() -> Self {
        Self {
            batch: 64,
            longest_sleep: Duration::from_secs(1),
            grace: DEFAULT_GRACE,
            hold: Duration::from_secs(15),
        }
    }
}

/// Fires the ticks of every organisation's schedules.
#[derive(Clone)]
pub struct Ticker {
    queue: Queue,
    registry: Arc<Registry>,
    clock: Arc<dyn Clock>,
    config: TickerConfig,
}

impl Ticker {
    /// A ticker by the machine's clock. The queue must be connected as the engine's role.
    #[must_use]
    pub fn new(queue: Queue, registry: Arc<Registry>) -> Self {
        Self { queue, registry, clock: Arc::new(SystemClock), config: TickerConfig::default() }
    }

    /// The same by another clock. Its sleeps are real: it looks at least every `longest_sleep`.
    #[must_use]
    pub fn with_clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// The same with other settings.
    #[must_use]
    pub fn with_config(mut self, config: TickerConfig) -> Self {
        self.config = config;
        self
    }

    /// Ticks until told to stop. While PostgreSQL is away it waits; what came due meanwhile is for the
    /// schedules' catch-up policies.
    pub async fn run(self, stop: CancellationToken) {
        publish(&Round::default());
        let cut = async {
            stop.cancelled().await;
            tokio::time::sleep(STOP_GRACE).await;
        };
        tokio::pin!(cut);
        // The last known one: lag goes on growing while PostgreSQL can't be asked.
        let mut oldest_sound = None;
        let mut pause = FIRST_PAUSE;
        let mut away = false;
        while !stop.is_cancelled() {
            let looked = tokio::select! {
                looked = self.look(&mut oldest_sound) => looked,
                () = &mut cut => return,
            };
            let sleep = match looked {
                Ok(sleep) => {
                    if std::mem::take(&mut away) {
                        info!("the scheduler reaches PostgreSQL again");
                    }
                    pause = FIRST_PAUSE;
                    sleep
                }
                Err(error) => {
                    if std::mem::replace(&mut away, true) {
                        debug!(error = %error, "the scheduler still waits");
                    } else {
                        warn!(error = &error as &dyn std::error::Error, "the scheduler waits for PostgreSQL");
                    }
                    metrics::counter!(metric::POSTGRES_ERRORS_TOTAL).increment(1);
                    publish_lag(oldest_sound, self.clock.now());
                    let sleep = pause;
                    pause = (pause * 2).min(LONGEST_PAUSE);
                    sleep
                }
            };
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(sleep) => {}
            }
        }
    }

    /// Fires one batch of what is due now.
    ///
    /// # Errors
    /// [`QueueError`] when PostgreSQL is away: nothing was fired, or the commit's answer was lost.
    pub async fn round(&self) -> Result<Round, QueueError> {
        let done = round::round(&self.queue, &self.registry, self.clock.now(), &self.config).await?;
        publish(&done);
        Ok(done)
    }

    /// One look; answers how long to sleep.
    async fn look(&self, oldest_sound: &mut Option<DateTime<Utc>>) -> Result<Duration, QueueError> {
        let now = self.clock.now();
        let next = round::next_due(&self.queue, now).await?;
        *oldest_sound = next.sound;
        publish_lag(next.sound, now);
        let Some(due) = next.any else {
            return Ok(self.config.longest_sleep);
        };
        if due > now {
            let until = (due - now).to_std().unwrap_or_default();
            return Ok(until.max(SHORTEST).min(self.config.longest_sleep));
        }
        let done = self.round().await?;
        // Nothing taken: another ticker has it in hand.
        Ok(if done.schedules == 0 { SHORTEST } else { Duration::ZERO })
    }
}

fn publish_lag(due: Option<DateTime<Utc>>, now: DateTime<Utc>) {
    let lag = due.map_or(TimeDelta::zero(), |due| (now - due).max(TimeDelta::zero()));
    metrics::gauge!(metric::SCHEDULE_LAG_SECONDS).set(lag.to_std().unwrap_or_default().as_secs_f64());
}

/// Counts what a round did; all series exist from the first call on.
fn publish(round: &Round) {
    for (outcome, count) in [
        ("enqueued", round.enqueued),
        ("duplicate", round.duplicates),
        ("skipped", round.skipped),
        ("failed", round.failed),
    ] {
        metrics::counter!(metric::SCHEDULE_TICKS_TOTAL, "outcome" => outcome).increment(count);
    }
}
