//! The worker's row in the fleet: who it is, that it lives.

use std::sync::RwLock;

use domain::WorkerId;
use sqlx::Row;
use tracing::warn;

use super::{Shared, WorkerConfig};
use crate::engine::{LaneSetting, Queue};
use crate::error::QueueError;

/// The host's name, or `localhost`.
pub(crate) fn hostname() -> String {
    std::env::var("HOSTNAME")
        .ok()
        .or_else(|| std::fs::read_to_string("/etc/hostname").ok())
        .map(|name| name.trim().to_owned())
        .filter(|name| !name.is_empty())
        .unwrap_or_else(|| "localhost".into())
}

/// The worker's present identity. One that was declared lost takes a new one: what was claimed under
/// the old one can't be completed any more.
pub(crate) struct Identity {
    id: RwLock<WorkerId>,
    lanes: Vec<String>,
}

impl Identity {
    pub(crate) async fn register(
        queue: &Queue,
        config: &WorkerConfig,
        lanes: &[LaneSetting],
    ) -> Result<Self, QueueError> {
        let identity = Self {
            id: RwLock::new(WorkerId::new()),
            lanes: lanes.iter().map(|lane| lane.lane.to_string()).collect(),
        };
        identity.insert(queue, config, identity.id()).await?;
        Ok(identity)
    }

    pub(crate) fn id(&self) -> WorkerId {
        *self.id.read().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    async fn insert(&self, queue: &Queue, config: &WorkerConfig, id: WorkerId) -> Result<(), QueueError> {
        sqlx::query(
            "INSERT INTO worker (worker_id, name, host, pid, version, lanes) VALUES ($1, $2, $3, $4, $5, $6)",
        )
        .bind(id.0)
        .bind(&config.name)
        .bind(hostname())
        .bind(i32::try_from(std::process::id()).unwrap_or_default())
        .bind(env!("CARGO_PKG_VERSION"))
        .bind(&self.lanes)
        .execute(queue.pool())
        .await?;
        Ok(())
    }

    /// Takes a new identity after the old one was declared lost. Registered first: jobs claimed under a
    /// name that nobody knows would be taken back at once.
    pub(crate) async fn renew(&self, queue: &Queue, config: &WorkerConfig) -> Result<(), QueueError> {
        let id = WorkerId::new();
        self.insert(queue, config, id).await?;
        *self.id.write().unwrap_or_else(std::sync::PoisonError::into_inner) = id;
        Ok(())
    }
}

/// Beats once. False when the worker was declared lost meanwhile.
pub(crate) async fn beat(shared: &Shared) -> Result<bool, QueueError> {
    let row = sqlx::query(
        "UPDATE worker SET last_seen_at = now(), in_flight = $2
         WHERE worker_id = $1 AND state IN ('running', 'draining') RETURNING worker_id",
    )
    .bind(shared.identity.id().0)
    .bind(i32::try_from(shared.slots.used()).unwrap_or(i32::MAX))
    .fetch_optional(shared.queue.pool())
    .await?;
    Ok(row.is_some())
}

/// Those of the running jobs whose cancellation was asked for.
pub(crate) async fn cancellations(shared: &Shared) -> Result<Vec<uuid::Uuid>, QueueError> {
    let ids = shared.flights.older_than_a_second();
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let rows = sqlx::query("SELECT job_id FROM job WHERE job_id = ANY($1) AND cancel_asked")
        .bind(ids)
        .fetch_all(shared.queue.pool())
        .await?;
    Ok(rows.iter().map(|row| row.try_get(0)).collect::<Result<_, _>>()?)
}

/// Writes the worker's state; a ledger that is away at the end is no reason to hang.
pub(crate) async fn set_state(shared: &Shared, state: &str) {
    let write = sqlx::query(
        "UPDATE worker SET state = $2, last_seen_at = now(), in_flight = $3,
                stopped_at = CASE $2 WHEN 'stopped' THEN now() END
         WHERE worker_id = $1 AND state <> 'lost'",
    )
    .bind(shared.identity.id().0)
    .bind(state)
    .bind(i32::try_from(shared.slots.used()).unwrap_or(i32::MAX))
    .execute(shared.queue.pool());
    match tokio::time::timeout(std::time::Duration::from_secs(5), write).await {
        Ok(Ok(_)) => {}
        Ok(Err(error)) => warn!(error = %error, state, "the fleet was not told"),
        Err(_) => warn!(state, "the fleet was not told: PostgreSQL did not answer"),
    }
}
