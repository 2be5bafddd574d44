//! `POST /v1/jobs/{job_id}/cancel`: calls a job off.

use axum::Json;
use axum::extract::State;
use domain::JobId;
use queue::ops;
use queue::ops::jobs::CancelOutcome;
use serde::{Deserialize, Serialize};
use serde_json::json;
use store::Tx;
use store::audit::Entry;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::auth::{Caller, JobsWrite};
use crate::input::{InPath, OptionalJson};
use crate::openapi::Changes;
use crate::problem::Problem;
use crate::routes::check_reason;
use crate::state::Api;

/// Why.
#[derive(Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct CancelRequest {
    /// Kept with the job.
    #[schema(min_length = 1, max_length = 1000)]
    reason: Option<String>,
}

/// What the cancellation did.
#[derive(Serialize, ToSchema)]
pub(crate) struct Cancelled {
    job_id: Uuid,
    /// `cancelled`: it will not run. `asked`: it is running; its worker stops it, unless it ends first.
    #[schema(example = "cancelled")]
    outcome: &'static str,
}

/// Cancel a job
#[utoipa::path(
    post,
    path = "/v1/jobs/{job_id}/cancel",
    tag = "jobs",
    operation_id = "cancelJob",
    security(("token" = ["jobs:write"])),
    params(("job_id" = Uuid, Path, description = "The job.")),
    request_body = Option<CancelRequest>,
    responses((status = 200, description = "Cancelled, or asked to stop.", body = Cancelled), Changes),
)]
pub(crate) async fn cancel(
    State(api): State<Api>,
    caller: Caller<JobsWrite>,
    InPath(job_id): InPath<Uuid>,
    OptionalJson(request): OptionalJson<CancelRequest>,
) -> Result<Json<Cancelled>, Problem> {
    let reason = request.reason.as_deref().map(check_reason).transpose()?;
    let actor = &caller.actor;
    let mut tx = Tx::for_actor(api.store(), actor).await?;
    let was = store::jobs::place(&mut tx, JobId(job_id)).await?;
    let (outcome, after) =
        ops::jobs::cancel(tx.conn(), actor.org_id, JobId(job_id), Some(actor.actor_id), reason).await?;
    let outcome = match outcome {
        CancelOutcome::Cancelled => "cancelled",
        CancelOutcome::Asked => "asked",
    };
    let entry = Entry::new("job.cancel", "job", job_id).job(JobId(job_id)).workspace(was.workspace());
    let entry = entry.before(was).after(json!({ "outcome": outcome }));
    tx.record(match reason {
        Some(reason) => entry.reason(reason),
        None => entry,
    })
    .await?;
    tx.commit().await?;
    api.queue().after(after).await;
    Ok(Json(Cancelled { job_id, outcome }))
}
