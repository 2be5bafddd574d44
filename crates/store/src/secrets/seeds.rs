//! Second factors' seeds, sealed anew with a newer key of the API's own.

use domain::AccountId;

use crate::{AccountTx, Store, StoreError};

/// What the keys of seeds are for, by name.
pub const SEED_PURPOSE: &str = "totp";

/// The accounts that have a seed, confirmed or not.
///
/// # Errors
/// [`StoreError::Away`] when PostgreSQL can't be reached.
pub async fn accounts_with_seeds(store: &Store) -> Result<Vec<AccountId>, StoreError> {
    let ids: Vec<uuid::Uuid> =
        sqlx::query_scalar("SELECT accounts_with_seeds()").fetch_all(store.pool()).await?;
    Ok(ids.into_iter().map(AccountId).collect())
}

/// Seals one account's seeds anew; `anew` answers none for one that is current. Answers whether any was.
///
/// # Errors
/// What `anew` says, or [`StoreError`] through `E`.
pub async fn reseal_seeds<E: From<StoreError>>(
    store: &Store,
    account: AccountId,
    mut anew: impl FnMut(&[u8]) -> Result<Option<Vec<u8>>, E>,
) -> Result<bool, E> {
    type Seeds = (Option<Vec<u8>>, Option<Vec<u8>>);
    let mut tx = AccountTx::open(store, account).await?;
    let row: Option<Seeds> = sqlx::query_as(
        "SELECT totp_sealed, totp_pending_sealed FROM account WHERE account_id = current_account() FOR UPDATE",
    )
    .fetch_optional(tx.conn())
    .await
    .map_err(StoreError::from)?;
    let Some((seed, pending)) = row else { return Ok(false) };
    let mut changed = false;
    let mut sealed = Vec::with_capacity(2);
    for old in [seed, pending] {
        let new = old.as_deref().map(&mut anew).transpose()?.flatten();
        changed |= new.is_some();
        sealed.push(new.or(old));
    }
    if changed {
        sqlx::query(
            "UPDATE account SET totp_sealed = $1, totp_pending_sealed = $2 WHERE account_id = current_account()",
        )
        .bind(&sealed[0])
        .bind(&sealed[1])
        .execute(tx.conn())
        .await
        .map_err(StoreError::from)?;
        tx.commit().await?;
    }
    Ok(changed)
}
