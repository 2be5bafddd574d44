//! What workers read, as the vault's role: the sealed bytes of one credential, and a note of its use.

use std::collections::HashMap;

use domain::{OrgId, SecretId, WorkspaceId};

use super::SealedValue;
use crate::{Store, StoreError, Tx};

/// A credential that a job asked for.
pub struct Found {
    /// Its id.
    pub secret_id: SecretId,
    /// The room it belongs to; none: the whole organisation.
    pub workspace_id: Option<WorkspaceId>,
    /// The version it was sealed for.
    pub version: i32,
    /// The value.
    pub sealed: SealedValue,
}

/// The credential of that name, if there is one. `vault` acts as `countersign_vault`.
///
/// # Errors
/// [`StoreError::Away`] when PostgreSQL can't be reached.
pub async fn find(vault: &Store, org: OrgId, name: &str) -> Result<Option<Found>, StoreError> {
    type Row = (uuid::Uuid, Option<uuid::Uuid>, i32, String, Vec<u8>, Vec<u8>);
    let mut tx = Tx::system(vault, org, "open a credential").await?;
    let row: Option<Row> = sqlx::query_as(
        "SELECT secret_id, workspace_id, version, key_id, wrapped_key, ciphertext FROM secret
         WHERE org_id = current_org() AND name = $1",
    )
    .bind(name)
    .fetch_optional(tx.conn())
    .await?;
    Ok(row.map(|(secret_id, workspace_id, version, key_id, wrapped_key, ciphertext)| Found {
        secret_id: SecretId(secret_id),
        workspace_id: workspace_id.map(WorkspaceId),
        version,
        sealed: SealedValue { key_id, wrapped_key, ciphertext },
    }))
}

/// Adds uses to the map: how often each kind opened each of an organisation's credentials since the last time.
/// One that was deleted meanwhile is passed over.
///
/// # Errors
/// [`StoreError::Away`] when PostgreSQL can't be reached.
pub async fn note_uses(
    vault: &Store,
    org: OrgId,
    uses: &HashMap<(SecretId, String), i64>,
) -> Result<(), StoreError> {
    let mut tx = Tx::system(vault, org, "note the use of credentials").await?;
    // In one order everywhere, so that two workers never wait for each other in a circle.
    let mut rows: Vec<_> = uses.iter().collect();
    rows.sort();
    let ids: Vec<_> = rows.iter().map(|((secret, _), _)| secret.0).collect();
    let by: Vec<_> = rows.iter().map(|((_, by), _)| by.as_str()).collect();
    let counts: Vec<_> = rows.iter().map(|(_, count)| **count).collect();
    sqlx::query(
        "WITH held AS (
             SELECT secret_id FROM secret WHERE secret_id = ANY ($1) ORDER BY secret_id FOR NO KEY UPDATE
         ), opened AS (
             UPDATE secret SET last_opened_at = now() WHERE secret_id IN (SELECT secret_id FROM held)
         )
         INSERT INTO secret_use (secret_id, org_id, used_by, uses)
         SELECT t.secret_id, current_org(), t.used_by, t.uses
         FROM unnest($1::uuid[], $2::text[], $3::int8[]) AS t(secret_id, used_by, uses)
         WHERE t.secret_id IN (SELECT secret_id FROM held)
         ORDER BY 1, 3
         ON CONFLICT (secret_id, used_by) DO UPDATE
         SET last_at = now(), uses = secret_use.uses + excluded.uses",
    )
    .bind(ids)
    .bind(by)
    .bind(counts)
    .execute(tx.conn())
    .await?;
    tx.commit_unrecorded("times of use").await
}
