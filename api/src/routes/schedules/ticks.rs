//! `GET /v1/schedules/{schedule_id}/ticks`: when it ticks next.

use axum::Json;
use axum::extract::State;
use domain::ScheduleId;
use schedules::{Tick, table};
use serde::{Deserialize, Serialize};
use store::Tx;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::auth::{Caller, JobsRead};
use crate::input::{InPath, Params};
use crate::openapi::ReadsOne;
use crate::problem::{Code, Problem};
use crate::state::Api;

/// How many.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct TickParams {
    /// Ticks wanted; 10 when left out.
    #[param(minimum = 1, maximum = 100)]
    n: Option<usize>,
}

/// Coming ticks.
#[derive(Serialize, ToSchema)]
pub(crate) struct TickList {
    /// Soonest first; none while the schedule is paused.
    ticks: Vec<Tick>,
}

/// Show the next ticks of a schedule
#[utoipa::path(
    get,
    path = "/v1/schedules/{schedule_id}/ticks",
    tag = "schedules",
    operation_id = "listScheduleTicks",
    security(("token" = ["jobs:read"])),
    params(("schedule_id" = Uuid, Path, description = "The schedule."), TickParams),
    responses((status = 200, description = "The ticks.", body = TickList), ReadsOne),
)]
pub(crate) async fn ticks(
    State(api): State<Api>,
    caller: Caller<JobsRead>,
    InPath(id): InPath<Uuid>,
    Params(params): Params<TickParams>,
) -> Result<Json<TickList>, Problem> {
    let n = wanted(params.n).ok_or_else(|| Problem::new(Code::BadQuery, "n: must lie between 1 and 100"))?;
    let mut tx = Tx::for_reader(api.store(), &caller.actor).await?;
    let schedule = table::get(tx.conn(), caller.actor.org_id, ScheduleId(id)).await?;
    Ok(Json(TickList { ticks: schedule.next_ticks(n, api.now()) }))
}

/// A number of ticks that may be asked for.
pub(super) fn wanted(n: Option<usize>) -> Option<usize> {
    Some(n.unwrap_or(10)).filter(|n| (1..=schedules::MAX_PREVIEW).contains(n))
}
