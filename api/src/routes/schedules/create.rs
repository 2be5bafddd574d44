//! `POST /v1/schedules`: makes a schedule.

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::{StatusCode, header};
use schedules::{Spec, table};
use serde::Deserialize;
use serde_json::value::RawValue;
use store::Tx;
use store::audit::Entry;
use utoipa::ToSchema;
use uuid::Uuid;

use super::view::ScheduleDetail;
use crate::auth::{Caller, SchedulesWrite};
use crate::input::Json as Body;
use crate::openapi::Changes;
use crate::problem::Problem;
use crate::routes::jobs::room;
use crate::state::Api;

/// A schedule to make.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ScheduleRequest {
    /// Name for people, unique in the organisation.
    #[schema(min_length = 1, max_length = 100)]
    name: String,
    /// Cron with five fields, or six with seconds first; `@daily` and the like; `@every 90s`.
    #[schema(example = "30 2 * * *")]
    expression: String,
    /// IANA time zone whose wall clock the expression reads; UTC when left out.
    #[serde(default = "utc")]
    #[schema(default = "UTC", example = "Europe/Madrid")]
    zone: String,
    /// Kind of its jobs.
    #[schema(example = "system.echo")]
    kind: String,
    /// Version of the payload; the newest when left out.
    #[schema(minimum = 1)]
    version: Option<i16>,
    /// Payload of its jobs.
    #[schema(value_type = Object, example = json!({"message": "good night"}))]
    payload: Box<RawValue>,
    /// Lane of its jobs; the kind's own when left out.
    lane: Option<String>,
    /// Priority of its jobs; 0 when left out.
    #[serde(default)]
    #[schema(minimum = -100, maximum = 100, default = 0)]
    priority: i16,
    /// What happens to missed ticks: `skip`, `one` or `all`; `one` when left out.
    #[schema(example = "one")]
    catch_up: Option<String>,
    /// Each job starts up to this many milliseconds after its tick; 0 when left out.
    #[serde(default)]
    #[schema(minimum = 0, maximum = 86_400_000, default = 0)]
    jitter_ms: i64,
    /// Starts paused.
    #[serde(default)]
    paused: bool,
    /// Workspace its jobs belong to: one that you see. Who is bound to one workspace may leave it out.
    workspace_id: Option<Uuid>,
}

fn utc() -> String {
    "UTC".to_owned()
}

/// Make a schedule
#[utoipa::path(
    post,
    path = "/v1/schedules",
    tag = "schedules",
    operation_id = "createSchedule",
    security(("token" = ["schedules:write"])),
    request_body = ScheduleRequest,
    responses(
        (status = 201, description = "The schedule.", body = ScheduleDetail,
            headers(("Location" = String, description = "Where it is."))),
        Changes,
    ),
)]
pub(crate) async fn create(
    State(api): State<Api>,
    caller: Caller<SchedulesWrite>,
    Body(request): Body<ScheduleRequest>,
) -> Result<Response, Problem> {
    let actor = &caller.actor;
    let spec = Spec {
        lane: request.lane,
        priority: request.priority,
        jitter_ms: request.jitter_ms,
        paused: request.paused,
        workspace_id: room::chosen(actor, request.workspace_id)?,
        ..Spec::new(request.name, request.expression, request.zone)
    };
    let spec = match request.catch_up {
        Some(catch_up) => Spec { catch_up, ..spec },
        None => spec,
    };
    let work = api.registry().prepare_asked(actor.org_id, &request.kind, request.version, request.payload)?;
    work.check(api.now())?;
    room::check_one(&api, actor, request.workspace_id).await?;
    let mut tx = Tx::for_actor(api.store(), actor).await?;
    let made = table::create(tx.conn(), actor.org_id, Some(actor.actor_id), &spec, &work, api.now()).await?;
    let entry = Entry::new("schedule.create", "schedule", made.schedule_id).workspace(made.workspace_id);
    tx.record(entry.after(&made)).await?;
    tx.commit().await?;
    let location = format!("/v1/schedules/{}", made.schedule_id);
    let made = ScheduleDetail::of(&api, made)?;
    Ok((StatusCode::CREATED, [(header::LOCATION, location)], Json(made)).into_response())
}
