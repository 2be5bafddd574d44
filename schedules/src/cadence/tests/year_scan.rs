//! Every minute of a year in every zone that is known to be difficult, against
//! predicates written by hand: nothing is missed, nothing fires twice.

use chrono::{DateTime, Datelike, NaiveDateTime, TimeDelta, TimeZone, Timelike, Utc};
use chrono_tz::Tz;

use super::super::Cadence;
use super::{cadence, utc};

const ZONES: [&str; 16] = [
    "UTC",
    "Europe/Madrid",
    "Europe/Dublin",
    "America/New_York",
    "America/St_Johns",
    "America/Havana",
    "America/Santiago",
    "Africa/Casablanca",
    "Africa/Cairo",
    "Asia/Beirut",
    "Asia/Gaza",
    "Asia/Kathmandu",
    "Australia/Lord_Howe",
    "Pacific/Chatham",
    "Pacific/Apia",
    "Antarctica/Troll",
];

#[derive(Clone, Copy)]
struct Reading {
    minute: u32,
    hour: u32,
    day: u32,
    month: u32,
    sunday_based: u32,
}

impl Reading {
    fn of(local: NaiveDateTime) -> Self {
        Self {
            minute: local.minute(),
            hour: local.hour(),
            day: local.day(),
            month: local.month(),
            sunday_based: local.weekday().num_days_from_sunday(),
        }
    }
}

/// Expression, whether it runs in every hour, and what it means.
type Case = (&'static str, bool, fn(Reading) -> bool);

const CASES: [Case; 13] = [
    ("*/15 * * * *", true, |r| r.minute.is_multiple_of(15)),
    ("30 * * * *", true, |r| r.minute == 30),
    ("0 0-23 * * *", true, |r| r.minute == 0),
    ("10,50 * * 3,4,10,11 sun", true, |r| {
        (r.minute == 10 || r.minute == 50) && [3, 4, 10, 11].contains(&r.month) && r.sunday_based == 0
    }),
    ("30 2 * * *", false, |r| r.minute == 30 && r.hour == 2),
    ("0 0 * * *", false, |r| r.minute == 0 && r.hour == 0),
    ("45 23 * * *", false, |r| r.minute == 45 && r.hour == 23),
    ("0 */2 * * *", false, |r| r.minute == 0 && r.hour.is_multiple_of(2)),
    ("*/20 0-4 * * *", false, |r| r.minute.is_multiple_of(20) && r.hour <= 4),
    ("* 1,2 * * 7", false, |r| (r.hour == 1 || r.hour == 2) && r.sunday_based == 0),
    ("5 3 13 * fri", false, |r| r.minute == 5 && r.hour == 3 && (r.day == 13 || r.sunday_based == 5)),
    ("0 1 */2 * 1-5", false, |r| {
        r.minute == 0 && r.hour == 1 && r.day % 2 == 1 && (1..=5).contains(&r.sunday_based)
    }),
    ("15 0,2 29-31 jan-oct *", false, |r| {
        r.minute == 15 && (r.hour == 0 || r.hour == 2) && r.day >= 29 && r.month <= 10
    }),
];

/// What the rule says, minute by minute, for all cases at once.
fn scan(zone: Tz, from: DateTime<Utc>, until: DateTime<Utc>, cases: &[Case]) -> Vec<Vec<i64>> {
    let local = |t: DateTime<Utc>| zone.from_utc_datetime(&t.naive_utc()).naive_local();
    let minute = TimeDelta::minutes(1);
    let mut expected = vec![Vec::new(); cases.len()];
    // The furthest the wall clock has come.
    let mut furthest = local(from);
    let mut now = from + minute;
    while now <= until {
        let shown = local(now);
        let reading = Reading::of(shown);
        for ((_, every_hour, fits), expected) in cases.iter().zip(&mut expected) {
            let fires = if *every_hour {
                fits(reading)
            } else {
                // Any named minute that the clock reached or jumped over just now.
                let mut newly = furthest + minute;
                let mut found = false;
                while newly <= shown && !found {
                    found = fits(if newly == shown { reading } else { Reading::of(newly) });
                    newly += minute;
                }
                found
            };
            if fires {
                expected.push(now.timestamp());
            }
        }
        furthest = furthest.max(shown);
        now += minute;
    }
    expected
}

fn compare(cadence: &Cadence, expected: &[i64], from: DateTime<Utc>, until: DateTime<Utc>) {
    let ticks = cadence.ticks_after(from).take_while(|tick| *tick <= until).map(|tick| tick.timestamp());
    let mut expected = expected.iter().copied();
    let name = || format!("{} in {}", cadence.expression(), cadence.zone());
    for tick in ticks {
        assert_eq!(Some(tick), expected.next(), "{}: {:?}", name(), DateTime::from_timestamp(tick, 0));
    }
    assert_eq!(expected.next(), None, "{}: missed", name());
}

fn check_zones(zones: &[&str], from: &str, until: &str, cases: &[Case]) {
    let (from, until) = (utc(from), utc(until));
    for zone in zones {
        let expected = scan(zone.parse().unwrap(), from, until, cases);
        for ((expression, _, _), expected) in cases.iter().zip(&expected) {
            compare(&cadence(expression, zone), expected, from, until);
        }
    }
}

#[test]
fn a_year_in_the_first_zones() {
    check_zones(&ZONES[..8], "2026-01-01T00:00", "2027-01-01T00:00", &CASES);
}

#[test]
fn a_year_in_the_other_zones() {
    check_zones(&ZONES[8..], "2026-01-01T00:00", "2027-01-01T00:00", &CASES);
}

#[test]
fn every_minute_of_the_months_that_change() {
    let every_minute: [Case; 1] = [("* * * * *", true, |_| true)];
    for (zone, from, until) in [
        ("Australia/Lord_Howe", "2026-03-25T00:00", "2026-04-10T00:00"),
        ("Africa/Casablanca", "2026-02-10T00:00", "2026-03-25T00:00"),
    ] {
        check_zones(&[zone], from, until, &every_minute);
    }
}

#[test]
fn the_day_that_samoa_skipped_and_the_day_that_kwajalein_lived_without() {
    check_zones(&["Pacific/Apia"], "2011-12-20T00:00", "2012-01-10T00:00", &CASES);
    check_zones(&["Pacific/Kwajalein"], "1993-08-10T00:00", "1993-09-01T00:00", &CASES);
}
