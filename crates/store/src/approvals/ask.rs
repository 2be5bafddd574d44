//! Asking for an approval, and editing what was asked.

use chrono::{DateTime, Utc};
use domain::{ApprovalId, WorkspaceId};
use serde_json::json;
use serde_json::value::RawValue;
use uuid::Uuid;

use crate::audit::Entry;
use crate::{StoreError, Tx};

/// What is to be approved.
#[derive(Clone, Debug)]
pub struct Ask {
    /// `job:<kind>`, `job_replay`, or another noun.
    pub subject_kind: String,
    /// Which one; the job's id where it is a job.
    pub subject_id: String,
    /// The room it belongs to; must be the job's own.
    pub workspace_id: Option<WorkspaceId>,
    /// A JSON object, exactly as it is hashed: `summary`, perhaps `amount_minor` with `currency`, `evidence`, and
    /// `job`, the job that the approval releases.
    pub content: Box<RawValue>,
}

/// What was asked for.
#[derive(Clone, Debug)]
pub struct Asked {
    /// The approval.
    pub approval_id: ApprovalId,
    /// SHA-256 of the content's text: what a decision must repeat.
    pub content_hash: [u8; 32],
    /// When it ends undecided.
    pub expires_at: DateTime<Utc>,
    /// What it is about.
    pub subject_kind: String,
    /// Approvals that this one made void.
    pub voided: Vec<ApprovalId>,
}

/// Asks for an approval in the name of whoever the transaction is for.
///
/// # Errors
/// [`StoreError::Refused`] when the subject changed meanwhile, waits for a decision already or was released.
pub async fn ask(tx: &mut Tx, ask: &Ask) -> Result<Asked, StoreError> {
    let asked = insert(tx, ask, None).await?;
    tx.record(entry("approval.request", ask, &asked)).await?;
    Ok(asked)
}

/// Gives the subject of an approval another content: the approval is void, a new one is asked for, and the
/// editor is one of its makers.
///
/// # Errors
/// [`StoreError::NotFound`]; [`StoreError::Refused`] when it was edited meanwhile, released, or when the content
/// is about something else.
pub async fn edit(tx: &mut Tx, approval: ApprovalId, content: Box<RawValue>) -> Result<Asked, StoreError> {
    type Row = (String, String, Option<Uuid>);
    let row: Option<Row> = sqlx::query_as(
        "SELECT subject_kind, subject_id, workspace_id FROM approval
         WHERE approval_id = $1 AND org_id = current_org()",
    )
    .bind(approval.0)
    .fetch_optional(tx.conn())
    .await?;
    let (subject_kind, subject_id, workspace) = row.ok_or(StoreError::NotFound("approval"))?;
    lock(tx, &subject_kind, &subject_id).await?;
    let newest: Option<(Uuid, String)> = sqlx::query_as(
        "SELECT approval_id, state FROM approval
         WHERE org_id = current_org() AND subject_kind = $1 AND subject_id = $2
         ORDER BY approval_id DESC LIMIT 1",
    )
    .bind(&subject_kind)
    .bind(&subject_id)
    .fetch_optional(tx.conn())
    .await?;
    match newest {
        Some((newest, _)) if newest != approval.0 => {
            return Err(StoreError::Refused(format!(
                "this was edited already: approval {newest} took its place; edit that one"
            )));
        }
        Some((_, state)) if state == "approved" => {
            return Err(StoreError::Refused(
                "this was approved already, and what it releases can't be edited; ask for a new one".into(),
            ));
        }
        _ => {}
    }
    sqlx::query(
        "UPDATE approval_subject SET content_hash = sha256(convert_to($3, 'UTF8'))
         WHERE org_id = current_org() AND subject_kind = $1 AND subject_id = $2",
    )
    .bind(&subject_kind)
    .bind(&subject_id)
    .bind(content.get())
    .execute(tx.conn())
    .await?;
    let ask = Ask { subject_kind, subject_id, workspace_id: workspace.map(WorkspaceId), content };
    let mut asked = insert(tx, &ask, Some(approval)).await?;
    asked.voided.push(approval);
    let entry = entry("approval.edit", &ask, &asked).before(json!({ "approval_id": approval }));
    tx.record(entry).await?;
    Ok(asked)
}

/// Gives a subject that was decided on before, and now comes up again, the content it has this time. What waits
/// for a decision stays as it is: asking for the same again is refused by [`ask`].
///
/// # Errors
/// [`StoreError`].
pub async fn renew(tx: &mut Tx, ask: &Ask) -> Result<(), StoreError> {
    // A statement that waited for this lock by itself would not see what was asked for meanwhile.
    lock(tx, &ask.subject_kind, &ask.subject_id).await?;
    sqlx::query(
        "UPDATE approval_subject s SET content_hash = sha256(convert_to($3, 'UTF8'))
         WHERE s.org_id = current_org() AND s.subject_kind = $1 AND s.subject_id = $2
           AND NOT EXISTS (SELECT FROM approval a WHERE a.org_id = s.org_id AND a.subject_kind = s.subject_kind
                           AND a.subject_id = s.subject_id AND a.state = 'pending'
                           AND a.expires_at > clock_timestamp())",
    )
    .bind(&ask.subject_kind)
    .bind(&ask.subject_id)
    .bind(ask.content.get())
    .execute(tx.conn())
    .await?;
    Ok(())
}

/// Waits for whoever decides on the subject or edits it; the rows that are read next are as they left them.
async fn lock(tx: &mut Tx, subject_kind: &str, subject_id: &str) -> Result<(), StoreError> {
    sqlx::query(
        "SELECT FROM approval_subject WHERE org_id = current_org() AND subject_kind = $1 AND subject_id = $2
         FOR UPDATE",
    )
    .bind(subject_kind)
    .bind(subject_id)
    .fetch_optional(tx.conn())
    .await?;
    Ok(())
}

async fn insert(tx: &mut Tx, ask: &Ask, replaces: Option<ApprovalId>) -> Result<Asked, StoreError> {
    let approval_id = ApprovalId::new();
    let requested_by = tx.actor_id();
    // What the trigger fills in is null here; it decides over hash, summary, rule, times and state.
    sqlx::query(
        "INSERT INTO approval (approval_id, org_id, workspace_id, subject_kind, subject_id, content, requested_by,
                               replaces)
         VALUES ($1, current_org(), $2, $3, $4, $5::text::json, $6, $7)",
    )
    .bind(approval_id.0)
    .bind(ask.workspace_id.map(|id| id.0))
    .bind(&ask.subject_kind)
    .bind(&ask.subject_id)
    .bind(ask.content.get())
    .bind(requested_by.map(|id| id.0))
    .bind(replaces.map(|id| id.0))
    .execute(tx.conn())
    .await?;
    let (hash, expires_at): (Vec<u8>, DateTime<Utc>) =
        sqlx::query_as("SELECT content_hash, expires_at FROM approval WHERE approval_id = $1")
            .bind(approval_id.0)
            .fetch_one(tx.conn())
            .await?;
    let content_hash = hash.try_into().map_err(|_| StoreError::Database(sqlx::Error::RowNotFound))?;
    Ok(Asked {
        approval_id,
        content_hash,
        expires_at,
        subject_kind: ask.subject_kind.clone(),
        voided: Vec::new(),
    })
}

/// What the log says of it: never the content, which may hold what is hidden from readers.
fn entry(action: &'static str, ask: &Ask, asked: &Asked) -> Entry {
    Entry::new(action, "approval", asked.approval_id).workspace(ask.workspace_id).after(json!({
        "subject_kind": ask.subject_kind, "subject_id": ask.subject_id,
        "content_hash": hex::encode(asked.content_hash), "expires_at": asked.expires_at,
    }))
}
