//! The fleet, for looking.

use chrono::{DateTime, Utc};
use sqlx::{FromRow, PgConnection};
use uuid::Uuid;

use crate::error::OpsError;

/// One worker process.
#[derive(Clone, Debug, FromRow)]
pub struct WorkerView {
    /// Its present life.
    pub worker_id: Uuid,
    /// Name for people.
    pub name: String,
    /// Host it runs on.
    pub host: String,
    /// Process id there.
    pub pid: i32,
    /// Version of the program.
    pub version: String,
    /// Lanes it works in.
    pub lanes: Vec<String>,
    /// `running`, `draining`, `stopped` or `lost`.
    pub state: String,
    /// Jobs in its hands at its last heartbeat.
    pub in_flight: i32,
    /// When it came.
    pub started_at: DateTime<Utc>,
    /// Its last heartbeat.
    pub last_seen_at: DateTime<Utc>,
    /// When it left or was declared lost.
    pub stopped_at: Option<DateTime<Utc>>,
}

/// Workers that live, and those that left within a day; newest first, at most 500.
///
/// # Errors
/// [`OpsError::Queue`].
pub async fn list(connection: &mut PgConnection) -> Result<Vec<WorkerView>, OpsError> {
    Ok(sqlx::query_as(
        "SELECT worker_id, name, host, pid, version, lanes, state, in_flight, started_at, last_seen_at, stopped_at
         FROM worker WHERE stopped_at IS NULL OR stopped_at > now() - interval '1 day'
         ORDER BY (state IN ('running', 'draining')) DESC, started_at DESC LIMIT 500",
    )
    .fetch_all(connection)
    .await?)
}
