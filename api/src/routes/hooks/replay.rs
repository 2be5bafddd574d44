//! `POST /v1/hooks/events/{event_id}/replay`: what arrived is processed once more.

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use domain::{HookEventId, WorkspaceId};
use http::StatusCode;
use jobs::hooks::ProcessEvent;
use store::{Tx, hooks};
use uuid::Uuid;

use super::door::Taken;
use crate::auth::{Caller, HooksWrite};
use crate::input::InPath;
use crate::openapi::Changes;
use crate::problem::Problem;
use crate::state::Api;

/// Replay an inbound webhook
///
/// A new job processes it, and sends it on under the same event id. While one such job waits, another replay
/// answers that one.
#[utoipa::path(
    post,
    path = "/v1/hooks/events/{event_id}/replay",
    tag = "inbound webhooks",
    operation_id = "replayHookEvent",
    security(("token" = ["hooks:write"])),
    params(("event_id" = Uuid, Path, description = "The event.")),
    responses((status = 202, description = "The job is committed.", body = Taken), Changes),
)]
pub(crate) async fn replay(
    State(api): State<Api>,
    caller: Caller<HooksWrite>,
    InPath(id): InPath<Uuid>,
) -> Result<Response, Problem> {
    let event_id = HookEventId(id);
    let mut tx = Tx::for_actor(api.store(), &caller.actor).await?;
    let event = hooks::event(&mut tx, event_id).await?;
    let mut job = jobs::new_job(caller.actor.org_id, &ProcessEvent { hook_event_id: event_id })?;
    job.workspace_id = event.row.workspace_id.map(WorkspaceId);
    job.actor_id = Some(caller.actor.actor_id);
    job.request_id = Some(caller.request_id);
    job.unique_key = Some(event_id.to_string());
    let jobs = [job];
    let enqueued = api.queue().enqueue_in(tx.conn(), &jobs).await?;
    let job_id = enqueued.first().map_or(jobs[0].job_id, |done| done.job_id);
    hooks::replay(&mut tx, event_id, job_id).await?;
    tx.commit().await?;
    if enqueued.first().is_some_and(|done| done.created) {
        api.queue().announce(&jobs);
    }
    Ok((StatusCode::ACCEPTED, Json(Taken { event_id: id, job_id: job_id.0 })).into_response())
}
