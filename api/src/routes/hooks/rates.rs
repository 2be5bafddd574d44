//! How often one address may be knocked at, in this process.

use std::num::NonZeroU32;
use std::time::Duration;

use governor::clock::{Clock, DefaultClock};
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};
use uuid::Uuid;

/// Requests a second one address takes for long.
const PER_S: NonZeroU32 = NonZeroU32::new(200).unwrap();

/// Requests one address takes at once: providers send what piled up.
const BURST: NonZeroU32 = NonZeroU32::new(1000).unwrap();

/// Addresses remembered; strangers may make up any number of them.
const MOST: usize = 10_000;

pub(crate) struct Rates {
    limiter: DefaultKeyedRateLimiter<Uuid>,
    clock: DefaultClock,
}

impl Default for Rates {
    fn default() -> Self {
        Self::new(Quota::per_second(PER_S).allow_burst(BURST))
    }
}

impl Rates {
    fn new(quota: Quota) -> Self {
        Self { limiter: RateLimiter::keyed(quota), clock: DefaultClock::default() }
    }

    /// One more request to this address.
    ///
    /// # Errors
    /// How long to wait.
    pub(super) fn check(&self, address: Uuid) -> Result<(), Duration> {
        if self.limiter.len() >= MOST {
            // Those that are full again say nothing that a new entry would not say.
            self.limiter.retain_recent();
        }
        self.limiter.check_key(&address).map_err(|wait| wait.wait_time_from(self.clock.now()))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn each_address_has_its_own_rate_and_made_up_ones_are_forgotten() {
        let rates =
            Rates::new(Quota::per_second(NonZeroU32::new(1000).unwrap()).allow_burst(NonZeroU32::MIN));
        let (one, other) = (Uuid::now_v7(), Uuid::now_v7());
        assert!(rates.check(one).is_ok());
        assert!(rates.check(one).unwrap_err() <= Duration::from_millis(1));
        assert!(rates.check(other).is_ok());
        for _ in 0..3 * MOST {
            let _ = rates.check(Uuid::now_v7());
        }
        std::thread::sleep(Duration::from_millis(5));
        let _ = rates.check(one);
        assert!(rates.limiter.len() <= MOST, "{}", rates.limiter.len());
    }
}
