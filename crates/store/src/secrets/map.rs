//! The map: which credentials there are, whose, and what uses them.

use chrono::{DateTime, Utc};
use domain::SecretId;
use serde::Deserialize;
use sqlx::types::Json;
use uuid::Uuid;

use crate::{StoreError, Tx};

/// Most secrets of one answer; an organisation has dozens.
const MOST: i64 = 1000;

/// A credential, without its value.
#[derive(Clone, Debug, sqlx::FromRow)]
pub struct SecretRow {
    /// Its id.
    pub secret_id: Uuid,
    /// The room it belongs to; none: the whole organisation.
    pub workspace_id: Option<Uuid>,
    /// By which jobs ask for it.
    pub name: String,
    /// What sort of value it is.
    pub kind: String,
    /// The outside system it belongs to.
    pub owner_system: String,
    /// Who stored it.
    pub owner_actor: Option<Uuid>,
    /// Their name.
    pub owner_name: Option<String>,
    /// Counts its values.
    pub version: i32,
    /// The key it is sealed under.
    pub key_id: String,
    /// When it was first stored.
    pub created_at: DateTime<Utc>,
    /// When its value was last replaced.
    pub replaced_at: Option<DateTime<Utc>>,
    /// When the outside system stops taking it.
    pub expires_at: Option<DateTime<Utc>>,
    /// When a worker last opened it.
    pub last_opened_at: Option<DateTime<Utc>>,
    /// What opened it, the latest first.
    pub uses: Json<Vec<Use>>,
}

/// One user of a credential.
#[derive(Clone, Debug, Deserialize)]
pub struct Use {
    /// The job kind.
    pub used_by: String,
    /// When it first did.
    pub first_at: DateTime<Utc>,
    /// When it last did.
    pub last_at: DateTime<Utc>,
    /// How often.
    pub uses: i64,
}

macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT s.secret_id, s.workspace_id, s.name, s.kind, s.owner_system, s.owner_actor,
                    a.name AS owner_name, s.version, s.key_id, s.created_at, s.replaced_at, s.expires_at,
                    s.last_opened_at,
                    coalesce((SELECT jsonb_agg(jsonb_build_object('used_by', u.used_by, 'first_at', u.first_at,
                                               'last_at', u.last_at, 'uses', u.uses) ORDER BY u.last_at DESC)
                              FROM secret_use u WHERE u.secret_id = s.secret_id), '[]') AS uses
             FROM secret s LEFT JOIN actor a ON a.org_id = s.org_id AND a.actor_id = s.owner_actor
             WHERE s.org_id = current_org() ",
            $rest
        )
    };
}

/// The secrets the caller sees, by name.
///
/// # Errors
/// [`StoreError`].
pub async fn list(tx: &mut Tx) -> Result<Vec<SecretRow>, StoreError> {
    Ok(sqlx::query_as(select!("ORDER BY s.name LIMIT $1")).bind(MOST).fetch_all(tx.conn()).await?)
}

/// One of them.
///
/// # Errors
/// [`StoreError::NotFound`].
pub async fn get(tx: &mut Tx, secret: SecretId) -> Result<SecretRow, StoreError> {
    let row =
        sqlx::query_as(select!("AND s.secret_id = $1")).bind(secret.0).fetch_optional(tx.conn()).await?;
    row.ok_or(StoreError::NotFound("secret"))
}
