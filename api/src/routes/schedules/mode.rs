//! `POST /v1/schedules/{schedule_id}/pause` and `/resume`.

use axum::Json;
use axum::extract::State;
use domain::ScheduleId;
use schedules::table;
use serde_json::json;
use store::Tx;
use store::audit::Entry;
use uuid::Uuid;

use super::view::ScheduleDetail;
use crate::auth::{Caller, SchedulesWrite};
use crate::input::InPath;
use crate::openapi::Changes;
use crate::problem::Problem;
use crate::state::Api;

/// Pause a schedule
///
/// Ticks that pass meanwhile never fire.
#[utoipa::path(
    post,
    path = "/v1/schedules/{schedule_id}/pause",
    tag = "schedules",
    operation_id = "pauseSchedule",
    security(("token" = ["schedules:write"])),
    params(("schedule_id" = Uuid, Path, description = "The schedule.")),
    responses((status = 200, description = "The schedule as it is now.", body = ScheduleDetail), Changes),
)]
pub(crate) async fn pause(
    State(api): State<Api>,
    caller: Caller<SchedulesWrite>,
    InPath(id): InPath<Uuid>,
) -> Result<Json<ScheduleDetail>, Problem> {
    let mut tx = Tx::for_actor(api.store(), &caller.actor).await?;
    let was = table::get(tx.conn(), caller.actor.org_id, ScheduleId(id)).await?;
    let schedule = table::pause(tx.conn(), caller.actor.org_id, ScheduleId(id), api.now()).await?;
    let entry = Entry::new("schedule.pause", "schedule", id).workspace(schedule.workspace_id);
    tx.record(entry.before(json!({ "paused": was.paused })).after(json!({ "paused": schedule.paused })))
        .await?;
    tx.commit().await?;
    ScheduleDetail::of(&api, schedule).map(Json)
}

/// Resume a schedule
///
/// Its next tick is the first one from now on.
#[utoipa::path(
    post,
    path = "/v1/schedules/{schedule_id}/resume",
    tag = "schedules",
    operation_id = "resumeSchedule",
    security(("token" = ["schedules:write"])),
    params(("schedule_id" = Uuid, Path, description = "The schedule.")),
    responses((status = 200, description = "The schedule as it is now.", body = ScheduleDetail), Changes),
)]
pub(crate) async fn resume(
    State(api): State<Api>,
    caller: Caller<SchedulesWrite>,
    InPath(id): InPath<Uuid>,
) -> Result<Json<ScheduleDetail>, Problem> {
    let mut tx = Tx::for_actor(api.store(), &caller.actor).await?;
    let was = table::get(tx.conn(), caller.actor.org_id, ScheduleId(id)).await?;
    let schedule = table::resume(tx.conn(), caller.actor.org_id, ScheduleId(id), api.now()).await?;
    let entry = Entry::new("schedule.resume", "schedule", id).workspace(schedule.workspace_id);
    tx.record(entry.before(json!({ "paused": was.paused })).after(json!({ "paused": schedule.paused })))
        .await?;
    tx.commit().await?;
    ScheduleDetail::of(&api, schedule).map(Json)
}
