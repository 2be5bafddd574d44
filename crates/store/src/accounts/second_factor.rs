//! The second factor of the transaction's account: time steps that work once, and codes for a lost device.

use chrono::{DateTime, Utc};
use domain::AccountId;
use serde_json::json;

use crate::audit::Entry;
use crate::{StoreError, Tx};

/// How many recovery codes are made at once.
pub const CODES: usize = 10;

/// Keeps a seed that was shown and is not confirmed yet, in place of one that was shown before.
///
/// # Errors
/// [`StoreError::Away`] when PostgreSQL can't be reached. So for the other functions here.
pub async fn propose(tx: &mut Tx, account: AccountId, sealed: &[u8]) -> Result<(), StoreError> {
    sqlx::query("UPDATE account SET totp_pending_sealed = $1 WHERE account_id = current_account()")
        .bind(sealed)
        .execute(tx.conn())
        .await?;
    tx.record(Entry::new("second_factor.propose", "account", account)).await?;
    Ok(())
}

/// Puts the proposed seed in force with the step that confirmed it; false when another one has been proposed
/// meanwhile, or none.
///
/// # Errors
/// As [`propose`].
pub async fn confirm(
    tx: &mut Tx,
    account: AccountId,
    sealed: &[u8],
    step: i64,
    now: DateTime<Utc>,
) -> Result<bool, StoreError> {
    let done = sqlx::query(
        "UPDATE account SET totp_sealed = totp_pending_sealed, totp_pending_sealed = NULL,
                            totp_confirmed_at = $2, totp_last_step = $3
         WHERE account_id = current_account() AND totp_pending_sealed = $1",
    )
    .bind(sealed)
    .bind(now)
    .bind(step)
    .execute(tx.conn())
    .await?;
    if done.rows_affected() == 0 {
        return Ok(false);
    }
    tx.record(Entry::new("second_factor.confirm", "account", account)).await?;
    Ok(true)
}

/// Takes the second factor and its recovery codes away.
///
/// # Errors
/// As [`propose`].
pub async fn remove(tx: &mut Tx, account: AccountId) -> Result<(), StoreError> {
    sqlx::query(
        "UPDATE account SET totp_sealed = NULL, totp_confirmed_at = NULL, totp_pending_sealed = NULL
         WHERE account_id = current_account()",
    )
    .execute(tx.conn())
    .await?;
    sqlx::query("DELETE FROM recovery_code WHERE account_id = current_account()").execute(tx.conn()).await?;
    tx.record(Entry::new("second_factor.remove", "account", account)).await?;
    Ok(())
}

/// Uses a time step up: true for the first who comes with it, false for everybody after, also at the same
/// moment.
///
/// # Errors
/// As [`propose`].
pub async fn use_step(tx: &mut Tx, step: i64) -> Result<bool, StoreError> {
    let done = sqlx::query(
        "UPDATE account SET totp_last_step = $1
         WHERE account_id = current_account() AND totp_sealed IS NOT NULL
               AND (totp_last_step IS NULL OR totp_last_step < $1)",
    )
    .bind(step)
    .execute(tx.conn())
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Uses a recovery code up: true once.
///
/// # Errors
/// As [`propose`].
pub async fn use_recovery_code(
    tx: &mut Tx,
    account: AccountId,
    hash: &[u8; 32],
    now: DateTime<Utc>,
) -> Result<bool, StoreError> {
    let done = sqlx::query(
        "UPDATE recovery_code SET used_at = $2
         WHERE account_id = current_account() AND code_hash = $1 AND used_at IS NULL",
    )
    .bind(hash.as_slice())
    .bind(now)
    .execute(tx.conn())
    .await?;
    if done.rows_affected() == 0 {
        return Ok(false);
    }
    let left = codes_left(tx).await?;
    tx.record(
        Entry::new("second_factor.use_recovery_code", "account", account).after(json!({ "left": left })),
    )
    .await?;
    Ok(true)
}

/// Puts new recovery codes in place of all there were.
///
/// # Errors
/// As [`propose`].
pub async fn replace_recovery_codes(
    tx: &mut Tx,
    account: AccountId,
    hashes: &[[u8; 32]],
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    sqlx::query("DELETE FROM recovery_code WHERE account_id = current_account()").execute(tx.conn()).await?;
    let hashes: Vec<&[u8]> = hashes.iter().map(<[u8; 32]>::as_slice).collect();
    sqlx::query(
        "INSERT INTO recovery_code (account_id, code_hash, created_at)
         SELECT current_account(), code_hash, $2 FROM unnest($1::bytea[]) AS code_hash",
    )
    .bind(hashes)
    .bind(now)
    .execute(tx.conn())
    .await?;
    tx.record(Entry::new("second_factor.renew_recovery_codes", "account", account)).await?;
    Ok(())
}

/// Recovery codes that still work.
///
/// # Errors
/// As [`propose`].
pub async fn codes_left(tx: &mut Tx) -> Result<i64, StoreError> {
    Ok(sqlx::query_scalar(
        "SELECT count(*) FROM recovery_code WHERE account_id = current_account() AND used_at IS NULL",
    )
    .fetch_one(tx.conn())
    .await?)
}
