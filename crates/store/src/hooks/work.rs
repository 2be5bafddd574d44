//! For the job that processes an event: what to process, and how it went.

use chrono::{DateTime, Utc};
use domain::{HookEventId, WorkspaceId};
use serde_json::json;
use uuid::Uuid;

use crate::audit::Entry;
use crate::{StoreError, Tx};

/// An event and what its endpoint says about it.
#[derive(Clone, Debug, sqlx::FromRow)]
pub struct ToProcess {
    /// The room it belongs to.
    pub workspace_id: Option<Uuid>,
    /// Who sent it.
    pub provider: String,
    /// Their id of it.
    pub provider_event_id: String,
    /// When it arrived.
    pub received_at: DateTime<Utc>,
    /// Exactly what was signed.
    pub body: Vec<u8>,
    /// Where it is sent on to.
    pub forward_url: Option<String>,
}

/// What the job is to process.
///
/// # Errors
/// [`StoreError::NotFound`] when there is no such event.
pub async fn to_process(tx: &mut Tx, id: HookEventId) -> Result<ToProcess, StoreError> {
    let row = sqlx::query_as(
        "SELECT e.workspace_id, e.provider, e.provider_event_id, e.received_at, e.body, h.forward_url
         FROM hook_event e JOIN hook_endpoint h USING (org_id, hook_endpoint_id)
         WHERE e.org_id = current_org() AND e.hook_event_id = $1",
    )
    .bind(id.0)
    .fetch_optional(tx.conn())
    .await?;
    row.ok_or(StoreError::NotFound("event"))
}

/// Marks it processed. Doing so again changes nothing but the time.
///
/// # Errors
/// [`StoreError`].
pub async fn mark_processed(
    tx: &mut Tx,
    id: HookEventId,
    event_type: &str,
    result: &str,
) -> Result<(), StoreError> {
    mark(tx, id, "processed", Some(event_type), result).await
}

/// Marks it failed for good, with the cause.
///
/// # Errors
/// [`StoreError`].
pub async fn mark_failed(tx: &mut Tx, id: HookEventId, cause: &str) -> Result<(), StoreError> {
    mark(tx, id, "failed", None, cause).await
}

async fn mark(
    tx: &mut Tx,
    id: HookEventId,
    state: &str,
    event_type: Option<&str>,
    result: &str,
) -> Result<(), StoreError> {
    let room: Option<Option<Uuid>> = sqlx::query_scalar(
        "UPDATE hook_event SET state = $2, event_type = coalesce($3, event_type), processed_at = now(), result = $4
         WHERE org_id = current_org() AND hook_event_id = $1 RETURNING workspace_id",
    )
    .bind(id.0)
    .bind(state)
    .bind(event_type)
    .bind(result)
    .fetch_optional(tx.conn())
    .await?;
    let Some(room) = room else { return Err(StoreError::NotFound("event")) };
    let action = if state == "failed" { "hook_event.fail" } else { "hook_event.process" };
    tx.record(
        Entry::new(action, "hook_event", id)
            .workspace(room.map(WorkspaceId))
            .after(json!({ "event_type": event_type, "result": result })),
    )
    .await?;
    Ok(())
}
