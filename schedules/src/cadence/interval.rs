//! `@every` intervals: whole seconds counted from the epoch, so that every
//! scheduler finds the same ticks without remembering when a schedule began.

use chrono::{DateTime, Utc};

/// The longest interval, in seconds: 366 days.
const MAX_SECONDS: u64 = 366 * 24 * 3600;

/// From 1 second to 366 days.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Interval {
    seconds: u32,
}

impl Interval {
    /// Reads `90s`, `5m`, `1h30m`, `2d`; each unit at most once, longest first.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let compact: String = text.split_whitespace().collect();
        let mut rest = compact.as_str();
        let mut total: u64 = 0;
        let mut last_unit = u64::MAX;
        if rest.is_empty() {
            return Err("the interval is missing".to_owned());
        }
        while !rest.is_empty() {
            let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
            let (number, tail) = rest.split_at(digits);
            let unit_length = tail.bytes().take_while(|byte| byte.is_ascii_alphabetic()).count();
            let (unit, tail) = tail.split_at(unit_length);
            let unit = match unit.to_ascii_lowercase().as_str() {
                "s" => 1,
                "m" => 60,
                "h" => 3600,
                "d" => 86_400,
                _ => return Err(format!("`{rest}` is not a number with a unit s, m, h or d")),
            };
            let number: u64 =
                number.parse().map_err(|_| format!("`{rest}` does not start with a whole number"))?;
            if unit >= last_unit {
                return Err("write each unit once, the longest first".to_owned());
            }
            last_unit = unit;
            total = total.saturating_add(number.saturating_mul(unit));
            rest = tail;
        }
        match u32::try_from(total) {
            Ok(0) => Err("it is shorter than 1 second".to_owned()),
            Ok(seconds) if total <= MAX_SECONDS => Ok(Self { seconds }),
            _ => Err("it is longer than 366 days".to_owned()),
        }
    }

    pub(super) const fn seconds(self) -> u32 {
        self.seconds
    }

    /// The first multiple of the interval after `after`.
    pub(super) fn next_after(self, after: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let length = i64::from(self.seconds);
        let next = after.timestamp().div_euclid(length).checked_add(1)?.checked_mul(length)?;
        DateTime::from_timestamp(next, 0)
    }
}
