//! How guessing is slowed: buckets of tries in PostgreSQL, so that all processes count together.
//!
//! A bucket is named by the SHA-256 of what it is about, whether that exists or not: it says nothing about
//! who has an account.

use std::time::Duration;

use chrono::{DateTime, Utc};
use sha2::{Digest, Sha256};

use crate::{Store, StoreError};

/// Tries of one sort: some at once, then one each so often.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// Tries at once.
    pub burst: i32,
    /// One comes back this often.
    pub every: Duration,
}

impl Pace {
    /// `burst` at once, then one each `seconds`.
    #[must_use]
    pub const fn new(burst: i32, seconds: u64) -> Self {
        Self { burst, every: Duration::from_secs(seconds) }
    }

    fn every_ms(self) -> i64 {
        i64::try_from(self.every.as_millis()).unwrap_or(i64::MAX)
    }
}

/// One bucket.
#[derive(Clone, Debug)]
pub struct Bucket {
    key: [u8; 32],
    pace: Pace,
}

impl Bucket {
    /// The bucket of `sort` for `what`.
    #[must_use]
    pub fn new(sort: &str, what: &[u8], pace: Pace) -> Self {
        let key = Sha256::new().chain_update(sort).chain_update([0]).chain_update(what).finalize().into();
        Self { key, pace }
    }
}

/// Takes one try from each bucket; or, when one is empty, says how long to wait. Give buckets of addresses
/// before those of accounts, always.
///
/// # Errors
/// [`StoreError::Away`] when PostgreSQL can't be reached.
pub async fn admit(
    store: &Store,
    buckets: &[Bucket],
    now: DateTime<Utc>,
) -> Result<Option<Duration>, StoreError> {
    let keys: Vec<&[u8]> = buckets.iter().map(|bucket| bucket.key.as_slice()).collect();
    let every: Vec<i64> = buckets.iter().map(|bucket| bucket.pace.every_ms()).collect();
    let bursts: Vec<i32> = buckets.iter().map(|bucket| bucket.pace.burst).collect();
    let wait: i64 = sqlx::query_scalar("SELECT sign_in_admit($1, $2, $3, $4)")
        .bind(keys)
        .bind(every)
        .bind(bursts)
        .bind(now)
        .fetch_one(store.pool())
        .await?;
    Ok(u64::try_from(wait).ok().filter(|wait| *wait > 0).map(Duration::from_millis))
}

/// Gives a try back that was no guess.
///
/// # Errors
/// [`StoreError::Away`] when PostgreSQL can't be reached.
pub async fn forgive(store: &Store, bucket: &Bucket) -> Result<(), StoreError> {
    sqlx::query("SELECT sign_in_forgive($1, $2)")
        .bind(bucket.key.as_slice())
        .bind(bucket.pace.every_ms())
        .execute(store.pool())
        .await?;
    Ok(())
}

/// Takes away full buckets, forgotten devices, old resets and flows; answers how many rows.
///
/// # Errors
/// [`StoreError::Away`] when PostgreSQL can't be reached.
pub async fn prune(store: &Store, now: DateTime<Utc>) -> Result<i64, StoreError> {
    Ok(sqlx::query_scalar("SELECT sign_in_prune($1)").bind(now).fetch_one(store.pool()).await?)
}
