//! A plain English sentence for a cadence, for previews. It says nothing that is
//! not so: a pattern it has no exact words for is listed field by field.

use super::calendar::{Calendar, Days, longest};
use super::expression::Form;
use super::field::{Field, Values};
use super::interval::Interval;
use super::ticks::Cadence;

/// More times of day than this are not listed one by one.
const MOST_TIMES: u32 = 12;

const MONTHS: [&str; 13] = [
    "",
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
const WEEKDAYS: [&str; 7] = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];

impl Cadence {
    /// The cadence as a sentence without a full stop, such as
    /// `every day at 02:30, Europe/Madrid`.
    #[must_use]
    pub fn describe(&self) -> String {
        match self.expression().form() {
            Form::Every(interval) => interval_words(*interval),
            Form::Calendar(calendar) => {
                let sentence = sentence(calendar).unwrap_or_else(|| listed(calendar));
                format!("{sentence}, {}", self.zone().name())
            }
        }
    }
}

/// How the time of day reads in a sentence.
enum Time {
    /// `at 02:30`: follows the day.
    At(String),
    /// `every 15 minutes`: precedes the day.
    Every(String),
}

fn sentence(calendar: &Calendar) -> Option<String> {
    let days = day_words(calendar)?;
    Some(match time_words(calendar)? {
        Time::At(times) => format!("{days} {times}"),
        Time::Every(often) if days == "every day" && calendar.runs_every_hour() => often,
        Time::Every(often) => format!("{often}, {days}"),
    })
}

fn time_words(calendar: &Calendar) -> Option<Time> {
    let Calendar { seconds, minutes, hours, .. } = *calendar;
    if !calendar.runs_every_hour() && seconds.len() * minutes.len() * hours.len() <= MOST_TIMES {
        return Some(Time::At(format!("at {}", clock_times(calendar))));
    }
    if seconds != Values::one(0) {
        let any_minute = calendar.runs_every_hour() && minutes.is_all(Field::Minute);
        return any_minute.then(|| within("second", "minute", seconds)).flatten().map(Time::Every);
    }
    let often = within("minute", "hour", minutes)?;
    if calendar.runs_every_hour() {
        return Some(Time::Every(often));
    }
    let (first, last) = run(hours)?;
    let from = minutes.at_or_above(0)?;
    let to = minutes.iter().last()?;
    Some(Time::Every(format!("{often} from {first:02}:{from:02} to {last:02}:{to:02}")))
}

/// `every 15 minutes`, `every hour at minute 5`: a set of minutes of any hour, or
/// of seconds of any minute.
fn within(unit: &str, whole: &str, values: Values) -> Option<String> {
    let first = values.at_or_above(0)?;
    let all = 60 / values.len();
    // Even steps from zero that also fit over the end of the hour.
    if all * values.len() == 60 && values.len() > 1 && values == Values::stepped(0, 59, all) {
        return Some(match all {
            1 => format!("every {unit}"),
            step => format!("every {step} {unit}s"),
        });
    }
    if values.len() > MOST_TIMES {
        return None;
    }
    let plural = if values.len() == 1 { "" } else { "s" };
    Some(match (unit, first, values.len()) {
        ("minute", 0, 1) => format!("every {whole} on the {whole}"),
        _ => format!(
            "every {whole} at {unit}{plural} {}",
            join(values.iter().map(|value| value.to_string()), "and")
        ),
    })
}

fn clock_times(calendar: &Calendar) -> String {
    let with_seconds = calendar.seconds != Values::one(0);
    let times = calendar.hours.iter().flat_map(|hour| {
        calendar.minutes.iter().flat_map(move |minute| {
            calendar.seconds.iter().map(move |second| {
                if with_seconds {
                    format!("{hour:02}:{minute:02}:{second:02}")
                } else {
                    format!("{hour:02}:{minute:02}")
                }
            })
        })
    });
    join(times, "and")
}

fn day_words(calendar: &Calendar) -> Option<String> {
    let any_month = calendar.months.is_all(Field::Month);
    let in_months = if any_month { String::new() } else { format!(" in {}", month_names(calendar.months)) };
    match calendar.days {
        Days::Every => Some(format!("every day{in_months}")),
        Days::OfWeek(of_week) => Some(format!("{}{in_months}", week_words(of_week))),
        Days::OfMonth(of_month) => Some(month_words(of_month, calendar.months)),
        Days::Either { of_month, of_week } => Some(format!(
            "{} and also {}{in_months}",
            month_words(of_month, calendar.months),
            week_words(of_week)
        )),
        // People read "Friday the 13th" out of any wording of this.
        Days::Both { .. } => None,
    }
}

fn week_words(of_week: Values) -> String {
    // Weeks are read from Monday.
    let days: Vec<u32> = (1..=6).chain([0]).filter(|day| of_week.has(*day)).collect();
    let positions = |day: &u32| (day + 6) % 7;
    match (days.first(), days.last()) {
        (Some(first), Some(last))
            if days.len() > 2
                && usize::try_from(positions(last) - positions(first)) == Ok(days.len() - 1) =>
        {
            format!("every day from {} to {}", weekday(*first), weekday(*last))
        }
        _ => format!("every {}", join(days.iter().map(|day| weekday(*day).to_owned()), "and")),
    }
}

fn month_words(of_month: Values, months: Values) -> String {
    let days = match run(of_month) {
        Some((first, last)) if last > first + 1 => {
            format!("every day from the {} to the {}", ordinal(first), ordinal(last))
        }
        _ => format!("on the {}", join(of_month.iter().map(ordinal), "and")),
    };
    let whose = if months.is_all(Field::Month) { "every month".to_owned() } else { month_names(months) };
    let note = if months == Values::one(2) && of_month == Values::one(29) {
        " (leap years only)"
    } else if some_month_lacks(of_month, months) {
        " (a month that lacks a day skips it)"
    } else {
        ""
    };
    format!("{days} of {whose}{note}")
}

fn some_month_lacks(of_month: Values, months: Values) -> bool {
    let latest = of_month.iter().last().unwrap_or(0);
    months.iter().any(|month| {
        let shortest = if month == 2 { 28 } else { longest(month) };
        latest > shortest
    })
}

/// Every field in turn, for patterns without a sentence.
fn listed(calendar: &Calendar) -> String {
    let values = |field: Field, values: Values| {
        if values.is_all(field) {
            format!("any {field}")
        } else {
            format!("{field} {}", join(values.iter().map(|value| value.to_string()), "or"))
        }
    };
    let months = if calendar.months.is_all(Field::Month) {
        "any month".to_owned()
    } else {
        format!("month {}", names(calendar.months, month, "or"))
    };
    let of_month = |days: Values| values(Field::DayOfMonth, days);
    let of_week = |days: Values| format!("day of week {}", names(days, weekday, "or"));
    let days = match calendar.days {
        Days::Every => "any day".to_owned(),
        Days::OfMonth(days) => of_month(days),
        Days::OfWeek(days) => of_week(days),
        Days::Either { of_month: m, of_week: w } => {
            format!("either {} or {} (one is enough)", of_month(m), of_week(w))
        }
        Days::Both { of_month: m, of_week: w } => {
            format!("{} and also {} (both must fit)", of_month(m), of_week(w))
        }
    };
    format!(
        "whenever all of these fit: {}; {}; {}; {days}; {months}",
        values(Field::Second, calendar.seconds),
        values(Field::Minute, calendar.minutes),
        values(Field::Hour, calendar.hours),
    )
}

fn interval_words(interval: Interval) -> String {
    let seconds = interval.seconds();
    let parts: Vec<(u32, &str)> = [
        (seconds / 86_400, "day"),
        (seconds / 3600 % 24, "hour"),
        (seconds / 60 % 60, "minute"),
        (seconds % 60, "second"),
    ]
    .into_iter()
    .filter(|(count, _)| *count > 0)
    .collect();
    let often = match parts.as_slice() {
        [(1, unit)] => (*unit).to_owned(),
        parts => join(
            parts.iter().map(|(count, unit)| {
                let plural = if *count == 1 { "" } else { "s" };
                format!("{count} {unit}{plural}")
            }),
            "and",
        ),
    };
    format!("every {often}, counted from 1970-01-01 00:00 UTC")
}

/// First and last value of a set without holes.
fn run(values: Values) -> Option<(u32, u32)> {
    let first = values.at_or_above(0)?;
    let last = values.iter().last()?;
    (last - first + 1 == values.len()).then_some((first, last))
}

fn month(number: u32) -> &'static str {
    name_of(&MONTHS, number)
}

fn weekday(number: u32) -> &'static str {
    name_of(&WEEKDAYS, number)
}

fn name_of(names: &[&'static str], number: u32) -> &'static str {
    usize::try_from(number).ok().and_then(|index| names.get(index).copied()).unwrap_or_default()
}

fn month_names(months: Values) -> String {
    names(months, month, "and")
}

fn names(values: Values, name: fn(u32) -> &'static str, last: &str) -> String {
    join(values.iter().map(|value| name(value).to_owned()), last)
}

fn ordinal(number: u32) -> String {
    let ending = match (number % 10, number % 100) {
        (_, 11..=13) => "th",
        (1, _) => "st",
        (2, _) => "nd",
        (3, _) => "rd",
        _ => "th",
    };
    format!("{number}{ending}")
}

/// `a`, `a and b`, `a, b and c`.
fn join(items: impl Iterator<Item = String>, last: &str) -> String {
    let items: Vec<String> = items.collect();
    match items.split_last() {
        Some((end, rest)) if !rest.is_empty() => format!("{} {last} {end}", rest.join(", ")),
        _ => items.concat(),
    }
}
