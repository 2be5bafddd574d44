//! Ending approvals that nobody decided in time. A decision that comes too late is refused whether or not
//! this ran: it is for lists, the audit log and whoever watches.

use domain::{ApprovalId, OrgId, WorkspaceId};
use serde_json::json;
use uuid::Uuid;

use crate::audit::Entry;
use crate::{Store, StoreError, Tx};

/// Most approvals ended in one transaction.
const MOST: i32 = 200;

/// An approval that ended undecided.
#[derive(Clone, Debug)]
pub struct Expired {
    /// Whose.
    pub org_id: OrgId,
    /// Which.
    pub approval_id: ApprovalId,
    /// What it was about.
    pub subject_kind: String,
}

/// Ends every approval whose time is over, in all organisations. Any number of processes may do it at once.
///
/// # Errors
/// [`StoreError::Away`] when PostgreSQL can't be reached; what was ended before stays ended.
pub async fn expire_due(store: &Store) -> Result<Vec<Expired>, StoreError> {
    let orgs: Vec<Uuid> = sqlx::query_scalar("SELECT approval_due_orgs()").fetch_all(store.pool()).await?;
    let mut ended = Vec::new();
    for org in orgs.into_iter().map(OrgId) {
        loop {
            let mut tx = Tx::system(store, org, "end approvals that nobody decided").await?;
            let rows: Vec<(Uuid, String, Option<Uuid>)> =
                sqlx::query_as("SELECT approval_id, subject_kind, workspace_id FROM approval_expire($1)")
                    .bind(MOST)
                    .fetch_all(tx.conn())
                    .await?;
            if rows.is_empty() {
                break;
            }
            for (approval, subject_kind, workspace) in rows {
                let approval_id = ApprovalId(approval);
                let entry = Entry::new("approval.expire", "approval", approval_id)
                    .workspace(workspace.map(WorkspaceId))
                    .after(json!({ "state": "expired", "subject_kind": subject_kind }));
                tx.record(entry).await?;
                ended.push(Expired { org_id: org, approval_id, subject_kind });
            }
            tx.commit().await?;
        }
    }
    Ok(ended)
}
