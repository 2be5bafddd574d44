//! `POST /v1/schedules/{schedule_id}/run-now`: one run outside the calendar.

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use domain::ScheduleId;
use http::{HeaderMap, StatusCode, header};
use schedules::{Asked, ScheduleError};
use serde_json::json;
use sha2::{Digest, Sha256};
use store::Tx;
use store::audit::Entry;
use uuid::Uuid;

use crate::auth::{Caller, SchedulesWrite};
use crate::input::InPath;
use crate::openapi::Changes;
use crate::problem::{Code, Problem};
use crate::routes::jobs::{Accepted, header_key};
use crate::state::Api;

/// Run a schedule's job now
///
/// Its ticks stay where they are; a paused schedule runs too. With an `Idempotency-Key`, a repeat is answered
/// with the first job.
#[utoipa::path(
    post,
    path = "/v1/schedules/{schedule_id}/run-now",
    tag = "schedules",
    operation_id = "runScheduleNow",
    security(("token" = ["schedules:write"])),
    params(
        ("schedule_id" = Uuid, Path, description = "The schedule."),
        ("Idempotency-Key" = Option<String>, Header, description = "1 to 255 visible characters."),
    ),
    responses(
        (status = 202, description = "The job is committed.", body = Accepted,
            headers(("Location" = String, description = "Where to see how it goes."))),
        Changes,
    ),
)]
pub(crate) async fn run_now(
    State(api): State<Api>,
    caller: Caller<SchedulesWrite>,
    headers: HeaderMap,
    InPath(id): InPath<Uuid>,
) -> Result<Response, Problem> {
    let asked = Asked {
        actor: Some(caller.actor.actor_id),
        request_id: Some(caller.request_id).filter(|id| !id.is_empty()),
        run: header_key(&headers)?.map(|key| run_of(&key)),
    };
    let mut tx = Tx::for_actor(api.store(), &caller.actor).await?;
    let run = schedules::run_now(
        api.queue(),
        api.registry(),
        tx.conn(),
        caller.actor.org_id,
        ScheduleId(id),
        asked,
    )
    .await
    .map_err(|error| match error {
        // The caller sent no payload: what does not fit is the schedule's own.
        ScheduleError::Payload(error) => Problem::new(
            Code::Conflict,
            format!("the schedule's stored work can't run: {error}; change the schedule"),
        ),
        other => other.into(),
    })?;
    let entry = Entry::new("schedule.run_now", "schedule", id).job(run.enqueued.job_id);
    tx.record(entry.workspace(run.workspace_id).after(json!({ "created": run.enqueued.created }))).await?;
    tx.commit().await?;
    api.queue().announce(&run.announce);
    let accepted = Accepted::from(run.enqueued);
    let location = accepted.status_url.clone();
    Ok((StatusCode::ACCEPTED, [(header::LOCATION, location)], Json(accepted)).into_response())
}

/// The run that a key stands for.
fn run_of(key: &str) -> Uuid {
    let digest = Sha256::digest(key.as_bytes());
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&digest[..16]);
    Uuid::from_bytes(bytes)
}
