//! `GET /v1/workers`: who runs the jobs.

use axum::Json;
use axum::extract::State;
use chrono::{DateTime, Utc};
use queue::ops;
use serde::Serialize;
use store::Tx;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::auth::{Caller, JobsRead};
use crate::openapi::Reads;
use crate::problem::Problem;
use crate::state::Api;

/// The fleet.
#[derive(Serialize, ToSchema)]
pub(crate) struct WorkerList {
    /// Living ones first, then those that left within a day.
    workers: Vec<WorkerItem>,
}

/// One worker process.
#[derive(Serialize, ToSchema)]
pub(crate) struct WorkerItem {
    /// Its present life; a process that lost its leases gets a new one.
    worker_id: Uuid,
    name: String,
    version: String,
    /// Lanes it serves.
    lanes: Vec<String>,
    /// `running`, `draining`, `stopped` or `lost`.
    state: String,
    /// Jobs in its hands at its last heartbeat, over all organisations.
    in_flight: i32,
    started_at: DateTime<Utc>,
    /// Its last heartbeat.
    last_seen_at: DateTime<Utc>,
    /// When it left or was declared lost.
    stopped_at: Option<DateTime<Utc>>,
}

/// List workers
#[utoipa::path(
    get,
    path = "/v1/workers",
    tag = "fleet",
    operation_id = "listWorkers",
    security(("token" = ["jobs:read"])),
    responses((status = 200, description = "The fleet.", body = WorkerList), Reads),
)]
pub(crate) async fn workers(
    State(api): State<Api>,
    caller: Caller<JobsRead>,
) -> Result<Json<WorkerList>, Problem> {
    let mut tx = Tx::for_reader(api.store(), &caller.actor).await?;
    let workers = ops::workers::list(tx.conn()).await?;
    Ok(Json(WorkerList {
        workers: workers
            .into_iter()
            .map(|worker| WorkerItem {
                worker_id: worker.worker_id,
                name: worker.name,
                version: worker.version,
                lanes: worker.lanes,
                state: worker.state,
                in_flight: worker.in_flight,
                started_at: worker.started_at,
                last_seen_at: worker.last_seen_at,
                stopped_at: worker.stopped_at,
            })
            .collect(),
    }))
}
