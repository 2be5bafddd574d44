//! `POST /v1/schedules/preview`: what an expression would do, before it becomes a schedule.

use axum::Json;
use axum::extract::State;
use schedules::Preview;
use serde::Deserialize;
use utoipa::ToSchema;

use super::ticks::wanted;
use crate::auth::{Caller, JobsRead};
use crate::input::Json as Body;
use crate::openapi::Changes;
use crate::problem::Problem;
use crate::state::Api;

/// An expression to look at.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct PreviewRequest {
    /// Cron expression, `@daily` and the like, or `@every 90s`.
    #[schema(example = "30 2 * * *")]
    expression: String,
    /// IANA time zone; UTC when left out.
    #[serde(default = "utc")]
    #[schema(default = "UTC", example = "Europe/Madrid")]
    zone: String,
    /// Ticks wanted; 10 when left out.
    #[schema(minimum = 1, maximum = 100)]
    n: Option<usize>,
}

fn utc() -> String {
    "UTC".to_owned()
}

/// Preview an expression
#[utoipa::path(
    post,
    path = "/v1/schedules/preview",
    tag = "schedules",
    operation_id = "previewSchedule",
    security(("token" = ["jobs:read"])),
    request_body = PreviewRequest,
    responses((status = 200, description = "The expression in words and ticks.", body = Preview), Changes),
)]
pub(crate) async fn preview(
    State(api): State<Api>,
    _caller: Caller<JobsRead>,
    Body(request): Body<PreviewRequest>,
) -> Result<Json<Preview>, Problem> {
    let n = wanted(request.n).ok_or_else(|| Problem::field("/n", "must lie between 1 and 100"))?;
    Ok(Json(schedules::preview(&request.expression, &request.zone, n, api.now())?))
}
