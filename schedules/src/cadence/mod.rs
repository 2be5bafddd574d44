//! When a schedule ticks: cron expressions, time zones, missed ticks, jitter
//! and a sentence for people.
//!
//! Everything here is pure. The caller says what time it is; nothing here reads
//! a clock, a database or a random source, so any number of scheduler processes
//! come to the same answer. This module refuses to know what a tick starts, who
//! owns it or whether it was started already.
//!
//! # The rule for clocks that change
//!
//! An expression is read against the wall clock of its zone.
//!
//! * **It names hours** (the hour field leaves at least one hour out: `30 2 * * *`,
//!   `*/15 9-17 * * *`, `0 */2 * * *`). Each local time it names fires once, at
//!   the first instant the wall clock gets to or past it. So a time inside the
//!   spring gap fires at the first instant after the gap, together with every
//!   other time that was lost there (one tick, not several), and a time that
//!   autumn repeats fires on its first showing only.
//! * **It runs in every hour** (`* * * * *`, `*/15 * * * *`, `30 * * * *`; `0-23`
//!   is the same as `*`). It fires at each real instant whose local reading fits:
//!   nothing is made up for the hour that spring removes, and the hour that
//!   autumn repeats ticks in both showings. Where clocks move by half an hour
//!   (`Australia/Lord_Howe`), `0 * * * *` follows the wall clock, so that one
//!   step is an hour and a half long.
//! * **`@every`** counts real seconds from 1970-01-01 00:00 UTC and has no
//!   relation to any wall clock.
//!
//! # Days
//!
//! As in POSIX and cron: with both day fields restricted, a day that fits
//! *either* is a day. As soon as one of the two holds a `*` (`*` or `*/2`), both
//! must fit.
//!
//! # Why no cron crate
//!
//! Two were tried. `cron` 0.17 takes no five-field expressions, numbers Sunday
//! 1, joins the two day fields with *and*, drops `30 2 * * *` on the day it does
//! not exist and fires it twice in autumn. `croner` 4.0 has POSIX days, but treats
//! only a single second, minute and hour as a fixed time: `0 2,14 * * *` loses its
//! 02:00 in spring and fires it twice in autumn, and a gap longer than two hours
//! is an error (`Pacific/Apia` once skipped a day). For money, twice is the wrong
//! answer. Both hide the parsed fields, which the sentence and the error messages
//! need. What is left to a crate is the hard part, the zone database (`chrono-tz`).

mod calendar;
mod catch_up;
mod expression;
mod field;
mod interval;
mod jitter;
mod ticks;
mod words;
mod zone;

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests;

pub use catch_up::{
    CatchUp, DEFAULT_CAP, DEFAULT_GRACE, Decision, MAX_CAP, Skipped, UnknownCatchUp, catch_up,
};
pub use expression::{Expression, ExpressionError, MAX_LENGTH};
pub use field::Field;
pub use jitter::jitter;
pub use ticks::{Cadence, CadenceError, Ticks};
pub use zone::{UnknownZone, parse_zone};
