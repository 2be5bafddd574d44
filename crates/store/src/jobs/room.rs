//! Where jobs belong, and who sees which of them.

use std::collections::HashSet;

use domain::{JobId, WorkspaceId};
use serde::Serialize;
use sqlx::FromRow;
use uuid::Uuid;

use crate::{StoreError, Tx};

/// What the audit log says of a job besides its id.
#[derive(Clone, Debug, Serialize, FromRow)]
pub struct Place {
    /// Its kind.
    pub kind: String,
    /// Where it stands.
    pub state: String,
    /// Its room.
    #[serde(skip)]
    pub workspace_id: Option<Uuid>,
}

impl Place {
    /// Its room.
    #[must_use]
    pub fn workspace(&self) -> Option<WorkspaceId> {
        self.workspace_id.map(WorkspaceId)
    }
}

/// Where a job stands and belongs.
///
/// # Errors
/// [`StoreError::NotFound`] when there is no such job here, or none that may be seen.
pub async fn place(tx: &mut Tx, job: JobId) -> Result<Place, StoreError> {
    sqlx::query_as(
        "SELECT kind, state::text AS state, workspace_id FROM job WHERE job_id = $1 AND org_id = current_org()
         UNION ALL
         SELECT kind, state::text, workspace_id FROM job_history WHERE job_id = $1 AND org_id = current_org()
         LIMIT 1",
    )
    .bind(job.0)
    .fetch_optional(tx.conn())
    .await?
    .ok_or(StoreError::NotFound("job"))
}

/// Those of these jobs that whoever the transaction is for may see.
///
/// # Errors
/// [`StoreError::Away`] when PostgreSQL can't be reached.
pub async fn visible(tx: &mut Tx, jobs: &[Uuid]) -> Result<HashSet<Uuid>, StoreError> {
    let seen: Vec<Uuid> = sqlx::query_scalar(
        "SELECT job_id FROM job WHERE job_id = ANY($1) AND org_id = current_org()
         UNION ALL SELECT job_id FROM job_history WHERE job_id = ANY($1) AND org_id = current_org()",
    )
    .bind(jobs)
    .fetch_all(tx.conn())
    .await?;
    Ok(seen.into_iter().collect())
}

/// Those of these workspaces that are there for whoever the transaction is for.
///
/// # Errors
/// [`StoreError::Away`] when PostgreSQL can't be reached.
pub async fn rooms(tx: &mut Tx, wanted: &[WorkspaceId]) -> Result<HashSet<WorkspaceId>, StoreError> {
    let wanted: Vec<Uuid> = wanted.iter().map(|room| room.0).collect();
    let there: Vec<Uuid> = sqlx::query_scalar(
        "SELECT workspace_id FROM workspace WHERE workspace_id = ANY($1) AND org_id = current_org()",
    )
    .bind(wanted)
    .fetch_all(tx.conn())
    .await?;
    Ok(there.into_iter().map(WorkspaceId).collect())
}
