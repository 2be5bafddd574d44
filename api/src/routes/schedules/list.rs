//! `GET /v1/schedules`: the organisation's schedules by name.

use axum::Json;
use axum::extract::State;
use schedules::Schedule;
use schedules::table::{self, Filter};
use serde::{Deserialize, Serialize};
use store::Tx;
use utoipa::ToSchema;

use crate::auth::{Caller, JobsRead};
use crate::input::Params;
use crate::openapi::Reads;
use crate::problem::Problem;
use crate::routes::jobs::no_nul;
use crate::state::Api;

/// What to list.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct ScheduleParams {
    /// Exactly this kind.
    kind: Option<String>,
    /// Only those that rest, or only those that do not.
    paused: Option<bool>,
    /// Only those whose ticks can't fire, or only those whose can.
    failing: Option<bool>,
    /// Text in name or kind.
    q: Option<String>,
}

/// The schedules.
#[derive(Serialize, ToSchema)]
pub(crate) struct ScheduleList {
    /// By name, without their payloads.
    schedules: Vec<Schedule>,
}

/// List schedules
#[utoipa::path(
    get,
    path = "/v1/schedules",
    tag = "schedules",
    operation_id = "listSchedules",
    security(("token" = ["jobs:read"])),
    params(ScheduleParams),
    responses((status = 200, description = "The schedules.", body = ScheduleList), Reads),
)]
pub(crate) async fn list(
    State(api): State<Api>,
    caller: Caller<JobsRead>,
    Params(params): Params<ScheduleParams>,
) -> Result<Json<ScheduleList>, Problem> {
    let ScheduleParams { kind, paused, failing, q } = params;
    no_nul(kind.as_deref())?;
    no_nul(q.as_deref())?;
    let mut tx = Tx::for_reader(api.store(), &caller.actor).await?;
    let filter = Filter { kind, paused, failing, text: q };
    let schedules = table::list(tx.conn(), caller.actor.org_id, &filter).await?;
    Ok(Json(ScheduleList { schedules }))
}
