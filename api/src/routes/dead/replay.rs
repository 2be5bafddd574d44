//! `POST /v1/dead/{job_id}/replay`: one dead letter runs again, perhaps with another payload.

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use domain::{JobId, JobState, WorkspaceId};
use queue::ops;
use serde::Deserialize;
use serde_json::json;
use serde_json::value::RawValue;
use store::Tx;
use store::audit::Entry;
use utoipa::ToSchema;
use uuid::Uuid;

use super::{effects, replay_approval};
use crate::auth::{Caller, DeadWrite};
use crate::input::{InPath, OptionalJson};
use crate::openapi::Changes;
use crate::problem::Problem;
use crate::routes::approvals::ask::ApprovalAsked;
use crate::routes::approvals::content::{Amount, Case};
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
    /// Where an approval is needed: what whoever decides is told.
    #[schema(min_length = 1, max_length = 500)]
    summary: Option<String>,
    /// Where an approval is needed: what supports it, such as what the provider said became of the first try.
    #[schema(value_type = Option<Object>)]
    evidence: Option<Box<RawValue>>,
    /// Where an approval is needed: the money it moves.
    amount: Option<Amount>,
}

/// Replay a dead letter
///
/// It keeps its id and gets fresh attempts. A kind that moves money, or that a rule guards, is not replayed at once:
/// an approval of `job_replay` is asked for, and the last approval replays it.
#[utoipa::path(
    post,
    path = "/v1/dead/{job_id}/replay",
    tag = "dead letters",
    operation_id = "replayDeadLetter",
    security(("token" = ["dead:write"])),
    params(("job_id" = Uuid, Path, description = "The job.")),
    request_body = Option<ReplayRequest>,
    responses(
        (status = 200, description = "It is in its lane again.", body = Requeued),
        (status = 202, description = "It waits for an approval.", body = ApprovalAsked,
            headers(("Location" = String, description = "Where the approval is."))),
        Changes,
    ),
)]
pub(crate) async fn replay(
    State(api): State<Api>,
    caller: Caller<DeadWrite>,
    InPath(job_id): InPath<Uuid>,
    OptionalJson(request): OptionalJson<ReplayRequest>,
) -> Result<Response, Problem> {
    let actor = &caller.actor;
    let mut tx = Tx::for_actor(api.store(), actor).await?;
    let dead = store::jobs::detail(&mut tx, JobId(job_id)).await?;
    let job = &dead.job;
    if job.state.0 == JobState::Dead && job.discarded_at.is_none() {
        let effect = effects::effect_of(&api, &job.kind, Some(job.kind_version));
        let by_approval = replay_approval::is_needed(&api, actor, &job.kind, effect);
        if !by_approval {
            effects::check(effect, &job.kind, request.confirm)?;
        }
        if let Some(payload) = &request.payload {
            // Checked as a new job's would be; stored as it came, for the job keeps its version.
            api.registry()
                .prepare_asked(actor.org_id, &job.kind, Some(job.kind_version), payload.clone())?
                .check(api.now())?;
        }
        if by_approval {
            let summary = request.summary.unwrap_or_else(|| format!("Run {} {job_id} again", job.kind));
            let case = Case { summary, evidence: request.evidence, amount: request.amount };
            return replay_approval::ask(&api, actor, tx, &dead, request.payload, case).await;
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
    Ok(Json(Requeued { job_id, state: JobState::Queued }).into_response())
}
