//! Which kinds of jobs need an approval.

use domain::OrgId;
use sqlx::PgConnection;
use uuid::Uuid;

use crate::{Store, StoreError};

/// A kind that one organisation guards by a rule of its own.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Guarded {
    /// Whose rule.
    pub org_id: OrgId,
    /// The kind of job.
    pub kind: String,
}

/// Tells the database which kinds need an approval in every organisation: those that move money. Only adds;
/// safe to call from every process at its start.
///
/// # Errors
/// [`StoreError::Away`] when PostgreSQL can't be reached.
pub async fn declare_guarded(store: &Store, kinds: &[&str]) -> Result<(), StoreError> {
    if !kinds.is_empty() {
        sqlx::query("SELECT guard_kinds($1)").bind(kinds).execute(store.pool()).await?;
    }
    Ok(())
}

/// Every organisation's own rules on kinds of jobs, for refusing early.
///
/// # Errors
/// [`StoreError::Away`] when PostgreSQL can't be reached.
pub async fn guarded_by_rule(store: &Store) -> Result<Vec<Guarded>, StoreError> {
    let rows: Vec<(Uuid, String)> =
        sqlx::query_as("SELECT org_id, kind FROM guarded_by_rule()").fetch_all(store.pool()).await?;
    Ok(rows.into_iter().map(|(org, kind)| Guarded { org_id: OrgId(org), kind }).collect())
}

/// Whether jobs of a kind need an approval in an organisation, as the database sees it now.
///
/// # Errors
/// [`StoreError::Away`] when PostgreSQL can't be reached.
pub async fn needs_approval(
    connection: &mut PgConnection,
    org: OrgId,
    kind: &str,
) -> Result<bool, StoreError> {
    Ok(sqlx::query_scalar("SELECT needs_approval($1, $2)")
        .bind(org.0)
        .bind(kind)
        .fetch_one(connection)
        .await?)
}
