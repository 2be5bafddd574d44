//! The local dates and times a cron expression names, without any time zone.
//! It refuses to turn them into instants; `ticks` does that.

use chrono::{Datelike, NaiveDate, NaiveDateTime, NaiveTime, TimeDelta, Timelike};

use super::field::{Field, Selection, Values};

/// The Gregorian calendar repeats after 400 years, so a date that was not found
/// by then does not exist.
const CYCLE_YEARS: i32 = 400;

/// Which days of the allowed months count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Days {
    Every,
    OfMonth(Values),
    OfWeek(Values),
    /// Both fields restricted: one is enough.
    Either {
        of_month: Values,
        of_week: Values,
    },
    /// Both fields restricted and one is written with `*`: both must fit.
    Both {
        of_month: Values,
        of_week: Values,
    },
}

impl Days {
    fn new(of_month: Selection, of_week: Selection) -> Self {
        let any_month_day = of_month.values.is_all(Field::DayOfMonth);
        let any_week_day = of_week.values.is_all(Field::DayOfWeek);
        let (all_fit, of_month_fits, of_week_fits) = if of_month.starred || of_week.starred {
            (any_month_day && any_week_day, any_week_day, any_month_day)
        } else {
            (any_month_day || any_week_day, false, false)
        };
        let (of_month, of_week, both) =
            (of_month.values, of_week.values, of_month.starred || of_week.starred);
        match (all_fit, of_month_fits, of_week_fits) {
            (true, _, _) => Self::Every,
            (_, true, _) => Self::OfMonth(of_month),
            (_, _, true) => Self::OfWeek(of_week),
            _ if both => Self::Both { of_month, of_week },
            _ => Self::Either { of_month, of_week },
        }
    }

    fn has(self, date: NaiveDate) -> bool {
        let of_month = |values: Values| values.has(date.day());
        let of_week = |values: Values| values.has(date.weekday().num_days_from_sunday());
        match self {
            Self::Every => true,
            Self::OfMonth(values) => of_month(values),
            Self::OfWeek(values) => of_week(values),
            Self::Either { of_month: m, of_week: w } => of_month(m) || of_week(w),
            Self::Both { of_month: m, of_week: w } => of_month(m) && of_week(w),
        }
    }

    /// The days of the month that every hit must have, if there is such a demand.
    fn required_of_month(self) -> Option<Values> {
        match self {
            Self::OfMonth(of_month) | Self::Both { of_month, .. } => Some(of_month),
            Self::Every | Self::OfWeek(_) | Self::Either { .. } => None,
        }
    }
}

/// A parsed expression, reduced so that equal sets of local times are equal values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Calendar {
    pub(super) seconds: Values,
    pub(super) minutes: Values,
    pub(super) hours: Values,
    pub(super) months: Values,
    pub(super) days: Days,
}

impl Calendar {
    /// `None` when no date can ever fit (30 February).
    pub(super) fn new(
        [seconds, minutes, hours, months]: [Values; 4],
        of_month: Selection,
        of_week: Selection,
    ) -> Option<Self> {
        let calendar = Self { seconds, minutes, hours, months, days: Days::new(of_month, of_week) };
        let exists = calendar.days.required_of_month().is_none_or(|days| {
            months.iter().any(|month| days.at_or_above(1).is_some_and(|day| day <= longest(month)))
        });
        exists.then_some(calendar)
    }

    /// Whether the hour field leaves nothing out; see the module's clock rule.
    pub(super) fn runs_every_hour(&self) -> bool {
        self.hours.is_all(Field::Hour)
    }

    /// The first named local time at or after `from`; `None` past the end of the
    /// calendar.
    pub(super) fn at_or_after(&self, from: NaiveDateTime) -> Option<NaiveDateTime> {
        let today = from.date();
        if self.has_date(today)
            && let Some(time) = self.time_at_or_after(from.time())
        {
            return Some(today.and_time(time));
        }
        let date = self.date_at_or_after(today.succ_opt()?)?;
        Some(date.and_time(self.time_at_or_after(NaiveTime::MIN)?))
    }

    fn has_date(&self, date: NaiveDate) -> bool {
        self.months.has(date.month()) && self.days.has(date)
    }

    fn date_at_or_after(&self, from: NaiveDate) -> Option<NaiveDate> {
        let last_year = from.year().saturating_add(CYCLE_YEARS);
        let mut date = from;
        while date.year() <= last_year {
            if !self.months.has(date.month()) {
                date = first_of_next_month(date)?;
            } else if self.days.has(date) {
                return Some(date);
            } else {
                date = date.succ_opt()?;
            }
        }
        None
    }

    fn time_at_or_after(&self, from: NaiveTime) -> Option<NaiveTime> {
        let hour = self.hours.at_or_above(from.hour())?;
        if hour == from.hour() {
            if self.minutes.has(from.minute())
                && let Some(second) = self.seconds.at_or_above(from.second())
            {
                return NaiveTime::from_hms_opt(hour, from.minute(), second);
            }
            if let Some(minute) = self.minutes.at_or_above(from.minute() + 1) {
                return NaiveTime::from_hms_opt(hour, minute, self.seconds.at_or_above(0)?);
            }
        }
        let hour = if hour == from.hour() { self.hours.at_or_above(hour + 1)? } else { hour };
        let minute = self.minutes.at_or_above(0)?;
        NaiveTime::from_hms_opt(hour, minute, self.seconds.at_or_above(0)?)
    }
}

/// Days of a month in a leap year.
pub(super) const fn longest(month: u32) -> u32 {
    match month {
        2 => 29,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

fn first_of_next_month(date: NaiveDate) -> Option<NaiveDate> {
    // Day 1 plus 31 days is in the next month whatever its length.
    date.with_day(1)?.checked_add_signed(TimeDelta::days(31))?.with_day(1)
}
