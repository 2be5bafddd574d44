//! One approval with everything a decision needs.

use std::collections::HashSet;

use chrono::{DateTime, Utc};
use domain::ApprovalId;
use sqlx::FromRow;
use uuid::Uuid;

use super::list::{COLUMNS, Summary};
use crate::{StoreError, Tx};

/// Everything that is known about an approval.
#[derive(Clone, Debug)]
pub struct Detail {
    /// What lists show of it.
    pub summary: Summary,
    /// The exact content, as JSON text. Not for showing as it is: a job's payload may hold what is hidden.
    pub content: String,
    /// Decisions, oldest first.
    pub decisions: Vec<DecisionMade>,
    /// Who gave it its content, besides who asked.
    pub editors: Vec<Editor>,
    /// The approval that took its place.
    pub replaced_by: Option<Uuid>,
    /// Why the transaction's actor may not approve it; none: they may.
    pub objection: Option<Objection>,
}

/// Somebody's decision.
#[derive(Clone, Debug, FromRow)]
pub struct DecisionMade {
    /// Who.
    pub actor_id: Uuid,
    /// Their name.
    pub actor_name: Option<String>,
    /// `approve` or `reject`.
    pub decision: String,
    /// What they said.
    pub comment: Option<String>,
    /// When.
    pub decided_at: DateTime<Utc>,
}

/// Somebody who made or edited the content.
#[derive(Clone, Debug, FromRow)]
pub struct Editor {
    /// Who.
    pub actor_id: Uuid,
    /// Their name.
    pub actor_name: Option<String>,
    /// When they first did.
    pub first_at: DateTime<Utc>,
}

/// Why somebody may not approve.
#[derive(Clone, Debug, FromRow)]
pub struct Objection {
    /// `decided`, `expired`, `changed`, `person`, `disabled`, `role`, `room`, `repeat`, `maker`, `session` or
    /// `step_up`.
    pub code: String,
    /// The same for people.
    pub sentence: String,
}

#[derive(FromRow)]
struct Head {
    #[sqlx(flatten)]
    summary: Summary,
    content: String,
    replaced_by: Option<Uuid>,
}

/// One approval.
///
/// # Errors
/// [`StoreError::NotFound`] when the transaction's actor sees no such approval.
pub async fn detail(tx: &mut Tx, approval: ApprovalId) -> Result<Detail, StoreError> {
    let text = format!(
        "SELECT {COLUMNS}, a.content::text AS content,
                (SELECT n.approval_id FROM approval n WHERE n.org_id = a.org_id AND n.subject_kind = a.subject_kind
                 AND n.subject_id = a.subject_id AND n.replaces = a.approval_id LIMIT 1) AS replaced_by
         FROM approval a WHERE a.approval_id = $1 AND a.org_id = current_org()"
    );
    let head: Head = sqlx::query_as(sqlx::AssertSqlSafe(text))
        .bind(approval.0)
        .fetch_optional(tx.conn())
        .await?
        .ok_or(StoreError::NotFound("approval"))?;
    let decisions = sqlx::query_as(
        "SELECT d.actor_id, w.name AS actor_name, d.decision, d.comment, d.decided_at
         FROM approval_decision d LEFT JOIN actor w ON w.actor_id = d.actor_id
         WHERE d.approval_id = $1 ORDER BY d.decided_at, d.actor_id",
    )
    .bind(approval.0)
    .fetch_all(tx.conn())
    .await?;
    let editors = sqlx::query_as(
        "SELECT e.actor_id, w.name AS actor_name, min(e.at) AS first_at
         FROM approval_editor e LEFT JOIN actor w ON w.actor_id = e.actor_id
         WHERE e.org_id = current_org() AND e.subject_kind = $1 AND e.subject_id = $2
         GROUP BY 1, 2 ORDER BY 3, 1 LIMIT 100",
    )
    .bind(&head.summary.subject_kind)
    .bind(&head.summary.subject_id)
    .fetch_all(tx.conn())
    .await?;
    let objection = sqlx::query_as("SELECT code, sentence FROM approval_why_not($1, 'approve')")
        .bind(approval.0)
        .fetch_optional(tx.conn())
        .await?;
    Ok(Detail {
        summary: head.summary,
        content: head.content,
        decisions,
        editors,
        replaced_by: head.replaced_by,
        objection,
    })
}

/// Those of the approvals that the transaction's actor sees.
///
/// # Errors
/// [`StoreError`].
pub async fn visible(tx: &mut Tx, approvals: &[Uuid]) -> Result<HashSet<Uuid>, StoreError> {
    let seen: Vec<Uuid> = sqlx::query_scalar(
        "SELECT approval_id FROM approval WHERE approval_id = ANY($1) AND org_id = current_org()",
    )
    .bind(approvals)
    .fetch_all(tx.conn())
    .await?;
    Ok(seen.into_iter().collect())
}
