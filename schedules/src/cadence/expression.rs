//! A cron expression as people write it, parsed and kept with its source text.
//! It refuses what cron programs read differently (`?`, `L`, `5/15`, wrapping
//! ranges) and dates that never come, with an error that says what to write.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::calendar::Calendar;
use super::field::{self, Field, Values};
use super::interval::Interval;

/// The longest source text, in bytes.
pub const MAX_LENGTH: usize = 256;

const MACROS: &str = "@hourly, @daily, @weekly, @monthly, @yearly, or @every with an interval (@every 90s)";

/// Why a text is no expression. `Display` is fit to show to whoever wrote it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ExpressionError {
    /// Nothing but white space.
    #[error(
        "the cron expression is empty; write five fields (minute hour day-of-month month \
         day-of-week) such as `30 2 * * *`, or {MACROS}"
    )]
    Empty,
    /// Longer than [`MAX_LENGTH`] bytes.
    #[error("the cron expression has {length} bytes; at most {MAX_LENGTH} are read")]
    TooLong {
        /// Bytes given.
        length: usize,
    },
    /// Neither five nor six fields.
    #[error(
        "a cron expression has 5 fields (minute hour day-of-month month day-of-week) or 6 with \
         seconds first; this one has {found}{hint}"
    )]
    FieldCount {
        /// Fields given.
        found: usize,
        /// What the writer may have meant, or nothing.
        hint: &'static str,
    },
    /// One field cannot be read.
    #[error("{field} `{text}`: {reason}; allowed: {}", field.allowed())]
    Field {
        /// Which field.
        field: Field,
        /// The field as written.
        text: String,
        /// What is wrong with it.
        reason: String,
    },
    /// An `@word` that is not known.
    #[error("`{text}` is not known; allowed: {MACROS}")]
    UnknownMacro {
        /// The word as written.
        text: String,
    },
    /// An `@every` whose interval cannot be used.
    #[error(
        "@every `{text}`: {reason}; allowed: whole numbers with s, m, h or d, from 1s to 366d \
         (90s, 1h30m)"
    )]
    Interval {
        /// The interval as written.
        text: String,
        /// What is wrong with it.
        reason: String,
    },
    /// Well formed, but no such date exists.
    #[error(
        "this never fires: day of month `{day_of_month}` does not exist in month `{month}`; \
         change one of the two"
    )]
    NeverFires {
        /// The day-of-month field as written.
        day_of_month: String,
        /// The month field as written.
        month: String,
    },
}

/// A parsed cron expression. Two are equal when their texts are.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Expression {
    source: String,
    form: Form,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Form {
    Calendar(Calendar),
    Every(Interval),
}

impl Expression {
    /// Reads five fields, six fields with seconds first, a macro (`@daily`) or an
    /// interval (`@every 90s`).
    ///
    /// # Errors
    /// Names the field at fault and what it allows; see [`ExpressionError`].
    pub fn parse(text: &str) -> Result<Self, ExpressionError> {
        let source = text.trim();
        if source.is_empty() {
            return Err(ExpressionError::Empty);
        }
        if source.len() > MAX_LENGTH {
            return Err(ExpressionError::TooLong { length: source.len() });
        }
        let form = if source.starts_with('@') { parse_macro(source)? } else { parse_fields(source)? };
        Ok(Self { source: source.to_owned(), form })
    }

    /// The text as it was written, without surrounding white space.
    #[must_use]
    pub fn source(&self) -> &str {
        &self.source
    }

    /// The interval of an `@every` expression.
    #[must_use]
    pub fn interval(&self) -> Option<Duration> {
        match self.form {
            Form::Every(interval) => Some(Duration::from_secs(interval.seconds().into())),
            Form::Calendar(_) => None,
        }
    }

    pub(super) const fn form(&self) -> &Form {
        &self.form
    }
}

impl fmt::Display for Expression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.source)
    }
}

impl FromStr for Expression {
    type Err = ExpressionError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text)
    }
}

impl TryFrom<String> for Expression {
    type Error = ExpressionError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::parse(&text)
    }
}

impl From<Expression> for String {
    fn from(expression: Expression) -> Self {
        expression.source
    }
}

fn parse_macro(source: &str) -> Result<Form, ExpressionError> {
    let (word, rest) =
        source.split_once(char::is_whitespace).map_or((source, ""), |(word, rest)| (word, rest.trim()));
    let word = word.to_ascii_lowercase();
    if word == "@every" {
        return Interval::parse(rest)
            .map(Form::Every)
            .map_err(|reason| ExpressionError::Interval { text: rest.to_owned(), reason });
    }
    let fields = match word.as_str() {
        "@hourly" => "0 * * * *",
        "@daily" | "@midnight" => "0 0 * * *",
        "@weekly" => "0 0 * * 0",
        "@monthly" => "0 0 1 * *",
        "@yearly" | "@annually" => "0 0 1 1 *",
        _ => "",
    };
    if fields.is_empty() || !rest.is_empty() {
        return Err(ExpressionError::UnknownMacro { text: source.to_owned() });
    }
    parse_fields(fields)
}

fn parse_fields(source: &str) -> Result<Form, ExpressionError> {
    let texts: Vec<&str> = source.split_whitespace().collect();
    let (second, [minute, hour, day_of_month, month, day_of_week]) = match texts.as_slice() {
        [minute, hour, dom, month, dow] => (None, [*minute, *hour, *dom, *month, *dow]),
        [second, minute, hour, dom, month, dow] => (Some(*second), [*minute, *hour, *dom, *month, *dow]),
        _ => {
            let hint = if source.contains('=') {
                " (a time zone is set on the schedule, not in the expression)"
            } else if texts.len() == 7 {
                " (years are not read)"
            } else {
                ""
            };
            return Err(ExpressionError::FieldCount { found: texts.len(), hint });
        }
    };
    let read = |field: Field, text: &str| {
        field::parse(field, text).map_err(|reason| ExpressionError::Field {
            field,
            text: text.to_owned(),
            reason,
        })
    };
    let seconds = match second {
        Some(text) => read(Field::Second, text)?.values,
        None => Values::one(0),
    };
    let times = [seconds, read(Field::Minute, minute)?.values, read(Field::Hour, hour)?.values];
    let of_month = read(Field::DayOfMonth, day_of_month)?;
    let months = read(Field::Month, month)?.values;
    let of_week = read(Field::DayOfWeek, day_of_week)?;
    let [seconds, minutes, hours] = times;
    Calendar::new([seconds, minutes, hours, months], of_month, of_week).map(Form::Calendar).ok_or_else(|| {
        ExpressionError::NeverFires { day_of_month: day_of_month.to_owned(), month: month.to_owned() }
    })
}
