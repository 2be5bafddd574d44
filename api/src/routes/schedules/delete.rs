//! `DELETE /v1/schedules/{schedule_id}`: removes a schedule; its jobs stay.

use axum::extract::State;
use domain::ScheduleId;
use http::StatusCode;
use schedules::table;
use store::Tx;
use store::audit::Entry;
use uuid::Uuid;

use crate::auth::{Caller, SchedulesWrite};
use crate::input::InPath;
use crate::openapi::Changes;
use crate::problem::Problem;
use crate::state::Api;

/// Delete a schedule
///
/// Jobs it has already enqueued stay.
#[utoipa::path(
    delete,
    path = "/v1/schedules/{schedule_id}",
    tag = "schedules",
    operation_id = "deleteSchedule",
    security(("token" = ["schedules:write"])),
    params(("schedule_id" = Uuid, Path, description = "The schedule.")),
    responses((status = 204, description = "It is gone."), Changes),
)]
pub(crate) async fn delete(
    State(api): State<Api>,
    caller: Caller<SchedulesWrite>,
    InPath(id): InPath<Uuid>,
) -> Result<StatusCode, Problem> {
    let mut tx = Tx::for_actor(api.store(), &caller.actor).await?;
    let gone = table::delete(tx.conn(), caller.actor.org_id, ScheduleId(id)).await?;
    let entry = Entry::new("schedule.delete", "schedule", id).workspace(gone.workspace_id);
    tx.record(entry.before(gone)).await?;
    tx.commit().await?;
    Ok(StatusCode::NO_CONTENT)
}
