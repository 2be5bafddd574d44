//! Jitter: fixed, bounded, even.

use std::time::Duration;

use chrono::TimeDelta;
use uuid::Uuid;

use super::super::jitter;
use super::utc;

const SCHEDULE: Uuid = Uuid::from_u128(0x0190_0000_0000_7000_8000_0000_0000_0001);

#[test]
fn the_delay_never_changes() {
    // Worked out apart from this code; schedulers of different versions run side by side.
    let tick = utc("2026-03-29T01:00");
    let delay = jitter(SCHEDULE, tick, Duration::from_secs(60));
    assert_eq!(delay, Duration::from_millis(21_744));
    assert_eq!(delay, jitter(SCHEDULE, tick, Duration::from_secs(60)));
    assert_ne!(delay, jitter(SCHEDULE, tick + TimeDelta::hours(1), Duration::from_secs(60)));
    assert_ne!(delay, jitter(Uuid::from_u128(2), tick, Duration::from_secs(60)));
}

#[test]
fn the_delay_stays_below_its_maximum() {
    let tick = utc("2026-03-29T01:00");
    assert_eq!(jitter(SCHEDULE, tick, Duration::ZERO), Duration::ZERO);
    assert_eq!(jitter(SCHEDULE, tick, Duration::from_micros(999)), Duration::ZERO);
    assert_eq!(jitter(SCHEDULE, tick, Duration::from_millis(1)), Duration::ZERO);
    assert!(jitter(SCHEDULE, tick, Duration::MAX) < Duration::MAX);
}

#[test]
fn delays_are_spread_evenly() {
    let max = Duration::from_secs(10);
    let mut buckets = [0_u32; 10];
    for n in 0..10_000 {
        let delay = jitter(SCHEDULE, utc("2026-01-01T00:00") + TimeDelta::minutes(n), max);
        assert!(delay < max);
        buckets[delay.as_secs() as usize] += 1;
    }
    assert!(buckets.iter().all(|count| (850..1_150).contains(count)), "{buckets:?}");
}
