//! One cron field: its range, its names and the values a text selects.
//! It refuses to know about other fields or about dates.

use std::fmt;

/// A position in a cron expression.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Field {
    /// 0–59; only in six-field expressions.
    Second,
    /// 0–59.
    Minute,
    /// 0–23.
    Hour,
    /// 1–31.
    DayOfMonth,
    /// 1–12 or `jan`–`dec`.
    Month,
    /// 0–7 or `sun`–`sat`; 0 and 7 are both Sunday.
    DayOfWeek,
}

const MONTHS: [&str; 12] =
    ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
const WEEKDAYS: [&str; 7] = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];

impl Field {
    /// What people call the field, in lower case.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Second => "second",
            Self::Minute => "minute",
            Self::Hour => "hour",
            Self::DayOfMonth => "day of month",
            Self::Month => "month",
            Self::DayOfWeek => "day of week",
        }
    }

    /// What may be written in the field, for error messages.
    #[must_use]
    pub const fn allowed(self) -> &'static str {
        match self {
            Self::Second | Self::Minute => "0-59, *, lists (0,30), ranges (10-20), steps (*/15)",
            Self::Hour => "0-23, *, lists (9,17), ranges (9-17), steps (*/2)",
            Self::DayOfMonth => "1-31, *, lists (1,15), ranges (1-7), steps (*/2)",
            Self::Month => "1-12 or jan-dec, *, lists (1,7), ranges (jan-mar), steps (*/3)",
            Self::DayOfWeek => "0-7 (0 and 7 are Sunday) or sun-sat, *, lists (mon,thu), ranges (mon-fri)",
        }
    }

    pub(super) const fn min(self) -> u32 {
        match self {
            Self::DayOfMonth | Self::Month => 1,
            _ => 0,
        }
    }

    /// The largest value a set holds; day-of-week 7 is folded into 0.
    pub(super) const fn max(self) -> u32 {
        match self {
            Self::Second | Self::Minute => 59,
            Self::Hour => 23,
            Self::DayOfMonth => 31,
            Self::Month => 12,
            Self::DayOfWeek => 6,
        }
    }

    /// The largest number that may be written.
    const fn max_written(self) -> u32 {
        match self {
            Self::DayOfWeek => 7,
            _ => self.max(),
        }
    }

    fn named(self, text: &str) -> Option<u32> {
        let (names, first): (&[&str], u32) = match self {
            Self::Month => (&MONTHS, 1),
            Self::DayOfWeek => (&WEEKDAYS, 0),
            _ => return None,
        };
        names.iter().zip(first..).find_map(|(name, value)| name.eq_ignore_ascii_case(text).then_some(value))
    }
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A set of small numbers, one bit each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Values(u64);

impl Values {
    pub(super) const fn one(value: u32) -> Self {
        Self(1 << value)
    }

    pub(super) fn all(field: Field) -> Self {
        Self::stepped(field.min(), field.max(), 1)
    }

    pub(super) fn stepped(from: u32, to: u32, step: u32) -> Self {
        let step = usize::try_from(step.max(1)).unwrap_or(usize::MAX);
        Self((from..=to).step_by(step).fold(0, |mask, value| mask | 1 << value))
    }

    pub(super) const fn has(self, value: u32) -> bool {
        self.0 >> value & 1 == 1
    }

    pub(super) fn is_all(self, field: Field) -> bool {
        self == Self::all(field)
    }

    pub(super) const fn len(self) -> u32 {
        self.0.count_ones()
    }

    /// The smallest value at or above `from`.
    pub(super) const fn at_or_above(self, from: u32) -> Option<u32> {
        if from >= u64::BITS {
            return None;
        }
        let rest = self.0 >> from << from;
        if rest == 0 { None } else { Some(rest.trailing_zeros()) }
    }

    pub(super) fn iter(self) -> impl Iterator<Item = u32> + Clone {
        (0..u64::BITS).filter(move |value| self.has(*value))
    }
}

/// What one field's text selects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Selection {
    pub(super) values: Values,
    /// The text holds a `*`; decides how the two day fields combine.
    pub(super) starred: bool,
}

/// Reads one field. The error is the reason alone; the caller adds which field
/// and text it is about.
pub(super) fn parse(field: Field, text: &str) -> Result<Selection, String> {
    let mut mask = 0;
    let mut starred = false;
    for item in text.split(',') {
        if item.is_empty() {
            return Err("has an empty entry; remove the extra comma".to_owned());
        }
        starred |= item.starts_with('*');
        mask |= parse_item(field, item)?.0;
    }
    Ok(Selection { values: Values(mask), starred })
}

fn parse_item(field: Field, item: &str) -> Result<Values, String> {
    let (base, step) = match item.split_once('/') {
        Some((base, step)) => (base, Some(step)),
        None => (item, None),
    };
    let (from, to) = if base == "*" {
        (field.min(), field.max())
    } else if let Some((from, to)) = base.split_once('-') {
        let (mut from, mut to) = (parse_value(field, from)?, parse_value(field, to)?);
        if field == Field::DayOfWeek {
            // Sunday is whichever end of the week makes the range run forwards:
            // `fri-sun`, `7-2`.
            if to == 0 && from > 0 {
                to = 7;
            } else if from == 7 && to < 7 {
                from = 0;
            }
        }
        if from > to {
            let last = field.max();
            let first = field.min();
            return Err(format!(
                "`{base}` ends before it starts; write it as two ranges, {from}-{last},{first}-{to}"
            ));
        }
        (from, to)
    } else {
        let value = parse_value(field, base)?;
        if step.is_some() {
            let last = field.max();
            return Err(format!(
                "a step needs `*` or a range before it; write {value}-{last}/n to start at {value}"
            ));
        }
        (value, value)
    };
    let step = step.map_or(Ok(1), |step| parse_step(step, from, to))?;
    let mut values = Values::stepped(from, to, step);
    if field == Field::DayOfWeek && values.has(7) {
        values = Values((values.0 | 1) & !(1 << 7));
    }
    Ok(values)
}

fn parse_step(text: &str, from: u32, to: u32) -> Result<u32, String> {
    let most = (to - from).max(1);
    match number(text) {
        Some(step) if (1..=most).contains(&step) => Ok(step),
        // `*/90` in the minute field runs once an hour wherever it is accepted;
        // nobody who writes it means that.
        Some(step) if step > most => Err(format!(
            "the step {step} is longer than the range {from}-{to}, so it would never be taken; \
             steps from 1 to {most} fit, and `@every` takes any interval"
        )),
        _ => Err(format!("`{text}` is not a step; write a whole number from 1 to {most}")),
    }
}

fn parse_value(field: Field, text: &str) -> Result<u32, String> {
    if let Some(value) = number(text).or_else(|| field.named(text)) {
        return if (field.min()..=field.max_written()).contains(&value) {
            Ok(value)
        } else {
            Err(format!("{value} is out of range"))
        };
    }
    // Schedulers that know these also number Sunday 1; reading them half right
    // would run work on the wrong day.
    if text.contains(['?', 'L', 'W', '#']) {
        return Err(format!("`{text}` is not standard cron (`?`, `L`, `W` and `#` are not read here)"));
    }
    if text.is_empty() {
        return Err("a number is missing".to_owned());
    }
    Err(format!("`{text}` is not a value of this field"))
}

/// Plain decimal digits; refuses signs and values that no field has.
fn number(text: &str) -> Option<u32> {
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    Some(text.parse().unwrap_or(u32::MAX))
}
