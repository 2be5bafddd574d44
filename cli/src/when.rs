//! Times and lengths of time as people type them.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

/// Reads `90s`, `250ms`, `5m`, `2h`, `7d`, or plain seconds.
///
/// # Errors
/// A sentence that says what may be written.
pub(crate) fn length(text: &str) -> Result<Duration, String> {
    let wrong = || format!("“{text}” is no length of time; write 250ms, 90s, 5m, 2h or 7d");
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let (number, unit) = text.split_at(digits);
    let number: u64 = number.parse().map_err(|_| wrong())?;
    let millis = match unit {
        "ms" => Some(number),
        "" | "s" => number.checked_mul(1_000),
        "m" | "min" => number.checked_mul(60_000),
        "h" => number.checked_mul(3_600_000),
        "d" => number.checked_mul(86_400_000),
        _ => None,
    };
    // A hundred years are enough, and far from where dates overflow.
    millis.filter(|millis| *millis <= 3_155_760_000_000).map(Duration::from_millis).ok_or_else(wrong)
}

/// Reads a moment in the past: RFC 3339, or how long ago (`2h`).
///
/// # Errors
/// A sentence that says what may be written.
pub(crate) fn past(text: &str) -> Result<DateTime<Utc>, String> {
    moment(text, -1)
}

/// Reads a moment in the future: RFC 3339, or in how long (`2h`).
///
/// # Errors
/// A sentence that says what may be written.
pub(crate) fn future(text: &str) -> Result<DateTime<Utc>, String> {
    moment(text, 1)
}

fn moment(text: &str, sign: i32) -> Result<DateTime<Utc>, String> {
    if let Ok(time) = DateTime::parse_from_rfc3339(text) {
        return Ok(time.to_utc());
    }
    let wrong =
        |_| format!("“{text}” is no time; write 2026-05-01T12:00:00Z, or a length such as 90s, 5m, 2h or 7d");
    let length = TimeDelta::from_std(length(text).map_err(wrong)?).map_err(|error| error.to_string())?;
    Ok(Utc::now() + length * sign)
}

/// A moment as tables show it.
pub(crate) fn shown(time: DateTime<Utc>) -> String {
    time.format("%Y-%m-%d %H:%M:%S").to_string()
}

/// The same, or a dash.
pub(crate) fn shown_or_dash(time: Option<DateTime<Utc>>) -> String {
    time.map_or_else(|| "-".into(), shown)
}

/// A length of time in its largest fitting unit: `850ms`, `12s`, `5m`, `3h`, `9d`.
pub(crate) fn short(length: Duration) -> String {
    let secs = length.as_secs();
    match secs {
        0 => format!("{}ms", length.as_millis()),
        1..=119 => format!("{secs}s"),
        120..=7_199 => format!("{}m", secs / 60),
        7_200..=172_799 => format!("{}h", secs / 3_600),
        _ => format!("{}d", secs / 86_400),
    }
}

/// How long ago a moment was; a dash for none, zero for one that lies ahead.
pub(crate) fn ago(time: Option<DateTime<Utc>>) -> String {
    time.map_or_else(|| "-".into(), |time| short((Utc::now() - time).to_std().unwrap_or_default()))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_read_and_shown() {
        for (text, secs, back) in
            [("90", 90, "90s"), ("5m", 300, "5m"), ("2h", 7200, "2h"), ("7d", 604_800, "7d")]
        {
            assert_eq!(length(text).unwrap(), Duration::from_secs(secs));
            assert_eq!(short(length(text).unwrap()), back);
        }
        assert_eq!(length("250ms").unwrap(), Duration::from_millis(250));
        for text in ["", "s", "-1s", "5 m", "5w", "99999999999999d", "1.5h"] {
            assert!(length(text).unwrap_err().contains("write 250ms"), "{text}");
        }
    }

    #[test]
    fn moments_are_absolute_or_relative() {
        assert_eq!(past("2026-05-01T12:00:00+02:00").unwrap().to_rfc3339(), "2026-05-01T10:00:00+00:00");
        assert!(past("1h").unwrap() < Utc::now() && future("1h").unwrap() > Utc::now());
        assert!(past("yesterday").unwrap_err().contains("2026-05-01T12:00:00Z"));
    }
}
