//! Retry arithmetic: exponential backoff with full jitter.

use std::time::Duration;

use rand::{Rng, RngExt};
use serde::Serialize;

/// How often and how fast a kind is tried again.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct RetryPolicy {
    /// Attempts in all, the first included; at least 1.
    pub max_attempts: i16,
    /// The first wait's upper bound.
    pub base: Duration,
    /// Growth of that bound with each further attempt.
    pub factor: f64,
    /// No bound grows beyond this.
    pub cap: Duration,
}

impl RetryPolicy {
    /// One attempt only.
    pub const NEVER: Self = Self { max_attempts: 1, base: Duration::ZERO, factor: 1.0, cap: Duration::ZERO };

    /// The ordinary policy: 8 attempts over some ten minutes.
    pub const STANDARD: Self =
        Self { max_attempts: 8, base: Duration::from_secs(2), factor: 2.5, cap: Duration::from_secs(3600) };

    /// The upper bound of the wait after attempt number `attempt` (1 is the first) failed.
    #[must_use]
    pub fn bound(&self, attempt: i16) -> Duration {
        let exponent = i32::from(attempt.max(1)) - 1;
        let seconds = self.base.as_secs_f64() * self.factor.powi(exponent.min(64));
        if seconds.is_finite() { self.cap.min(Duration::from_secs_f64(seconds.min(1e9))) } else { self.cap }
    }

    /// The wait before the next attempt, or none when attempts are used up.
    ///
    /// Full jitter: uniform between zero and the bound. A time named by the other side
    /// (`retry_after`) is a floor; up to a tenth is added to it, so that those who were turned away
    /// together do not come back together.
    pub fn delay(&self, attempt: i16, retry_after: Option<Duration>, rng: &mut impl Rng) -> Option<Duration> {
        if attempt >= self.max_attempts {
            return None;
        }
        let jittered = self.bound(attempt).mul_f64(rng.random::<f64>());
        Some(match retry_after {
            Some(floor) => floor + floor.mul_f64(rng.random::<f64>() * 0.1),
            None => jittered,
        })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use rand::SeedableRng;
    use rand::rngs::StdRng;

    use super::*;

    #[test]
    fn bounds_grow_and_stop_at_the_cap() {
        let policy = RetryPolicy { cap: Duration::from_secs(60), ..RetryPolicy::STANDARD };
        let table = [(1, 2.0), (2, 5.0), (3, 12.5), (4, 31.25), (5, 60.0), (i16::MAX, 60.0)];
        for (attempt, seconds) in table {
            assert_eq!(policy.bound(attempt), Duration::from_secs_f64(seconds), "attempt {attempt}");
        }
    }

    #[test]
    fn delays_stay_below_the_bound_and_end_with_the_attempts() {
        let mut rng = StdRng::seed_from_u64(7);
        let policy = RetryPolicy::STANDARD;
        for attempt in 1..policy.max_attempts {
            for _ in 0..200 {
                assert!(policy.delay(attempt, None, &mut rng).unwrap() <= policy.bound(attempt));
            }
        }
        assert_eq!(policy.delay(policy.max_attempts, None, &mut rng), None);
    }

    #[test]
    fn a_named_time_is_a_floor() {
        let mut rng = StdRng::seed_from_u64(7);
        let floor = Duration::from_secs(30);
        for _ in 0..200 {
            let delay = RetryPolicy::STANDARD.delay(1, Some(floor), &mut rng).unwrap();
            assert!(delay >= floor && delay <= floor.mul_f64(1.1));
        }
    }
}
