//! What arrived: found by filters, shown, processed again.

use chrono::{DateTime, Utc};
use domain::{HookEndpointId, HookEventId, JobId, WorkspaceId};
use serde_json::{Value, json};
use sqlx::{Postgres, QueryBuilder};
use uuid::Uuid;

use crate::audit::Entry;
use crate::{Cursor, StoreError, Tx};

/// Which events to list; what is none does not filter.
#[derive(Clone, Debug, Default)]
pub struct EventFilter {
    /// Only of this endpoint.
    pub endpoint_id: Option<HookEndpointId>,
    /// Only of this provider.
    pub provider: Option<String>,
    /// `received`, `processed` or `failed`.
    pub state: Option<String>,
    /// Only of exactly this type.
    pub event_type: Option<String>,
    /// Only with exactly this id of the provider's.
    pub provider_event_id: Option<String>,
    /// Arrived at or after.
    pub received_from: Option<DateTime<Utc>>,
    /// Arrived before.
    pub received_to: Option<DateTime<Utc>>,
}

/// An event as listed.
#[derive(Clone, Debug, sqlx::FromRow)]
pub struct EventRow {
    /// Its id.
    pub hook_event_id: Uuid,
    /// Where it arrived.
    pub hook_endpoint_id: Uuid,
    /// The room it belongs to.
    pub workspace_id: Option<Uuid>,
    /// Who sent it.
    pub provider: String,
    /// Their id of it.
    pub provider_event_id: String,
    /// Its type, once it was processed.
    pub event_type: Option<String>,
    /// When it arrived.
    pub received_at: DateTime<Utc>,
    /// Bytes of its body.
    pub body_bytes: i32,
    /// `received`, `processed` or `failed`.
    pub state: String,
    /// The job that processes it.
    pub job_id: Uuid,
    /// When it was last processed.
    pub processed_at: Option<DateTime<Utc>>,
    /// What became of it.
    pub result: Option<String>,
}

/// An event with what came.
#[derive(Clone, Debug, sqlx::FromRow)]
pub struct EventDetail {
    /// As listed.
    #[sqlx(flatten)]
    pub row: EventRow,
    /// Headers that were kept.
    pub headers: Value,
    /// What was signed.
    pub body: Vec<u8>,
}

/// A page of events.
#[derive(Clone, Debug)]
pub struct EventPage {
    /// Newest first.
    pub rows: Vec<EventRow>,
    /// The cursor of the next page; none at the end.
    pub next: Option<String>,
}

const COLUMNS: &str = "e.hook_event_id, e.hook_endpoint_id, e.workspace_id, e.provider, e.provider_event_id, \
                       e.event_type, e.received_at, octet_length(e.body) AS body_bytes, e.state, e.job_id, \
                       e.processed_at, e.result";

/// A page of the events the caller sees.
///
/// # Errors
/// [`StoreError::BadCursor`] for a cursor of another list.
pub async fn events(
    tx: &mut Tx,
    filter: &EventFilter,
    cursor: Option<&str>,
    limit: u16,
) -> Result<EventPage, StoreError> {
    let fingerprint = format!("hook events {} {filter:?}", tx.org_id());
    let before = cursor.map(|text| Cursor::decode(text, fingerprint.as_bytes())).transpose()?;
    let mut sql: QueryBuilder<Postgres> =
        QueryBuilder::new(format!("SELECT {COLUMNS} FROM hook_event e WHERE e.org_id = current_org()"));
    if let Some(Cursor { before }) = before {
        sql.push(" AND e.hook_event_id < ").push_bind(before);
    }
    if let Some(endpoint) = filter.endpoint_id {
        sql.push(" AND e.hook_endpoint_id = ").push_bind(endpoint.0);
    }
    for (column, value) in [
        ("provider", &filter.provider),
        ("state", &filter.state),
        ("event_type", &filter.event_type),
        ("provider_event_id", &filter.provider_event_id),
    ] {
        if let Some(value) = value {
            sql.push(format_args!(" AND e.{column} = ")).push_bind(value.clone());
        }
    }
    if let Some(from) = filter.received_from {
        sql.push(" AND e.received_at >= ").push_bind(from);
    }
    if let Some(to) = filter.received_to {
        sql.push(" AND e.received_at < ").push_bind(to);
    }
    sql.push(" ORDER BY e.hook_event_id DESC LIMIT ").push_bind(i64::from(limit) + 1);
    let mut rows: Vec<EventRow> = sql.build_query_as().fetch_all(tx.conn()).await?;
    let more = rows.len() > usize::from(limit);
    rows.truncate(usize::from(limit));
    let next = rows
        .last()
        .filter(|_| more)
        .map(|last| Cursor { before: last.hook_event_id }.encode(fingerprint.as_bytes()));
    Ok(EventPage { rows, next })
}

/// One event.
///
/// # Errors
/// [`StoreError::NotFound`].
pub async fn event(tx: &mut Tx, id: HookEventId) -> Result<EventDetail, StoreError> {
    let row = sqlx::query_as(sqlx::AssertSqlSafe(format!(
        "SELECT {COLUMNS}, e.headers, e.body FROM hook_event e
         WHERE e.org_id = current_org() AND e.hook_event_id = $1"
    )))
    .bind(id.0)
    .fetch_optional(tx.conn())
    .await?;
    row.ok_or(StoreError::NotFound("event"))
}

/// Marks an event for another round under `job`, which the caller enqueues in the same transaction.
///
/// # Errors
/// [`StoreError::NotFound`], also when the caller may not change it.
pub async fn replay(tx: &mut Tx, id: HookEventId, job: JobId) -> Result<(), StoreError> {
    let before: Option<(Uuid, String, Option<Uuid>)> = sqlx::query_as(
        "SELECT job_id, state, workspace_id FROM hook_event
         WHERE org_id = current_org() AND hook_event_id = $1 FOR UPDATE",
    )
    .bind(id.0)
    .fetch_optional(tx.conn())
    .await?;
    let Some((old_job, state, room)) = before else { return Err(StoreError::NotFound("event")) };
    sqlx::query(
        "UPDATE hook_event SET state = 'received', job_id = $2, result = NULL WHERE hook_event_id = $1",
    )
    .bind(id.0)
    .bind(job.0)
    .execute(tx.conn())
    .await?;
    tx.record(
        Entry::new("hook_event.replay", "hook_event", id)
            .workspace(room.map(WorkspaceId))
            .job(job)
            .before(json!({ "state": state, "job_id": old_job }))
            .after(json!({ "state": "received", "job_id": job })),
    )
    .await?;
    Ok(())
}
