//! What to do about ticks that came due while nobody was looking: a scheduler
//! was down, a schedule was paused, a database was away. Pure: it names the ticks
//! to fire and the ones given up; starting them is the caller's part.

use std::fmt;
use std::num::NonZeroU32;
use std::str::FromStr;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

use super::ticks::Cadence;

/// Ticks fired at once where nothing else is said.
pub const DEFAULT_CAP: NonZeroU32 = NonZeroU32::MIN.saturating_add(99);

/// The largest cap that is honoured; a larger one counts as this.
pub const MAX_CAP: NonZeroU32 = NonZeroU32::MIN.saturating_add(9_999);

/// How old a tick may be and still count as on time. It must be longer than the
/// pause between two looks at the schedules, or ordinary ticks count as missed.
pub const DEFAULT_GRACE: Duration = Duration::from_secs(60);

/// Skipped ticks are counted up to here; beyond, the count is a lower bound.
const COUNT_LIMIT: usize = 10_000;

/// What happens to ticks older than the grace period. Ticks within it fire under
/// every policy, the newest [`DEFAULT_CAP`] of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(tag = "policy", rename_all = "snake_case")]
pub enum CatchUp {
    /// Give them up. For work that is only right at its time.
    Skip,
    /// One run stands for all that is due: the newest due tick fires, late or
    /// not, and the others are given up. For work that brings something up to
    /// date.
    #[default]
    One,
    /// Fire each, oldest first; with more than `cap` due, the newest `cap`. The
    /// newest are kept because they are the ones somebody still waits for, and
    /// because a cap that keeps the oldest would never catch up.
    All {
        /// How many at most; see [`MAX_CAP`].
        #[serde(default = "default_cap")]
        cap: NonZeroU32,
    },
}

const fn default_cap() -> NonZeroU32 {
    DEFAULT_CAP
}

impl CatchUp {
    /// The policy's name as stored: `skip`, `one` or `all`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Skip => "skip",
            Self::One => "one",
            Self::All { .. } => "all",
        }
    }

    fn cap(self) -> usize {
        let cap = match self {
            Self::All { cap } => cap.min(MAX_CAP),
            Self::Skip | Self::One => DEFAULT_CAP,
        };
        usize::try_from(cap.get()).unwrap_or(usize::MAX)
    }
}

impl fmt::Display for CatchUp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A policy name that is not known.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown catch-up policy `{name}`; allowed: skip, one, all")]
pub struct UnknownCatchUp {
    name: String,
}

impl FromStr for CatchUp {
    type Err = UnknownCatchUp;

    /// Reads a name; `all` gets [`DEFAULT_CAP`].
    fn from_str(name: &str) -> Result<Self, Self::Err> {
        match name {
            "skip" => Ok(Self::Skip),
            "one" => Ok(Self::One),
            "all" => Ok(Self::All { cap: DEFAULT_CAP }),
            _ => Err(UnknownCatchUp { name: name.chars().take(64).collect() }),
        }
    }
}

/// Due ticks that will not fire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Skipped {
    /// The first of them.
    pub oldest: DateTime<Utc>,
    /// The last of them.
    pub newest: DateTime<Utc>,
    /// How many.
    pub count: usize,
    /// Whether `count` is exact; if not, there are more.
    pub exact: bool,
}

/// What is due and what becomes of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// Ticks to fire, oldest first.
    pub fire: Vec<DateTime<Utc>>,
    /// Ticks given up; all of them are older than those in `fire`.
    pub skipped: Option<Skipped>,
    /// The newest tick that is now dealt with; the `last_tick` to pass next time.
    pub last_tick: DateTime<Utc>,
}

/// Decides about the ticks in `(last_tick, now]`.
///
/// `last_tick` is the newest tick already dealt with, or the moment the schedule
/// was created or resumed. A `now` before it (a clock set back) yields nothing
/// to do. A tick is late when it is more than `grace` older than `now`.
#[must_use]
pub fn catch_up(
    cadence: &Cadence,
    policy: CatchUp,
    last_tick: DateTime<Utc>,
    now: DateTime<Utc>,
    grace: Duration,
) -> Decision {
    let Some(newest) = cadence.latest_tick(last_tick, now) else {
        return Decision { fire: Vec::new(), skipped: None, last_tick };
    };
    // The newest instant that is late; everything after it is on time.
    let late_until = TimeDelta::from_std(grace)
        .ok()
        .and_then(|grace| now.checked_sub_signed(grace + TimeDelta::nanoseconds(1)))
        .map_or(last_tick, |late| late.max(last_tick));
    let any_late = cadence.next_tick(last_tick).is_some_and(|tick| tick <= late_until);
    let fire = match policy {
        CatchUp::One if any_late => vec![newest],
        CatchUp::Skip | CatchUp::One => cadence.newest_ticks(late_until, now, policy.cap()),
        CatchUp::All { .. } => cadence.newest_ticks(last_tick, now, policy.cap()),
    };
    let given_up_until = fire.first().map_or(now, |first| *first - TimeDelta::nanoseconds(1));
    Decision { skipped: skipped(cadence, last_tick, given_up_until), fire, last_tick: newest }
}

fn skipped(cadence: &Cadence, after: DateTime<Utc>, until: DateTime<Utc>) -> Option<Skipped> {
    let counted = cadence.ticks_between(after, until, COUNT_LIMIT);
    Some(Skipped {
        oldest: *counted.ticks.first()?,
        newest: cadence.latest_tick(after, until)?,
        count: counted.ticks.len(),
        exact: !counted.truncated,
    })
}
