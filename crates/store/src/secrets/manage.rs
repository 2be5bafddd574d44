//! Storing, replacing, describing and deleting; each recorded in the audit log, without the value.

use chrono::{DateTime, Utc};
use domain::{SecretId, WorkspaceId};
use serde_json::json;

use super::{SealedValue, SecretRow, get};
use crate::audit::Entry;
use crate::{StoreError, Tx};

/// A credential to store, sealed for version 1.
pub struct NewSecret {
    /// Its id: part of what the seal is bound to, so chosen before.
    pub secret_id: SecretId,
    /// The room it belongs to; none: the whole organisation.
    pub workspace_id: Option<WorkspaceId>,
    /// By which jobs ask for it.
    pub name: String,
    /// What sort of value it is.
    pub kind: String,
    /// The outside system it belongs to.
    pub owner_system: String,
    /// When that system stops taking it.
    pub expires_at: Option<DateTime<Utc>>,
    /// The value.
    pub sealed: SealedValue,
}

/// What to change beside the value; what is none stays.
#[derive(Clone, Debug, Default)]
pub struct SecretPatch {
    /// The outside system it belongs to.
    pub owner_system: Option<String>,
    /// When that system stops taking it; inner none: it is not known.
    pub expires_at: Option<Option<DateTime<Utc>>>,
}

/// Stores a credential.
///
/// # Errors
/// [`StoreError::Conflict`] when the name is taken, [`StoreError::Invalid`] naming a field.
pub async fn create(tx: &mut Tx, new: &NewSecret) -> Result<SecretRow, StoreError> {
    sqlx::query(
        "INSERT INTO secret (secret_id, org_id, workspace_id, name, kind, owner_system, owner_actor, version, key_id,
                             wrapped_key, ciphertext, expires_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, 1, $8, $9, $10, $11)",
    )
    .bind(new.secret_id.0)
    .bind(tx.org_id().0)
    .bind(new.workspace_id.map(|room| room.0))
    .bind(&new.name)
    .bind(&new.kind)
    .bind(&new.owner_system)
    .bind(tx.actor_id().map(|actor| actor.0))
    .bind(&new.sealed.key_id)
    .bind(&new.sealed.wrapped_key)
    .bind(&new.sealed.ciphertext)
    .bind(new.expires_at)
    .execute(tx.conn())
    .await?;
    let made = get(tx, new.secret_id).await?;
    tx.record(Entry::new("secret.create", "secret", new.secret_id).workspace(new.workspace_id).after(
        json!({
            "name": new.name, "kind": new.kind, "owner_system": new.owner_system, "key_id": new.sealed.key_id,
            "expires_at": new.expires_at,
        }),
    ))
    .await?;
    Ok(made)
}

/// The version that a new value must be sealed for. Holds the row, so that two replacements take turns.
///
/// # Errors
/// [`StoreError::NotFound`].
pub async fn next_version(tx: &mut Tx, secret: SecretId) -> Result<i32, StoreError> {
    let version: Option<i32> =
        sqlx::query_scalar("SELECT version + 1 FROM secret WHERE secret_id = $1 FOR UPDATE")
            .bind(secret.0)
            .fetch_optional(tx.conn())
            .await?;
    version.ok_or(StoreError::NotFound("secret"))
}

/// Puts a new value in the place of the old one, which is gone then.
///
/// # Errors
/// [`StoreError::NotFound`].
pub async fn replace(
    tx: &mut Tx,
    secret: SecretId,
    version: i32,
    sealed: &SealedValue,
) -> Result<SecretRow, StoreError> {
    let done = sqlx::query(
        "UPDATE secret SET version = $2, key_id = $3, wrapped_key = $4, ciphertext = $5, replaced_at = now()
         WHERE secret_id = $1 AND version = $2 - 1",
    )
    .bind(secret.0)
    .bind(version)
    .bind(&sealed.key_id)
    .bind(&sealed.wrapped_key)
    .bind(&sealed.ciphertext)
    .execute(tx.conn())
    .await?;
    if done.rows_affected() == 0 {
        return Err(StoreError::NotFound("secret"));
    }
    let now = get(tx, secret).await?;
    tx.record(
        Entry::new("secret.replace", "secret", secret)
            .workspace(now.workspace_id.map(WorkspaceId))
            .after(json!({ "name": now.name, "version": version, "key_id": sealed.key_id })),
    )
    .await?;
    Ok(now)
}

/// Changes what is said about it.
///
/// # Errors
/// [`StoreError::NotFound`], [`StoreError::Invalid`] naming a field.
pub async fn describe(tx: &mut Tx, secret: SecretId, patch: &SecretPatch) -> Result<SecretRow, StoreError> {
    let before = get(tx, secret).await?;
    sqlx::query(
        "UPDATE secret SET owner_system = coalesce($2, owner_system),
                expires_at = CASE WHEN $3 THEN $4 ELSE expires_at END
         WHERE secret_id = $1",
    )
    .bind(secret.0)
    .bind(&patch.owner_system)
    .bind(patch.expires_at.is_some())
    .bind(patch.expires_at.flatten())
    .execute(tx.conn())
    .await?;
    let now = get(tx, secret).await?;
    let told = |row: &SecretRow| json!({ "owner_system": row.owner_system, "expires_at": row.expires_at });
    tx.record(
        Entry::new("secret.describe", "secret", secret)
            .workspace(now.workspace_id.map(WorkspaceId))
            .before(told(&before))
            .after(told(&now)),
    )
    .await?;
    Ok(now)
}

/// Deletes it: its sealed bytes are gone, and jobs that ask for it fail with its name.
///
/// # Errors
/// [`StoreError::NotFound`].
pub async fn delete(tx: &mut Tx, secret: SecretId) -> Result<(), StoreError> {
    let gone = get(tx, secret).await?;
    let done =
        sqlx::query("DELETE FROM secret WHERE secret_id = $1").bind(secret.0).execute(tx.conn()).await?;
    if done.rows_affected() == 0 {
        return Err(StoreError::NotFound("secret"));
    }
    tx.record(
        Entry::new("secret.delete", "secret", secret)
            .workspace(gone.workspace_id.map(WorkspaceId))
            .before(json!({ "name": gone.name, "kind": gone.kind, "owner_system": gone.owner_system })),
    )
    .await?;
    Ok(())
}
