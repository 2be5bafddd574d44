//! At the door: which endpoint is meant, and an event taken in once.

use domain::{HookEndpointId, HookEventId, JobId, OrgId, WorkspaceId};
use serde_json::Value;
use uuid::Uuid;

use crate::audit::Entry;
use crate::{Store, StoreError, Tx};

/// What the door needs to know of an endpoint.
pub struct Door {
    /// Whose it is.
    pub org_id: OrgId,
    /// The room it belongs to.
    pub workspace_id: Option<WorkspaceId>,
    /// How its signatures read.
    pub provider: String,
    /// Sealed secrets, newest first.
    pub secrets_sealed: Vec<Vec<u8>>,
    /// How far a signed time may lie from now, in seconds.
    pub tolerance_s: i32,
    /// Whether it takes anything.
    pub enabled: bool,
}

/// An event that was checked.
pub struct NewEvent<'a> {
    /// Its id.
    pub event_id: HookEventId,
    /// Where it arrived.
    pub endpoint_id: HookEndpointId,
    /// The room it belongs to.
    pub workspace_id: Option<WorkspaceId>,
    /// Who sent it.
    pub provider: &'a str,
    /// Their id of it.
    pub provider_event_id: &'a str,
    /// Headers worth keeping.
    pub headers: &'a Value,
    /// Exactly what was signed.
    pub body: &'a [u8],
    /// The job that will process it.
    pub job_id: JobId,
}

/// What became of an event that arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arrived {
    /// Our id of it.
    pub event_id: HookEventId,
    /// The job that processes it.
    pub job_id: JobId,
    /// False when it had arrived before.
    pub is_new: bool,
}

/// The endpoint of exactly this id, whoever's it is.
///
/// # Errors
/// [`StoreError::Away`] when PostgreSQL can't be reached.
pub async fn look_up(store: &Store, endpoint: HookEndpointId) -> Result<Option<Door>, StoreError> {
    type Row = (Uuid, Option<Uuid>, String, Vec<Vec<u8>>, i32, bool);
    let row: Option<Row> = sqlx::query_as(
        "SELECT org_id, workspace_id, provider, secrets_sealed, tolerance_s, enabled
         FROM hook_endpoint_lookup($1)",
    )
    .bind(endpoint.0)
    .fetch_optional(store.pool())
    .await?;
    Ok(row.map(|(org, room, provider, secrets_sealed, tolerance_s, enabled)| Door {
        org_id: OrgId(org),
        workspace_id: room.map(WorkspaceId),
        provider,
        secrets_sealed,
        tolerance_s,
        enabled,
    }))
}

/// Takes an event in, or finds that it is there already. The caller enqueues the job of a new one in the same
/// transaction. Two of the same id at once wait for each other.
///
/// # Errors
/// [`StoreError::Away`] when PostgreSQL can't be reached.
pub async fn store(tx: &mut Tx, event: &NewEvent<'_>) -> Result<Arrived, StoreError> {
    let done = sqlx::query(
        "INSERT INTO hook_event (hook_event_id, org_id, workspace_id, hook_endpoint_id, provider, provider_event_id,
                                 headers, body, job_id)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
         ON CONFLICT (hook_endpoint_id, provider_event_id) DO NOTHING",
    )
    .bind(event.event_id.0)
    .bind(tx.org_id().0)
    .bind(event.workspace_id.map(|room| room.0))
    .bind(event.endpoint_id.0)
    .bind(event.provider)
    .bind(event.provider_event_id)
    .bind(event.headers)
    .bind(event.body)
    .bind(event.job_id.0)
    .execute(tx.conn())
    .await?;
    if done.rows_affected() == 1 {
        tx.record(
            Entry::new("hook_event.receive", "hook_event", event.event_id)
                .workspace(event.workspace_id)
                .job(event.job_id)
                .after(serde_json::json!({
                    "endpoint_id": event.endpoint_id, "provider": event.provider,
                    "provider_event_id": event.provider_event_id, "bytes": event.body.len(),
                })),
        )
        .await?;
        return Ok(Arrived { event_id: event.event_id, job_id: event.job_id, is_new: true });
    }
    let (event_id, job_id): (Uuid, Uuid) = sqlx::query_as(
        "SELECT hook_event_id, job_id FROM hook_event WHERE hook_endpoint_id = $1 AND provider_event_id = $2",
    )
    .bind(event.endpoint_id.0)
    .bind(event.provider_event_id)
    .fetch_one(tx.conn())
    .await?;
    Ok(Arrived { event_id: HookEventId(event_id), job_id: JobId(job_id), is_new: false })
}
