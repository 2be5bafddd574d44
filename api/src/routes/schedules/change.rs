//! `PATCH /v1/schedules/{schedule_id}`: changes a schedule; what is left out stays.

use axum::Json;
use axum::extract::State;
use domain::ScheduleId;
use schedules::{Patch, table};
use serde::{Deserialize, Deserializer};
use serde_json::json;
use serde_json::value::RawValue;
use store::Tx;
use store::audit::Entry;
use utoipa::ToSchema;
use uuid::Uuid;

use super::view::ScheduleDetail;
use crate::auth::{Caller, SchedulesWrite};
use crate::input::{InPath, Json as Body};
use crate::openapi::Changes;
use crate::problem::Problem;
use crate::routes::jobs::room;
use crate::state::Api;

/// What to change.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ScheduleChange {
    /// Name for people.
    #[schema(min_length = 1, max_length = 100)]
    name: Option<String>,
    /// When it ticks. Due ticks of the old expression that did not fire are given up.
    expression: Option<String>,
    /// IANA time zone; as for the expression.
    zone: Option<String>,
    /// Another kind; needs a payload.
    kind: Option<String>,
    /// Version of the payload; the newest when left out.
    #[schema(minimum = 1)]
    version: Option<i16>,
    /// Another payload.
    #[schema(value_type = Option<Object>)]
    payload: Option<Box<RawValue>>,
    /// Another lane; null for the kind's own.
    #[serde(default, deserialize_with = "written")]
    #[schema(value_type = Option<String>)]
    lane: Option<Option<String>>,
    /// Priority of its jobs.
    #[schema(minimum = -100, maximum = 100)]
    priority: Option<i16>,
    /// `skip`, `one` or `all`.
    catch_up: Option<String>,
    /// Each job starts up to this many milliseconds after its tick.
    #[schema(minimum = 0, maximum = 86_400_000)]
    jitter_ms: Option<i64>,
    /// Another workspace that you see; null for none, for those who see the whole organisation.
    #[serde(default, deserialize_with = "written")]
    #[schema(value_type = Option<Uuid>)]
    workspace_id: Option<Option<Uuid>>,
}

/// Null is a wish here: it differs from leaving the field out.
fn written<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Option<T>>, D::Error> {
    Option::deserialize(deserializer).map(Some)
}

/// Change a schedule
#[utoipa::path(
    patch,
    path = "/v1/schedules/{schedule_id}",
    tag = "schedules",
    operation_id = "changeSchedule",
    security(("token" = ["schedules:write"])),
    params(("schedule_id" = Uuid, Path, description = "The schedule.")),
    request_body = ScheduleChange,
    responses((status = 200, description = "The schedule as it is now.", body = ScheduleDetail), Changes),
)]
pub(crate) async fn change(
    State(api): State<Api>,
    caller: Caller<SchedulesWrite>,
    InPath(id): InPath<Uuid>,
    Body(change): Body<ScheduleChange>,
) -> Result<Json<ScheduleDetail>, Problem> {
    let (org, id) = (caller.actor.org_id, ScheduleId(id));
    let room = change.workspace_id.map(|named| room::chosen(&caller.actor, named)).transpose()?;
    room::check_one(&api, &caller.actor, change.workspace_id.flatten()).await?;
    let mut tx = Tx::for_actor(api.store(), &caller.actor).await?;
    let was = table::get(tx.conn(), org, id).await?;
    let work = match change.payload {
        Some(payload) => {
            let kind = match change.kind {
                Some(kind) => kind,
                None => was.kind.clone(),
            };
            let work = api.registry().prepare_asked(org, &kind, change.version, payload)?;
            work.check(api.now())?;
            Some(work)
        }
        None if change.kind.is_some() || change.version.is_some() => {
            return Err(Problem::field("/payload", "must be there when kind or version change"));
        }
        None => None,
    };
    let patch = Patch {
        name: change.name,
        expression: change.expression,
        zone: change.zone,
        catch_up: change.catch_up,
        jitter_ms: change.jitter_ms,
        lane: change.lane,
        priority: change.priority,
        workspace_id: room,
        work,
    };
    let payload_changed = patch.work.is_some();
    let changed = table::update(tx.conn(), org, id, patch, api.now()).await?;
    let entry = Entry::new("schedule.change", "schedule", id).workspace(changed.workspace_id);
    let after = json!({ "schedule": changed, "payload_changed": payload_changed });
    tx.record(entry.before(json!({ "schedule": was })).after(after)).await?;
    tx.commit().await?;
    ScheduleDetail::of(&api, changed).map(Json)
}
