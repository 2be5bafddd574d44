//! Deciding and withdrawing.

use domain::{ApprovalId, JobId, WorkspaceId};
use serde_json::json;
use sqlx::FromRow;
use uuid::Uuid;

use super::state::State;
use crate::audit::Entry;
use crate::{StoreError, Tx};

/// What somebody says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Let it happen.
    Approve,
    /// Don't.
    Reject,
}

impl Decision {
    fn as_str(self) -> &'static str {
        match self {
            Self::Approve => "approve",
            Self::Reject => "reject",
        }
    }

    fn action(self) -> &'static str {
        match self {
            Self::Approve => "approval.approve",
            Self::Reject => "approval.reject",
        }
    }
}

/// Why a decision was not taken.
#[derive(Debug, thiserror::Error)]
pub enum DecideError {
    /// A fresh second factor is needed first.
    #[error("{0}")]
    StepUp(String),
    /// The rule leaves the decision to somebody else.
    #[error("{0}")]
    NotYours(String),
    /// Anything else; what the rules refuse is [`StoreError::Refused`].
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<sqlx::Error> for DecideError {
    fn from(error: sqlx::Error) -> Self {
        Self::Store(error.into())
    }
}

/// What a decision did.
#[derive(Clone, Debug)]
pub struct Decided {
    /// Where the approval stands now; pending while more people are needed.
    pub state: State,
    /// What it is about.
    pub subject_kind: String,
    /// What must be enqueued in this transaction, or it will not commit.
    pub released: Option<Released>,
}

/// What the last approval released.
#[derive(Clone, Debug)]
pub struct Released {
    /// The job's id.
    pub job_id: JobId,
    /// The job, as JSON text, exactly as it was approved.
    pub job: String,
    /// It is a dead letter that runs again, not a new job.
    pub replay: bool,
}

#[derive(FromRow)]
struct After {
    state: String,
    subject_kind: String,
    workspace_id: Option<Uuid>,
    released_job_id: Option<Uuid>,
    job: Option<String>,
}

/// Takes somebody's decision on an approval whose content has this hash.
///
/// # Errors
/// [`DecideError`]; a decision that the rules refuse leaves nothing behind.
pub async fn decide(
    tx: &mut Tx,
    approval: ApprovalId,
    decision: Decision,
    content_hash: [u8; 32],
    comment: Option<&str>,
) -> Result<Decided, DecideError> {
    let seen: Option<i32> =
        sqlx::query_scalar("SELECT 1 FROM approval WHERE approval_id = $1 AND org_id = current_org()")
            .bind(approval.0)
            .fetch_optional(tx.conn())
            .await?;
    let actor = tx.actor_id().filter(|_| seen.is_some()).ok_or(StoreError::NotFound("approval"))?;
    // The trigger looks again under its locks; this look only tells what a person can mend.
    let objection: Option<(String, String)> =
        sqlx::query_as("SELECT code, sentence FROM approval_why_not($1, $2)")
            .bind(approval.0)
            .bind(decision.as_str())
            .fetch_optional(tx.conn())
            .await?;
    match objection {
        Some((code, sentence)) if code == "step_up" => return Err(DecideError::StepUp(sentence)),
        Some((code, sentence)) if code == "role" || code == "person" => {
            return Err(DecideError::NotYours(sentence));
        }
        _ => {}
    }
    sqlx::query(
        "INSERT INTO approval_decision (approval_id, actor_id, org_id, decision, content_hash, comment, decided_at)
         VALUES ($1, $2, current_org(), $3, $4, $5, now())",
    )
    .bind(approval.0)
    .bind(actor.0)
    .bind(decision.as_str())
    .bind(content_hash.as_slice())
    .bind(comment)
    .execute(tx.conn())
    .await?;
    let after: After = sqlx::query_as(
        "SELECT state, subject_kind, workspace_id, released_job_id, (content -> 'job')::text AS job
         FROM approval WHERE approval_id = $1",
    )
    .bind(approval.0)
    .fetch_one(tx.conn())
    .await?;
    let state: State =
        after.state.parse().map_err(|error| StoreError::Database(sqlx::Error::Decode(Box::new(error))))?;
    let workspace = after.workspace_id.map(WorkspaceId);
    let mut entry = Entry::new(decision.action(), "approval", approval).workspace(workspace).after(json!({
        "state": state.as_str(), "subject_kind": after.subject_kind, "content_hash": hex::encode(content_hash),
    }));
    if let Some(comment) = comment {
        entry = entry.reason(comment);
    }
    tx.record(entry).await?;
    let released = after.released_job_id.zip(after.job).map(|(job_id, job)| Released {
        job_id: JobId(job_id),
        job,
        replay: after.subject_kind == "job_replay",
    });
    if let Some(released) = &released {
        let entry = Entry::new("approval.release", "approval", approval).workspace(workspace);
        tx.record(entry.job(released.job_id)).await?;
    }
    Ok(Decided { state, subject_kind: after.subject_kind, released })
}

/// Takes back what was asked for; answers what it was about.
///
/// # Errors
/// [`StoreError::NotFound`]; [`StoreError::Refused`] when it was decided or is somebody else's.
pub async fn withdraw(tx: &mut Tx, approval: ApprovalId, reason: Option<&str>) -> Result<String, StoreError> {
    let row: Option<(String, Option<Uuid>)> = sqlx::query_as(
        "SELECT subject_kind, workspace_id FROM approval WHERE approval_id = $1 AND org_id = current_org()",
    )
    .bind(approval.0)
    .fetch_optional(tx.conn())
    .await?;
    let (subject_kind, workspace) = row.ok_or(StoreError::NotFound("approval"))?;
    sqlx::query("SELECT approval_withdraw($1)").bind(approval.0).execute(tx.conn()).await?;
    let mut entry = Entry::new("approval.withdraw", "approval", approval)
        .workspace(workspace.map(WorkspaceId))
        .after(json!({ "state": "withdrawn", "subject_kind": subject_kind }));
    if let Some(reason) = reason {
        entry = entry.reason(reason);
    }
    tx.record(entry).await?;
    Ok(subject_kind)
}
