//! Browsers that have signed in to an account before.

use chrono::{DateTime, Duration, Utc};

use crate::{Store, StoreError, Tx};

/// A browser is known this long after it was last used.
pub const LIFE: Duration = Duration::days(180);

/// Whether the browser with this hash has signed in to the account with this address.
///
/// # Errors
/// [`StoreError::Away`] when PostgreSQL can't be reached.
pub async fn is_known(
    store: &Store,
    email: &str,
    device: &[u8; 32],
    now: DateTime<Utc>,
) -> Result<bool, StoreError> {
    Ok(sqlx::query_scalar("SELECT known_device_check($1, $2, $3)")
        .bind(email)
        .bind(device.as_slice())
        .bind(now)
        .fetch_one(store.pool())
        .await?)
}

/// Remembers a browser for the transaction's account.
///
/// # Errors
/// [`StoreError::Away`] when PostgreSQL can't be reached.
pub async fn remember(tx: &mut Tx, device: &[u8; 32], now: DateTime<Utc>) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO known_device (device_hash, account_id, created_at, last_used_at, expires_at)
         VALUES ($1, current_account(), $2, $2, $3)
         ON CONFLICT (device_hash, account_id) DO UPDATE SET last_used_at = $2, expires_at = $3",
    )
    .bind(device.as_slice())
    .bind(now)
    .bind(now + LIFE)
    .execute(tx.conn())
    .await?;
    Ok(())
}
