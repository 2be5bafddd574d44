//! Who somebody is at an identity provider: (issuer, subject) belongs to one account.

use chrono::{DateTime, Utc};
use domain::AccountId;
use serde_json::json;
use uuid::Uuid;

use crate::audit::Entry;
use crate::{Store, StoreError, Tx};

/// The account that this identity belongs to.
///
/// # Errors
/// [`StoreError::Away`] when PostgreSQL can't be reached.
pub async fn find(store: &Store, issuer: &str, subject: &str) -> Result<Option<AccountId>, StoreError> {
    let found: Option<Uuid> = sqlx::query_scalar("SELECT identity_lookup($1, $2)")
        .bind(issuer)
        .bind(subject)
        .fetch_one(store.pool())
        .await?;
    Ok(found.map(AccountId))
}

/// Links an identity to the transaction's account, or notes that it was used again. An account has one identity
/// of an issuer: whoever is given a former colleague's address there does not become them here.
///
/// # Errors
/// [`StoreError::Conflict`] when it belongs to another account, or the account to another identity there.
pub async fn link(
    tx: &mut Tx,
    account: AccountId,
    issuer: &str,
    subject: &str,
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    let used = sqlx::query("UPDATE identity SET last_used_at = $3 WHERE issuer = $1 AND subject = $2")
        .bind(issuer)
        .bind(subject)
        .bind(now)
        .execute(tx.conn())
        .await?;
    if used.rows_affected() == 1 {
        return Ok(());
    }
    let has_another: bool = sqlx::query_scalar(
        "SELECT EXISTS (SELECT FROM identity WHERE issuer = $1 AND account_id = current_account())",
    )
    .bind(issuer)
    .fetch_one(tx.conn())
    .await?;
    if has_another {
        return Err(StoreError::Conflict(
            "this account belongs to another identity at the identity provider; sign in with its password",
        ));
    }
    let linked = sqlx::query(
        "INSERT INTO identity (issuer, subject, account_id, linked_at, last_used_at)
         VALUES ($1, $2, current_account(), $3, $3) ON CONFLICT (issuer, subject) DO NOTHING",
    )
    .bind(issuer)
    .bind(subject)
    .bind(now)
    .execute(tx.conn())
    .await?;
    if linked.rows_affected() == 0 {
        return Err(StoreError::Conflict("this identity belongs to another account"));
    }
    tx.record(Entry::new("identity.link", "account", account).after(json!({ "issuer": issuer }))).await?;
    Ok(())
}
