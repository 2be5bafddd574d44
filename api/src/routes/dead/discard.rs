//! `POST /v1/dead/{job_id}/discard`: one dead letter is set aside for good.

use axum::Json;
use axum::extract::State;
use domain::JobId;
use queue::ops;
use serde::{Deserialize, Serialize};
use store::Tx;
use store::audit::Entry;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::auth::{Caller, DeadWrite};
use crate::input::{InPath, Json as Body};
use crate::openapi::Changes;
use crate::problem::Problem;
use crate::routes::check_reason;
use crate::state::Api;

/// Why.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct DiscardRequest {
    /// Kept with the job.
    #[schema(min_length = 1, max_length = 1000)]
    reason: String,
}

/// A dead letter that was set aside.
#[derive(Serialize, ToSchema)]
pub(crate) struct Discarded {
    job_id: Uuid,
    /// Always true.
    discarded: bool,
}

/// Discard a dead letter
///
/// It stays in the history until its retention ends.
#[utoipa::path(
    post,
    path = "/v1/dead/{job_id}/discard",
    tag = "dead letters",
    operation_id = "discardDeadLetter",
    security(("token" = ["dead:write"])),
    params(("job_id" = Uuid, Path, description = "The job.")),
    request_body = DiscardRequest,
    responses((status = 200, description = "It is set aside.", body = Discarded), Changes),
)]
pub(crate) async fn discard(
    State(api): State<Api>,
    caller: Caller<DeadWrite>,
    InPath(job_id): InPath<Uuid>,
    Body(request): Body<DiscardRequest>,
) -> Result<Json<Discarded>, Problem> {
    let reason = check_reason(&request.reason)?;
    let actor = &caller.actor;
    let mut tx = Tx::for_actor(api.store(), actor).await?;
    let was = store::jobs::place(&mut tx, JobId(job_id)).await?;
    ops::dead::discard(tx.conn(), actor.org_id, JobId(job_id), Some(actor.actor_id), reason).await?;
    let entry = Entry::new("dead.discard", "job", job_id).job(JobId(job_id)).workspace(was.workspace());
    tx.record(entry.before(was).reason(reason)).await?;
    tx.commit().await?;
    Ok(Json(Discarded { job_id, discarded: true }))
}
