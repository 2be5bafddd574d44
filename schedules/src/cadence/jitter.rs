//! A delay that spreads schedules with the same minute over time. It is computed
//! from the schedule and the tick, never drawn, so every scheduler process moves
//! a tick by the same amount and a restart does not move it again.

use std::time::Duration;

use chrono::{DateTime, Utc};
use sha2::{Digest, Sha256};
use uuid::Uuid;

/// Part of the hash: a change here moves every tick of every schedule once.
const DOMAIN: &[u8] = b"schedule-jitter-1";

/// The delay of one tick of one schedule, in whole milliseconds, from zero to
/// less than `max`; zero when `max` is under a millisecond.
///
/// With a `max` above the distance of two ticks, work may start out of order.
#[must_use]
pub fn jitter(schedule: Uuid, tick: DateTime<Utc>, max: Duration) -> Duration {
    let digest = Sha256::new()
        .chain_update(DOMAIN)
        .chain_update(schedule.as_bytes())
        .chain_update(tick.timestamp().to_be_bytes())
        .finalize();
    let hash = digest.iter().take(8).fold(0_u64, |hash, byte| hash << 8 | u64::from(*byte));
    // Scaling by multiplication is even over the whole span for any length.
    let max_ms = u64::try_from(max.as_millis()).unwrap_or(u64::MAX);
    let delay_ms = (u128::from(hash) * u128::from(max_ms)) >> 64;
    Duration::from_millis(u64::try_from(delay_ms).unwrap_or(0))
}
