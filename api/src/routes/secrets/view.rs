//! A secret as it is shown: everything but its value.

use chrono::{DateTime, Utc};
use serde::Serialize;
use store::secrets::SecretRow;
use utoipa::ToSchema;
use uuid::Uuid;

/// A credential, without its value.
#[derive(Serialize, ToSchema)]
pub(crate) struct SecretItem {
    secret_id: Uuid,
    /// By which jobs ask for it.
    #[schema(example = "stripe.api_key")]
    name: String,
    /// What sort of value it is.
    #[schema(example = "api_key")]
    kind: String,
    /// The outside system it belongs to.
    #[schema(example = "Stripe")]
    owner_system: String,
    /// The room it belongs to; none: the whole organisation.
    workspace_id: Option<Uuid>,
    /// Who stored it; none: an operator at the command line.
    owner_actor: Option<Uuid>,
    /// Their name.
    owner_name: Option<String>,
    /// Counts its values.
    version: i32,
    /// The key it is sealed under.
    key_id: String,
    created_at: DateTime<Utc>,
    /// When its value was last replaced.
    replaced_at: Option<DateTime<Utc>>,
    /// Whole days since its value was stored.
    age_days: i64,
    /// When the outside system stops taking it.
    expires_at: Option<DateTime<Utc>>,
    /// Whether that has happened.
    expired: bool,
    /// When a worker last opened it.
    last_opened_at: Option<DateTime<Utc>>,
    /// What opened it, the latest first.
    uses: Vec<SecretUse>,
}

/// What opens a credential.
#[derive(Serialize, ToSchema)]
pub(crate) struct SecretUse {
    /// The job kind.
    #[schema(example = "payouts.send_transfer")]
    used_by: String,
    first_at: DateTime<Utc>,
    last_at: DateTime<Utc>,
    /// How often.
    uses: i64,
}

impl SecretItem {
    pub(crate) fn of(row: SecretRow, now: DateTime<Utc>) -> Self {
        Self {
            age_days: (now - row.replaced_at.unwrap_or(row.created_at)).num_days().max(0),
            expired: row.expires_at.is_some_and(|at| at <= now),
            secret_id: row.secret_id,
            name: row.name,
            kind: row.kind,
            owner_system: row.owner_system,
            workspace_id: row.workspace_id,
            owner_actor: row.owner_actor,
            owner_name: row.owner_name,
            version: row.version,
            key_id: row.key_id,
            created_at: row.created_at,
            replaced_at: row.replaced_at,
            expires_at: row.expires_at,
            last_opened_at: row.last_opened_at,
            uses: row
                .uses
                .0
                .into_iter()
                .map(|each| SecretUse {
                    used_by: each.used_by,
                    first_at: each.first_at,
                    last_at: each.last_at,
                    uses: each.uses,
                })
                .collect(),
        }
    }
}
