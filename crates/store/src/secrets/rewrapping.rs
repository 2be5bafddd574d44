//! Wrapping anew, as the vault's role: which keys still hold something, and the rows to go through.

use domain::{OrgId, SecretId};

use super::SealedValue;
use crate::{Store, StoreError, Tx};

/// How much one key holds in one organisation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyUse {
    /// The organisation.
    pub org_id: OrgId,
    /// The key.
    pub key_id: String,
    /// Values it wraps.
    pub secrets: i64,
}

/// One value that is not under the current key.
pub struct Wrapped {
    /// Its id.
    pub secret_id: SecretId,
    /// The version it was sealed for.
    pub version: i32,
    /// The value.
    pub sealed: SealedValue,
}

/// Which keys hold how much, in every organisation.
///
/// # Errors
/// [`StoreError::Away`] when PostgreSQL can't be reached.
pub async fn keys(vault: &Store) -> Result<Vec<KeyUse>, StoreError> {
    let rows: Vec<(uuid::Uuid, String, i64)> =
        sqlx::query_as("SELECT org_id, key_id, secrets FROM secret_keys()").fetch_all(vault.pool()).await?;
    Ok(rows
        .into_iter()
        .map(|(org, key_id, secrets)| KeyUse { org_id: OrgId(org), key_id, secrets })
        .collect())
}

/// The next values of an organisation that another key than `current` wraps, after `after`.
///
/// # Errors
/// [`StoreError::Away`] when PostgreSQL can't be reached.
pub async fn with_old_keys(
    vault: &Store,
    org: OrgId,
    current: &str,
    after: Option<SecretId>,
    limit: i64,
) -> Result<Vec<Wrapped>, StoreError> {
    type Row = (uuid::Uuid, i32, String, Vec<u8>, Vec<u8>);
    let mut tx = Tx::system(vault, org, "look for values under old keys").await?;
    let rows: Vec<Row> = sqlx::query_as(
        "SELECT secret_id, version, key_id, wrapped_key, ciphertext FROM secret
         WHERE org_id = current_org() AND key_id <> $1 AND ($2::uuid IS NULL OR secret_id > $2)
         ORDER BY secret_id LIMIT $3",
    )
    .bind(current)
    .bind(after.map(|id| id.0))
    .bind(limit)
    .fetch_all(tx.conn())
    .await?;
    Ok(rows
        .into_iter()
        .map(|(id, version, key_id, wrapped_key, ciphertext)| Wrapped {
            secret_id: SecretId(id),
            version,
            sealed: SealedValue { key_id, wrapped_key, ciphertext },
        })
        .collect())
}

/// Writes wrapped keys down. A value that was replaced meanwhile is left as it is: its new seal is newer.
/// Answers how many were written.
///
/// # Errors
/// [`StoreError::Away`] when PostgreSQL can't be reached.
pub async fn rewrap(vault: &Store, org: OrgId, anew: &[Wrapped]) -> Result<u64, StoreError> {
    let mut tx = Tx::system(vault, org, "wrap values with the current key").await?;
    let done = sqlx::query(
        "UPDATE secret s SET key_id = t.key_id, wrapped_key = t.wrapped_key
         FROM unnest($1::uuid[], $2::int4[], $3::text[], $4::bytea[]) AS t(secret_id, version, key_id, wrapped_key)
         WHERE s.secret_id = t.secret_id AND s.version = t.version",
    )
    .bind(anew.iter().map(|row| row.secret_id.0).collect::<Vec<_>>())
    .bind(anew.iter().map(|row| row.version).collect::<Vec<_>>())
    .bind(anew.iter().map(|row| row.sealed.key_id.as_str()).collect::<Vec<_>>())
    .bind(anew.iter().map(|row| row.sealed.wrapped_key.as_slice()).collect::<Vec<_>>())
    .execute(tx.conn())
    .await?;
    // Recorded by whoever rotates, as the app: this role can't write there.
    tx.commit_unrecorded("recorded for the organisation as a whole").await?;
    Ok(done.rows_affected())
}
