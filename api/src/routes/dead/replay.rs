//! `POST /v1/dead/{job_id}/replay`: one dead letter runs again, perhaps with another payload.

use axum::Json;
use axum::extract::State;
use domain::{JobId, JobState, WorkspaceId};
use queue::ops;
use serde::Deserialize;
use serde_json::json;
use serde_json::value::RawValue;
use store::Tx;
use store::audit::Entry;
use utoipa::ToSchema;
use uuid::Uuid;

use super::effects;
use crate::auth::{Caller, DeadWrite};
use crate::input::{InPath, OptionalJson};
use crate::openapi::Changes;
use crate::problem::Problem;
use crate::routes::jobs::Requeued;
use crate::state::Api;

/// How to replay.
#[derive(Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ReplayRequest {
    /// A payload to use instead, of the job's own version; hidden values must be written out.
    #[schema(value_type = Option<Object>)]
    payload: Option<Box<RawValue>>,
    /// Needed for kinds that reach people or systems outside.
    #[serde(default)]
    confirm: bool,
}

/// Replay a dead letter
///
/// It keeps its id and gets fresh attempts.
#[utoipa::path(
    post,
    path = "/v1/dead/{job_id}/replay",
    tag = "dead letters",
    operation_id = "replayDeadLetter",
    security(("token" = ["dead:write"])),
    params(("job_id" = Uuid, Path, description = "The job.")),
    request_body = Option<ReplayRequest>,
    responses((status = 200, description = "It is in its lane again.", body = Requeued), Changes),
)]
pub(crate) async fn replay(
    State(api): State<Api>,
    caller: Caller<DeadWrite>,
    InPath(job_id): InPath<Uuid>,
    OptionalJson(request): OptionalJson<ReplayRequest>,
) -> Result<Json<Requeued>, Problem> {
    let actor = &caller.actor;
    let mut tx = Tx::for_actor(api.store(), actor).await?;
    let job = store::jobs::detail(&mut tx, JobId(job_id)).await?.job;
    if job.state.0 == JobState::Dead && job.discarded_at.is_none() {
        effects::check(
            effects::effect_of(&api, &job.kind, Some(job.kind_version)),
            &job.kind,
            request.confirm,
        )?;
        if let Some(payload) = &request.payload {
            // Checked as a new job's would be; stored as it came, for the job keeps its version.
            api.registry()
                .prepare(actor.org_id, &job.kind, Some(job.kind_version), payload.clone())?
                .check(api.now())?;
        }
    }
    let after = ops::dead::replay(
        tx.conn(),
        actor.org_id,
        JobId(job_id),
        Some(actor.actor_id),
        request.payload.as_deref(),
    )
    .await?;
    let entry = Entry::new("dead.replay", "job", job_id)
        .job(JobId(job_id))
        .workspace(job.workspace_id.map(WorkspaceId))
        .before(json!({ "kind": job.kind, "state": job.state.0, "error_code": job.error_code }))
        .after(json!({ "state": JobState::Queued, "payload_changed": request.payload.is_some() }));
    tx.record(entry).await?;
    tx.commit().await?;
    api.queue().after(after).await;
    Ok(Json(Requeued { job_id, state: JobState::Queued }))
}
