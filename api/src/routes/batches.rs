//! `GET /v1/batches/{batch_id}`: how jobs that are counted together stand.

use axum::Json;
use axum::extract::State;
use chrono::{DateTime, Utc};
use domain::BatchId;
use queue::ops;
use serde::Serialize;
use store::Tx;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::auth::{Caller, JobsRead};
use crate::input::InPath;
use crate::openapi::ReadsOne;
use crate::problem::Problem;
use crate::state::Api;

/// A batch.
#[derive(Serialize, ToSchema)]
pub(crate) struct Batch {
    batch_id: Uuid,
    /// The workspace of its jobs, when all belong to one.
    workspace_id: Option<Uuid>,
    name: String,
    /// Jobs in it.
    total: i64,
    /// Of these, ended well.
    succeeded: i64,
    /// Of these, dead, cancelled or expired.
    failed: i64,
    /// Of these, not ended yet.
    open: i64,
    created_at: DateTime<Utc>,
    /// When the last job ended.
    completed_at: Option<DateTime<Utc>>,
    /// The job that was enqueued then.
    callback_job_id: Option<Uuid>,
    /// Its jobs.
    jobs_url: String,
}

/// Show a batch
#[utoipa::path(
    get,
    path = "/v1/batches/{batch_id}",
    tag = "jobs",
    operation_id = "showBatch",
    security(("token" = ["jobs:read"])),
    params(("batch_id" = Uuid, Path, description = "The batch.")),
    responses((status = 200, description = "The batch.", body = Batch), ReadsOne),
)]
pub(crate) async fn show_batch(
    State(api): State<Api>,
    caller: Caller<JobsRead>,
    InPath(batch): InPath<Uuid>,
) -> Result<Json<Batch>, Problem> {
    let mut tx = Tx::for_reader(api.store(), &caller.actor).await?;
    let view = ops::batches::get(tx.conn(), caller.actor.org_id, BatchId(batch)).await?;
    Ok(Json(Batch {
        batch_id: view.batch_id,
        workspace_id: view.workspace_id,
        name: view.name,
        total: view.total,
        succeeded: view.succeeded,
        failed: view.failed,
        open: view.total - view.succeeded - view.failed,
        created_at: view.created_at,
        completed_at: view.completed_at,
        callback_job_id: view.callback_job_id,
        jobs_url: format!("/v1/jobs?batch={batch}"),
    }))
}
