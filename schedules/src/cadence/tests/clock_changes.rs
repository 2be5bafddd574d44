//! The clock rule in tables: gaps, repeats, odd offsets, leap years.

use chrono::TimeDelta;

use super::{cadence, readings, utc};

/// Expression, zone, UTC instant, and what the wall clock shows at the next ticks.
type Row = (&'static str, &'static str, &'static str, &'static [&'static str]);

fn check(table: &[Row]) {
    for (expression, zone, after, expected) in table {
        assert_eq!(
            readings(expression, zone, after, expected.len()),
            *expected,
            "{expression} in {zone} after {after}"
        );
    }
}

#[test]
fn named_hours_in_the_spring_gap_fire_once_at_its_end() {
    check(&[
        // 2026-03-29 02:00 becomes 03:00.
        (
            "30 2 * * *",
            "Europe/Madrid",
            "2026-03-28T12:00",
            &["2026-03-29 03:00+02:00", "2026-03-30 02:30+02:00"],
        ),
        ("0 2 * * *", "Europe/Madrid", "2026-03-28T12:00", &["2026-03-29 03:00+02:00"]),
        (
            "0,30 2,3 * * *",
            "Europe/Madrid",
            "2026-03-28T12:00",
            &["2026-03-29 03:00+02:00", "2026-03-29 03:30+02:00", "2026-03-30 02:00+02:00"],
        ),
        (
            "0 2,14 * * *",
            "Europe/Madrid",
            "2026-03-28T14:00",
            &["2026-03-29 03:00+02:00", "2026-03-29 14:00+02:00"],
        ),
        (
            "0 */2 * * *",
            "Europe/Madrid",
            "2026-03-28T22:30",
            &["2026-03-29 00:00+01:00", "2026-03-29 03:00+02:00", "2026-03-29 04:00+02:00"],
        ),
        // Asked from within: the gap's end itself is not after itself.
        ("30 2 * * *", "Europe/Madrid", "2026-03-29T00:59:59Z", &["2026-03-29 03:00+02:00"]),
        ("30 2 * * *", "Europe/Madrid", "2026-03-29T01:00", &["2026-03-30 02:30+02:00"]),
        (
            "30 2 * * *",
            "America/New_York",
            "2026-03-08T05:00",
            &["2026-03-08 03:00-04:00", "2026-03-09 02:30-04:00"],
        ),
        // 02:00 becomes 02:30.
        (
            "15 2 * * *",
            "Australia/Lord_Howe",
            "2026-10-03T13:00",
            &["2026-10-04 02:30+11:00", "2026-10-05 02:15+11:00"],
        ),
        ("45 2 * * *", "Australia/Lord_Howe", "2026-10-03T13:00", &["2026-10-04 02:45+11:00"]),
        // Forward after Ramadan.
        (
            "30 2 * * *",
            "Africa/Casablanca",
            "2026-03-21T12:00",
            &["2026-03-22 03:00+01:00", "2026-03-23 02:30+01:00"],
        ),
        // Midnight itself is missing.
        (
            "0 0 * * *",
            "Africa/Cairo",
            "2026-04-23T12:00",
            &["2026-04-24 01:00+03:00", "2026-04-25 00:00+03:00"],
        ),
        // A whole day is missing: 30 December 2011.
        (
            "0 9 * * *",
            "Pacific/Apia",
            "2011-12-29T12:00",
            &["2011-12-29 09:00-10:00", "2011-12-31 00:00+14:00", "2011-12-31 09:00+14:00"],
        ),
    ]);
}

#[test]
fn named_hours_that_autumn_repeats_fire_on_the_first_showing() {
    check(&[
        // 2026-10-25 03:00 becomes 02:00.
        (
            "30 2 * * *",
            "Europe/Madrid",
            "2026-10-24T12:00",
            &["2026-10-25 02:30+02:00", "2026-10-26 02:30+01:00"],
        ),
        ("0 3 * * *", "Europe/Madrid", "2026-10-24T12:00", &["2026-10-25 03:00+01:00"]),
        (
            "*/30 2,3 * * *",
            "Europe/Madrid",
            "2026-10-24T12:00",
            &[
                "2026-10-25 02:00+02:00",
                "2026-10-25 02:30+02:00",
                "2026-10-25 03:00+01:00",
                "2026-10-25 03:30+01:00",
            ],
        ),
        // Asked during the second showing.
        ("45 2 * * *", "Europe/Madrid", "2026-10-25T01:10", &["2026-10-26 02:45+01:00"]),
        ("* 2 * * *", "Europe/Madrid", "2026-10-25T01:10", &["2026-10-26 02:00+01:00"]),
        (
            "30 1 * * *",
            "America/New_York",
            "2026-10-31T12:00",
            &["2026-11-01 01:30-04:00", "2026-11-02 01:30-05:00"],
        ),
        // 02:00 becomes 01:30.
        (
            "45 1 * * *",
            "Australia/Lord_Howe",
            "2026-04-04T12:00",
            &["2026-04-05 01:45+11:00", "2026-04-06 01:45+10:30"],
        ),
        ("0 2 * * *", "Australia/Lord_Howe", "2026-04-04T12:00", &["2026-04-05 02:00+10:30"]),
        (
            "30 2 * * *",
            "Africa/Casablanca",
            "2026-02-14T12:00",
            &["2026-02-15 02:30+01:00", "2026-02-16 02:30+00:00"],
        ),
    ]);
}

#[test]
fn every_hour_keeps_firing_in_real_time() {
    check(&[
        (
            "0 * * * *",
            "Europe/Madrid",
            "2026-03-29T00:00",
            &["2026-03-29 03:00+02:00", "2026-03-29 04:00+02:00"],
        ),
        (
            "30 * * * *",
            "Europe/Madrid",
            "2026-03-29T00:00",
            &["2026-03-29 01:30+01:00", "2026-03-29 03:30+02:00"],
        ),
        (
            "30 * * * *",
            "Europe/Madrid",
            "2026-10-25T00:00",
            &["2026-10-25 02:30+02:00", "2026-10-25 02:30+01:00", "2026-10-25 03:30+01:00"],
        ),
        (
            "*/20 * * * *",
            "America/New_York",
            "2026-11-01T05:30",
            &["2026-11-01 01:40-04:00", "2026-11-01 01:00-05:00", "2026-11-01 01:20-05:00"],
        ),
        // The one place where an hour is not an hour; see the rule.
        (
            "0 * * * *",
            "Australia/Lord_Howe",
            "2026-10-03T14:00",
            &["2026-10-04 01:00+10:30", "2026-10-04 03:00+11:00"],
        ),
        (
            "*/15 * * * *",
            "Australia/Lord_Howe",
            "2026-04-04T14:40",
            &[
                "2026-04-05 01:45+11:00",
                "2026-04-05 01:30+10:30",
                "2026-04-05 01:45+10:30",
                "2026-04-05 02:00+10:30",
            ],
        ),
        (
            "0 * * * *",
            "Asia/Kathmandu",
            "2026-05-01T00:00",
            &["2026-05-01 06:00+05:45", "2026-05-01 07:00+05:45"],
        ),
    ]);
    for (start, zone) in [
        ("2026-03-29T00:00", "Europe/Madrid"),
        ("2026-10-24T23:00", "Europe/Madrid"),
        ("2026-04-04T13:00", "Australia/Lord_Howe"),
    ] {
        let minutes = cadence("* * * * *", zone).next_ticks(utc(start), 240);
        assert_eq!(*minutes.last().unwrap() - utc(start), TimeDelta::minutes(240), "{zone}");
    }
}

#[test]
fn offsets_with_minutes() {
    check(&[
        ("30 9 * * *", "Asia/Kathmandu", "2026-05-01T00:00", &["2026-05-01 09:30+05:45"]),
        ("0 0 * * *", "Asia/Kathmandu", "2026-05-01T18:14", &["2026-05-02 00:00+05:45"]),
        ("0 0 * * *", "Asia/Kathmandu", "2026-05-01T18:15", &["2026-05-03 00:00+05:45"]),
    ]);
}

#[test]
fn days_and_leap_years() {
    check(&[
        (
            "0 12 29 2 *",
            "Europe/Madrid",
            "2026-01-01T00:00",
            &["2028-02-29 12:00+01:00", "2032-02-29 12:00+01:00"],
        ),
        // 2100 is no leap year.
        ("0 12 29 2 *", "UTC", "2096-03-01T00:00", &["2104-02-29 12:00+00:00"]),
        ("0 0 31 * *", "UTC", "2026-01-31T00:00", &["2026-03-31 00:00+00:00", "2026-05-31 00:00+00:00"]),
        // Both day fields set: either will do. The 13th is a Tuesday.
        (
            "0 9 13 1 5",
            "UTC",
            "2026-01-08T00:00",
            &["2026-01-09 09:00+00:00", "2026-01-13 09:00+00:00", "2026-01-16 09:00+00:00"],
        ),
        // With a `*` in one of them, both must fit: odd days that are Mondays.
        ("0 9 */2 1 1", "UTC", "2026-01-01T00:00", &["2026-01-05 09:00+00:00", "2026-01-19 09:00+00:00"]),
        (
            "0 9 13 * */5",
            "UTC",
            "2026-01-01T00:00",
            &["2026-02-13 09:00+00:00", "2026-03-13 09:00+00:00", "2026-09-13 09:00+00:00"],
        ),
        // The rarest there is: 29 February on a Sunday.
        ("0 0 29 2 */6,0", "UTC", "2026-01-01T00:00", &["2032-02-29 00:00+00:00"]),
    ]);
}

#[test]
fn seconds() {
    let cadence = cadence("*/20 59 23 31 12 *", "UTC");
    let ticks = cadence.next_ticks(utc("2026-12-31T23:59:00.5Z"), 3);
    assert_eq!(
        ticks,
        [utc("2026-12-31T23:59:20Z"), utc("2026-12-31T23:59:40Z"), utc("2027-12-31T23:59:00Z"),]
    );
}

#[test]
fn intervals_are_anchored_at_the_epoch() {
    let every = cadence("@every 90s", "Asia/Kathmandu");
    assert_eq!(every.next_tick(utc("1970-01-01T00:00")), Some(utc("1970-01-01T00:01:30Z")));
    assert_eq!(every.next_tick(utc("1969-12-31T23:59:59.5Z")), Some(utc("1970-01-01T00:00")));
    assert_eq!(every.next_tick(utc("2026-10-25T00:00:00.1Z")), Some(utc("2026-10-25T00:01:30Z")));
    assert_eq!(every.expression().interval(), Some(std::time::Duration::from_secs(90)));
}

#[test]
fn the_end_of_the_calendar_is_no_crash() {
    use chrono::{DateTime, Utc};
    for text in ["* * * * * *", "0 0 29 2 *", "*/5 3 * * *", "@every 366d"] {
        for zone in ["Europe/Madrid", "Pacific/Kiritimati", "America/Los_Angeles"] {
            let cadence = cadence(text, zone);
            assert_eq!(cadence.next_tick(DateTime::<Utc>::MAX_UTC), None, "{text} {zone}");
            let _ = cadence.next_tick(DateTime::<Utc>::MIN_UTC);
            let _ = cadence.latest_tick(DateTime::<Utc>::MIN_UTC, DateTime::<Utc>::MAX_UTC);
        }
    }
}
