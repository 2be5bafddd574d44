//! What an expression would do, before or after it becomes a schedule. No schedule, no jitter: the ticks
//! of the calendar only.

use chrono::{DateTime, SecondsFormat, Utc};
use serde::Serialize;
use utoipa::ToSchema;

use crate::cadence::Cadence;
use crate::error::ScheduleError;
use crate::spec::read;

/// Most ticks a preview shows.
pub const MAX_PREVIEW: usize = 100;

/// One future tick.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Tick {
    /// The instant.
    pub at: DateTime<Utc>,
    /// What the wall clock of the schedule's zone shows then, with its offset: RFC 3339.
    pub local: String,
}

/// An expression in words and ticks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Preview {
    /// One sentence without a full stop, such as `every day at 02:30, Europe/Madrid`.
    pub description: String,
    /// The next ticks, soonest first.
    pub ticks: Vec<Tick>,
}

/// The next `n` ticks (at most [`MAX_PREVIEW`]) strictly after `now`, and the sentence.
///
/// # Errors
/// [`ScheduleError::Invalid`] for `expression`, `zone` or both.
pub fn preview(expression: &str, zone: &str, n: usize, now: DateTime<Utc>) -> Result<Preview, ScheduleError> {
    let (expression, zone) = read(expression, zone).map_err(ScheduleError::Invalid)?;
    let cadence = Cadence::new(expression, zone);
    Ok(Preview { description: cadence.describe(), ticks: upcoming(&cadence, n, now) })
}

pub(crate) fn upcoming(cadence: &Cadence, n: usize, now: DateTime<Utc>) -> Vec<Tick> {
    let local =
        |at: DateTime<Utc>| at.with_timezone(&cadence.zone()).to_rfc3339_opts(SecondsFormat::Secs, false);
    cadence.ticks_after(now).take(n.min(MAX_PREVIEW)).map(|at| Tick { at, local: local(at) }).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests {
    use super::*;

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    #[test]
    fn a_preview_shows_both_clocks_over_the_spring_gap() {
        let seen = preview("30 2 * * *", "Europe/Madrid", 3, at("2027-03-26T12:00:00Z")).unwrap();
        assert_eq!(seen.description, "every day at 02:30, Europe/Madrid");
        let local: Vec<_> = seen.ticks.iter().map(|tick| tick.local.as_str()).collect();
        assert_eq!(
            local,
            ["2027-03-27T02:30:00+01:00", "2027-03-28T03:00:00+02:00", "2027-03-29T02:30:00+02:00"]
        );
        assert_eq!(seen.ticks[1].at, at("2027-03-28T01:00:00Z"));
    }

    #[test]
    fn a_preview_is_bounded() {
        let seen = preview("@every 1s", "UTC", usize::MAX, at("2027-03-26T12:00:00Z")).unwrap();
        assert_eq!(seen.ticks.len(), MAX_PREVIEW);
    }

    #[test]
    fn both_fields_are_told_at_once() {
        let error = preview("61 * * * *", "Europe/Madird", 3, Utc::now()).unwrap_err();
        let ScheduleError::Invalid(problems) = error else { panic!("{error}") };
        let fields: Vec<_> = problems.iter().map(|wrong| wrong.field).collect();
        assert_eq!(fields, ["expression", "zone"]);
    }
}
