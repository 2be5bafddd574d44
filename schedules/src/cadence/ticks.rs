//! From an expression and a zone to instants. Strictly after the asked instant,
//! whole seconds, the same answer on every process; the clock rule is in the
//! parent module. It refuses to enumerate without a bound.

use chrono::{DateTime, NaiveDateTime, TimeDelta, Timelike, Utc};
use chrono_tz::Tz;

use super::calendar::Calendar;
use super::expression::{Expression, ExpressionError, Form};
use super::zone::{UnknownZone, first_reached, next_change, offset_at, parse_zone};

/// Why a cadence cannot be made from text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CadenceError {
    /// The cron expression is wrong.
    #[error(transparent)]
    Expression(#[from] ExpressionError),
    /// The time zone is not known.
    #[error(transparent)]
    Zone(#[from] UnknownZone),
}

/// An expression read against the wall clock of a zone.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Cadence {
    expression: Expression,
    zone: Tz,
}

/// Ticks in order, oldest first.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Ticks {
    /// At most as many as asked for.
    pub ticks: Vec<DateTime<Utc>>,
    /// There are more in the span than asked for; these are the oldest of them.
    pub truncated: bool,
}

impl Cadence {
    /// Joins an expression and a zone.
    #[must_use]
    pub const fn new(expression: Expression, zone: Tz) -> Self {
        Self { expression, zone }
    }

    /// Reads both from text, such as `30 2 * * *` and `Europe/Madrid`.
    ///
    /// # Errors
    /// Either text may be wrong; the message says which and what to write.
    pub fn parse(expression: &str, zone: &str) -> Result<Self, CadenceError> {
        Ok(Self::new(Expression::parse(expression)?, parse_zone(zone)?))
    }

    /// The expression.
    #[must_use]
    pub const fn expression(&self) -> &Expression {
        &self.expression
    }

    /// The zone whose wall clock counts.
    #[must_use]
    pub const fn zone(&self) -> Tz {
        self.zone
    }

    /// The first tick strictly after `after`. `None` only past the end of the
    /// calendar, some 260,000 years from now: expressions that never fire are
    /// refused when they are parsed.
    #[must_use]
    pub fn next_tick(&self, after: DateTime<Utc>) -> Option<DateTime<Utc>> {
        match self.expression.form() {
            Form::Every(interval) => interval.next_after(after),
            Form::Calendar(calendar) => {
                let after = after.naive_utc().with_nanosecond(0)?;
                if calendar.runs_every_hour() {
                    next_reading(calendar, self.zone, after)
                } else {
                    next_named(calendar, self.zone, after)
                }
            }
        }
    }

    /// All ticks strictly after `after`, oldest first; endless.
    pub fn ticks_after(&self, after: DateTime<Utc>) -> impl Iterator<Item = DateTime<Utc>> {
        std::iter::successors(self.next_tick(after), |tick| self.next_tick(*tick))
    }

    /// The first `n` ticks strictly after `after`, for previews.
    #[must_use]
    pub fn next_ticks(&self, after: DateTime<Utc>, n: usize) -> Vec<DateTime<Utc>> {
        self.ticks_after(after).take(n).collect()
    }

    /// The oldest `cap` ticks in `(after, until]`.
    #[must_use]
    pub fn ticks_between(&self, after: DateTime<Utc>, until: DateTime<Utc>, cap: usize) -> Ticks {
        let mut rest = self.ticks_after(after).take_while(|tick| *tick <= until);
        let ticks: Vec<_> = rest.by_ref().take(cap).collect();
        Ticks { truncated: rest.next().is_some(), ticks }
    }

    /// The newest tick in `(after, until]`.
    #[must_use]
    pub fn latest_tick(&self, after: DateTime<Utc>, until: DateTime<Utc>) -> Option<DateTime<Utc>> {
        // `next_tick` never decreases, so the newest tick is found by halving the
        // span; walking it would take a million steps for a week of seconds.
        let in_span = |after| self.next_tick(after).filter(|tick| *tick <= until);
        let mut best = in_span(after)?;
        let mut none_after = until.timestamp();
        while best.timestamp() < none_after {
            let middle = best.timestamp() + (none_after - best.timestamp()) / 2;
            match DateTime::from_timestamp(middle, 0).and_then(in_span) {
                Some(tick) => best = tick,
                None => none_after = middle,
            }
        }
        Some(best)
    }

    /// The newest `cap` ticks in `(after, until]`, oldest first.
    #[must_use]
    pub fn newest_ticks(&self, after: DateTime<Utc>, until: DateTime<Utc>, cap: usize) -> Vec<DateTime<Utc>> {
        let all = self.ticks_between(after, until, cap);
        if !all.truncated {
            return all.ticks;
        }
        let mut ticks = Vec::with_capacity(cap);
        let mut until = until;
        while ticks.len() < cap
            && let Some(tick) = self.latest_tick(after, until)
        {
            ticks.push(tick);
            until = tick - TimeDelta::nanoseconds(1);
        }
        ticks.reverse();
        ticks
    }
}

/// For expressions that run in every hour: the next instant whose reading fits.
/// `after` is UTC in whole seconds.
fn next_reading(calendar: &Calendar, zone: Tz, after: NaiveDateTime) -> Option<DateTime<Utc>> {
    let mut from = after.checked_add_signed(TimeDelta::seconds(1))?;
    loop {
        // Within one offset, local time and real time run alike.
        let offset = offset_at(zone, from);
        let local = calendar.at_or_after(from.checked_add_signed(offset)?)?;
        let instant = local.checked_sub_signed(offset)?;
        match next_change(zone, from, instant) {
            None => return Some(instant.and_utc()),
            Some(change) => from = change,
        }
    }
}

/// For expressions that name hours: the next local time that the wall clock has
/// not reached at `after`. `after` is UTC in whole seconds.
fn next_named(calendar: &Calendar, zone: Tz, after: NaiveDateTime) -> Option<DateTime<Utc>> {
    let shown = after.checked_add_signed(offset_at(zone, after))?;
    let mut local = calendar.at_or_after(shown.checked_add_signed(TimeDelta::seconds(1))?)?;
    loop {
        let instant = first_reached(zone, local)?;
        let reached = instant.naive_utc();
        if reached > after {
            return Some(instant);
        }
        // The clock was set back since: `local` was reached before that. Go on
        // from the reading at which it was set back.
        let change = next_change(zone, reached, after)?;
        let unseen = change.checked_add_signed(offset_at(zone, reached))?;
        let past = local.checked_add_signed(TimeDelta::seconds(1))?;
        local = calendar.at_or_after(unseen.max(past))?;
    }
}
