//! What holds for any expression, compared with a scan by the second.

use std::collections::BTreeSet;

use chrono::{DateTime, Datelike, NaiveDateTime, TimeDelta, TimeZone, Timelike, Utc};
use proptest::prelude::*;

use super::cadence;

/// A zone and instants at which its clock changes.
const CHANGES: [(&str, [&str; 2]); 7] = [
    ("Europe/Madrid", ["2026-03-29T01:00:00Z", "2026-10-25T01:00:00Z"]),
    ("America/New_York", ["2026-03-08T07:00:00Z", "2026-11-01T06:00:00Z"]),
    ("Australia/Lord_Howe", ["2026-10-03T15:30:00Z", "2026-04-04T15:00:00Z"]),
    ("Africa/Casablanca", ["2026-02-15T02:00:00Z", "2026-03-22T02:00:00Z"]),
    ("Africa/Cairo", ["2026-04-23T22:00:00Z", "2026-10-29T21:00:00Z"]),
    ("America/Havana", ["2026-03-08T05:00:00Z", "2026-11-01T05:00:00Z"]),
    ("Asia/Kathmandu", ["2026-03-29T01:00:00Z", "2026-10-25T01:00:00Z"]),
];

/// A field as written and the values it was written for.
#[derive(Debug, Clone)]
struct Written {
    text: String,
    values: BTreeSet<u32>,
}

/// Lists, ranges, steps and `*` for a field from `min` to `max`.
fn field(min: u32, max: u32) -> BoxedStrategy<Written> {
    let star = Just(Written { text: "*".to_owned(), values: (min..=max).collect() });
    let stepped = (2..=(max - min)).prop_map(move |step| Written {
        text: format!("*/{step}"),
        values: (min..=max).step_by(step as usize).collect(),
    });
    let range = (min..=max, min..=max).prop_map(|(a, b)| Written {
        text: format!("{}-{}", a.min(b), a.max(b)),
        values: (a.min(b)..=a.max(b)).collect(),
    });
    let list = prop::collection::btree_set(min..=max, 1..5).prop_map(|values| Written {
        text: values.iter().map(u32::to_string).collect::<Vec<_>>().join(","),
        values,
    });
    prop_oneof![4 => star, 2 => stepped, 2 => range, 4 => list].boxed()
}

#[derive(Debug, Clone)]
struct Fields {
    second: Written,
    minute: Written,
    hour: Written,
    day: Written,
    month: Written,
    weekday: Written,
}

impl Fields {
    fn text(&self) -> String {
        [&self.second, &self.minute, &self.hour, &self.day, &self.month, &self.weekday]
            .map(|written| written.text.as_str())
            .join(" ")
    }

    fn fits(&self, local: NaiveDateTime) -> bool {
        let day = self.day.values.contains(&local.day());
        let weekday = self.weekday.values.contains(&local.weekday().num_days_from_sunday());
        let both = self.day.text.contains('*') || self.weekday.text.contains('*');
        self.second.values.contains(&local.second())
            && self.minute.values.contains(&local.minute())
            && self.hour.values.contains(&local.hour())
            && self.month.values.contains(&local.month())
            && (if both { day && weekday } else { day || weekday })
    }
}

fn fields() -> impl Strategy<Value = Fields> {
    // Days are mostly open, or few cases would tick near a change.
    let day = prop_oneof![5 => Just(star(1, 31)).boxed(), 1 => field(1, 31)];
    let month = prop_oneof![5 => Just(star(1, 12)).boxed(), 1 => field(1, 12)];
    let weekday = prop_oneof![3 => Just(star(0, 6)).boxed(), 1 => field(0, 6)];
    (field(0, 59), field(0, 59), field(0, 23), day, month, weekday).prop_map(
        |(second, minute, hour, day, month, weekday)| Fields { second, minute, hour, day, month, weekday },
    )
}

fn star(min: u32, max: u32) -> Written {
    Written { text: "*".to_owned(), values: (min..=max).collect() }
}

/// A zone and an instant at most five hours from one of its changes.
fn near_a_change() -> impl Strategy<Value = (&'static str, DateTime<Utc>)> {
    (prop::sample::select(CHANGES.to_vec()), 0..2_usize, -18_000..18_000_i64).prop_map(
        |((zone, changes), which, seconds)| {
            let change: DateTime<Utc> = changes[which].parse().unwrap();
            (zone, change + TimeDelta::seconds(seconds))
        },
    )
}

fn at_any_time() -> impl Strategy<Value = (&'static str, DateTime<Utc>)> {
    let instants = (0..4_000_000_000_i64, 0..1_000_000_000_u32);
    (prop::sample::select(CHANGES.to_vec()), instants)
        .prop_map(|((zone, _), (s, ns))| (zone, DateTime::from_timestamp(s, ns).unwrap()))
}

/// The rule applied second by second, from an instant with no recent change.
fn scan(fields: &Fields, zone: &str, from: DateTime<Utc>, until: DateTime<Utc>) -> Vec<DateTime<Utc>> {
    let zone: chrono_tz::Tz = zone.parse().unwrap();
    let local = |t: DateTime<Utc>| zone.from_utc_datetime(&t.naive_utc()).naive_local();
    let second = TimeDelta::seconds(1);
    let every_hour = fields.hour.values.len() == 24;
    let mut furthest = local(from);
    let mut ticks = Vec::new();
    let mut now = from + second;
    while now <= until {
        let shown = local(now);
        let fires = if every_hour {
            fields.fits(shown)
        } else {
            let mut newly = furthest + second;
            while newly < shown && !fields.fits(newly) {
                newly += second;
            }
            newly <= shown && fields.fits(newly)
        };
        if fires {
            ticks.push(now);
        }
        furthest = furthest.max(shown);
        now += second;
    }
    ticks
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_next_tick_is_later_whole_and_the_very_next(
        fields in fields(),
        (zone, after) in prop_oneof![near_a_change(), at_any_time()],
    ) {
        let Ok(cadence) = super::super::Cadence::parse(&fields.text(), zone) else {
            return Ok(()); // 30 February and its like
        };
        let next = cadence.next_tick(after).unwrap();
        prop_assert!(next > after);
        prop_assert_eq!(next.timestamp_subsec_nanos(), 0);
        prop_assert_eq!(cadence.next_tick(next - TimeDelta::seconds(1)), Some(next));
        // Nothing lies between: any start in the span leads to the same tick.
        let middle = after + (next - after) / 2;
        prop_assert_eq!(cadence.next_tick(middle), Some(next));
        let ticks = cadence.next_ticks(after, 30);
        prop_assert!(ticks.windows(2).all(|pair| pair[0] < pair[1]));
    }

    #[test]
    fn the_newest_ticks_are_the_tail_of_all(
        fields in fields(),
        (zone, after) in near_a_change(),
        seconds in 0..20_000_i64,
        cap in 1..40_usize,
    ) {
        let Ok(cadence) = super::super::Cadence::parse(&fields.text(), zone) else {
            return Ok(());
        };
        let until = after + TimeDelta::seconds(seconds);
        let all = cadence.ticks_between(after, until, 20_001);
        prop_assert!(!all.truncated);
        let all = all.ticks;
        prop_assert_eq!(cadence.latest_tick(after, until), all.last().copied());
        prop_assert_eq!(&cadence.newest_ticks(after, until, cap), &all[all.len().saturating_sub(cap)..]);
        let oldest = cadence.ticks_between(after, until, cap);
        prop_assert_eq!(&oldest.ticks, &all[..all.len().min(cap)]);
        prop_assert_eq!(oldest.truncated, all.len() > cap);
    }

    #[test]
    fn intervals_divide_time_evenly(length in 1..31_622_400_u32, (zone, after) in at_any_time()) {
        let every = cadence(&format!("@every {length}s"), zone);
        let next = every.next_tick(after).unwrap();
        prop_assert!(next > after && next - after <= TimeDelta::seconds(length.into()));
        prop_assert_eq!(next.timestamp() % i64::from(length), 0);
    }

    #[test]
    fn anything_may_be_typed(text in "[-0-9*,/ @a-zA-Z#?é]{0,40}") {
        let _ = super::super::Expression::parse(&text);
    }

    #[test]
    fn different_words_for_different_meanings(
        one in fields(),
        other in fields(),
        kept in prop::array::uniform6(prop::bool::weighted(0.8)),
    ) {
        // Two expressions that share most fields.
        let mixed = Fields {
            second: if kept[0] { one.second.clone() } else { other.second },
            minute: if kept[1] { one.minute.clone() } else { other.minute },
            hour: if kept[2] { one.hour.clone() } else { other.hour },
            day: if kept[3] { one.day.clone() } else { other.day },
            month: if kept[4] { one.month.clone() } else { other.month },
            weekday: if kept[5] { one.weekday.clone() } else { other.weekday },
        };
        let parse = |fields: &Fields| super::super::Cadence::parse(&fields.text(), "UTC");
        if let (Ok(one), Ok(mixed)) = (parse(&one), parse(&mixed)) {
            prop_assert_eq!(
                one.describe() == mixed.describe(),
                one.expression().form() == mixed.expression().form(),
                "{} | {}", one.describe(), mixed.describe()
            );
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_second_is_missed_or_doubled_around_a_change(
        fields in fields(),
        (zone, changes) in prop::sample::select(CHANGES.to_vec()),
        which in 0..2_usize,
    ) {
        let Ok(cadence) = super::super::Cadence::parse(&fields.text(), zone) else {
            return Ok(());
        };
        let change: DateTime<Utc> = changes[which].parse().unwrap();
        let (from, until) = (change - TimeDelta::minutes(100), change + TimeDelta::minutes(150));
        let ticks = cadence.ticks_between(from, until, usize::MAX).ticks;
        prop_assert_eq!(ticks, scan(&fields, zone, from, until));
    }
}

#[test]
fn the_changes_are_where_the_table_says() {
    for (zone, changes) in CHANGES.iter().filter(|(zone, _)| *zone != "Asia/Kathmandu") {
        let tz: chrono_tz::Tz = zone.parse().unwrap();
        for change in changes {
            let at: DateTime<Utc> = change.parse().unwrap();
            let reading = |t: DateTime<Utc>| t.with_timezone(&tz).naive_local();
            let step = reading(at) - reading(at - TimeDelta::seconds(1));
            assert_ne!(step, TimeDelta::seconds(1), "{zone} {change}");
        }
    }
}
