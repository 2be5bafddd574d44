//! `GET /v1/schedules/{schedule_id}`: one schedule.

use axum::Json;
use axum::extract::State;
use domain::ScheduleId;
use schedules::table;
use store::Tx;
use uuid::Uuid;

use super::view::ScheduleDetail;
use crate::auth::{Caller, JobsRead};
use crate::input::InPath;
use crate::openapi::ReadsOne;
use crate::problem::Problem;
use crate::state::Api;

/// Show a schedule
#[utoipa::path(
    get,
    path = "/v1/schedules/{schedule_id}",
    tag = "schedules",
    operation_id = "showSchedule",
    security(("token" = ["jobs:read"])),
    params(("schedule_id" = Uuid, Path, description = "The schedule.")),
    responses((status = 200, description = "The schedule.", body = ScheduleDetail), ReadsOne),
)]
pub(crate) async fn show(
    State(api): State<Api>,
    caller: Caller<JobsRead>,
    InPath(id): InPath<Uuid>,
) -> Result<Json<ScheduleDetail>, Problem> {
    let mut tx = Tx::for_reader(api.store(), &caller.actor).await?;
    let schedule = table::get(tx.conn(), caller.actor.org_id, ScheduleId(id)).await?;
    ScheduleDetail::of(&api, schedule).map(Json)
}
