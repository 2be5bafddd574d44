//! `POST /v1/jobs/{job_id}/retry`: lets a waiting job run now.

use axum::Json;
use axum::extract::State;
use domain::{JobId, JobState};
use queue::ops;
use serde::Serialize;
use serde_json::json;
use store::Tx;
use store::audit::Entry;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::auth::{Caller, JobsWrite};
use crate::input::InPath;
use crate::openapi::Changes;
use crate::problem::Problem;
use crate::state::Api;

/// A job that was put into its lane.
#[derive(Serialize, ToSchema)]
pub(crate) struct Requeued {
    pub(crate) job_id: Uuid,
    /// Where it stands now.
    pub(crate) state: JobState,
}

/// Run a waiting job now
///
/// For jobs that are scheduled or parked. A dead letter is replayed instead.
#[utoipa::path(
    post,
    path = "/v1/jobs/{job_id}/retry",
    tag = "jobs",
    operation_id = "retryJob",
    security(("token" = ["jobs:write"])),
    params(("job_id" = Uuid, Path, description = "The job.")),
    responses((status = 200, description = "It is in its lane.", body = Requeued), Changes),
)]
pub(crate) async fn retry(
    State(api): State<Api>,
    caller: Caller<JobsWrite>,
    InPath(job_id): InPath<Uuid>,
) -> Result<Json<Requeued>, Problem> {
    let actor = &caller.actor;
    let mut tx = Tx::for_actor(api.store(), actor).await?;
    let was = store::jobs::place(&mut tx, JobId(job_id)).await?;
    let after = ops::jobs::retry_now(tx.conn(), actor.org_id, JobId(job_id), Some(actor.actor_id)).await?;
    let entry = Entry::new("job.retry", "job", job_id).job(JobId(job_id)).workspace(was.workspace());
    tx.record(entry.before(was).after(json!({ "state": JobState::Queued }))).await?;
    tx.commit().await?;
    api.queue().after(after).await;
    Ok(Json(Requeued { job_id, state: JobState::Queued }))
}
