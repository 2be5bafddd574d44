//! Outages, policies, caps and the cursor.

use std::num::NonZeroU32;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

use super::super::{CatchUp, Decision, catch_up};
use super::{cadence, utc};

const ALL: CatchUp = CatchUp::All { cap: NonZeroU32::MIN.saturating_add(99) };

fn decide(expression: &str, policy: CatchUp, last: &str, now: &str, grace_s: u64) -> Decision {
    let cadence = cadence(expression, "Europe/Madrid");
    catch_up(&cadence, policy, utc(last), utc(now), Duration::from_secs(grace_s))
}

/// Hours of a day in UTC.
fn hours(hours: std::ops::RangeInclusive<u32>) -> Vec<DateTime<Utc>> {
    hours.map(|hour| utc(&format!("2026-06-01T{hour:02}:00"))).collect()
}

#[test]
fn ticks_on_time_fire_under_every_policy() {
    for policy in [CatchUp::Skip, CatchUp::One, ALL] {
        let decision = decide("@hourly", policy, "2026-06-01T10:00", "2026-06-01T11:00:01Z", 60);
        assert_eq!(decision.fire, hours(11..=11), "{policy}");
        assert_eq!(decision.skipped, None, "{policy}");
        assert_eq!(decision.last_tick, utc("2026-06-01T11:00"), "{policy}");
        // A tick exactly as old as the grace period is still on time.
        let decision = decide("@hourly", policy, "2026-06-01T10:00", "2026-06-01T11:01:00Z", 60);
        assert_eq!(decision.fire, hours(11..=11), "{policy}");
    }
}

#[test]
fn nothing_due() {
    for policy in [CatchUp::Skip, CatchUp::One, ALL] {
        for now in ["2026-06-01T10:59", "2026-06-01T10:00", "2026-06-01T08:00"] {
            let decision = decide("@hourly", policy, "2026-06-01T10:00", now, 60);
            assert!(decision.fire.is_empty(), "{policy} {now}");
            assert_eq!(decision.skipped, None);
            assert_eq!(decision.last_tick, utc("2026-06-01T10:00"));
        }
    }
}

#[test]
fn five_hours_away() {
    let (last, now) = ("2026-06-01T10:00", "2026-06-01T15:30");
    let all = decide("@hourly", ALL, last, now, 60);
    assert_eq!(all.fire, hours(11..=15));
    assert_eq!(all.skipped, None);

    let one = decide("@hourly", CatchUp::One, last, now, 60);
    assert_eq!(one.fire, hours(15..=15));
    let skipped = one.skipped.unwrap();
    assert_eq!((skipped.count, skipped.exact), (4, true));
    assert_eq!((skipped.oldest, skipped.newest), (hours(11..=11)[0], hours(14..=14)[0]));

    let skip = decide("@hourly", CatchUp::Skip, last, now, 60);
    assert!(skip.fire.is_empty());
    assert_eq!(skip.skipped.unwrap().count, 5);

    for decision in [all, one, skip] {
        assert_eq!(decision.last_tick, utc("2026-06-01T15:00"));
    }
}

#[test]
fn late_and_on_time_together() {
    let (last, now) = ("2026-06-01T10:00", "2026-06-01T13:00:10Z");
    let skip = decide("@hourly", CatchUp::Skip, last, now, 60);
    assert_eq!(skip.fire, hours(13..=13));
    assert_eq!(skip.skipped.unwrap().newest, utc("2026-06-01T12:00"));
    // The run that is on time stands for the missed ones too.
    let one = decide("@hourly", CatchUp::One, last, now, 60);
    assert_eq!(one.fire, hours(13..=13));
    assert_eq!(one.skipped.unwrap().count, 2);
}

#[test]
fn the_cap_keeps_the_newest() {
    let cap = CatchUp::All { cap: NonZeroU32::new(3).unwrap() };
    let decision = decide("@hourly", cap, "2026-06-01T00:00", "2026-06-01T20:00", 60);
    assert_eq!(decision.fire, hours(18..=20));
    let skipped = decision.skipped.unwrap();
    assert_eq!((skipped.count, skipped.oldest, skipped.newest), (17, hours(1..=1)[0], hours(17..=17)[0]));
    assert_eq!(decision.last_tick, utc("2026-06-01T20:00"));
}

#[test]
fn a_year_of_seconds_is_decided_at_once() {
    for policy in [CatchUp::Skip, CatchUp::One, ALL] {
        let decision = decide("* * * * * *", policy, "2025-06-01T00:00", "2026-06-01T00:00", 3600);
        let expected = if policy == CatchUp::One { 1 } else { 100 };
        assert_eq!(decision.fire.len(), expected);
        assert_eq!(decision.fire.last(), Some(&utc("2026-06-01T00:00")));
        let skipped = decision.skipped.unwrap();
        assert!(!skipped.exact && skipped.count == 10_000);
        assert_eq!(skipped.newest, decision.fire[0] - TimeDelta::seconds(1));
        assert_eq!(skipped.oldest, utc("2025-06-01T00:00:01Z"));
    }
}

#[test]
fn an_outage_over_the_autumn_change_yields_each_tick_once() {
    let decision = decide("30 2 * * *", ALL, "2026-10-24T12:00", "2026-10-26T12:00", 60);
    assert_eq!(decision.fire, [utc("2026-10-25T00:30"), utc("2026-10-26T01:30")]);
}

/// Looking at any rhythm fires the same ticks as looking once.
#[test]
fn the_cursor_neither_repeats_nor_loses() {
    let cadence = cadence("*/10 0-5 * * *", "Europe/Madrid");
    let (start, end) = (utc("2026-10-24T00:00"), utc("2026-10-26T00:00"));
    for step_s in [7, 61, 600, 4_000] {
        let (mut last, mut now, mut fired) = (start, start, Vec::new());
        while now < end {
            now = (now + TimeDelta::seconds(step_s)).min(end);
            let decision = catch_up(&cadence, ALL, last, now, Duration::from_secs(60));
            last = decision.last_tick;
            fired.extend(decision.fire);
        }
        assert_eq!(fired, cadence.ticks_between(start, end, 1_000).ticks, "{step_s}");
    }
}

#[test]
fn policies_in_text() {
    for policy in [CatchUp::Skip, CatchUp::One, ALL] {
        assert_eq!(policy.name().parse(), Ok(policy));
        let json = serde_json::to_string(&policy).unwrap();
        assert_eq!(serde_json::from_str::<CatchUp>(&json).unwrap(), policy);
    }
    assert_eq!(serde_json::from_str::<CatchUp>(r#"{"policy":"all"}"#).unwrap(), ALL);
    assert!(serde_json::from_str::<CatchUp>(r#"{"policy":"all","cap":0}"#).is_err());
    let said = "some".parse::<CatchUp>().unwrap_err().to_string();
    assert!(said.contains("skip, one, all"));
}
