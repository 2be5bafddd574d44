//! `PATCH /v1/lanes/{lane}`: how many of the organisation's jobs may run at once.

use axum::Json;
use axum::extract::State;
use queue::ops;
use serde::{Deserialize, Deserializer};
use store::Tx;
use store::audit::Entry;
use utoipa::ToSchema;

use super::list::{LaneItem, one};
use crate::auth::{Caller, LanesWrite};
use crate::input::{InPath, Json as Body};
use crate::openapi::Changes;
use crate::problem::Problem;
use crate::routes::check_lane_name;
use crate::state::Api;

/// What to change.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct LaneChange {
    /// Most jobs of the organisation that run at once; null for the lane's own bound.
    #[serde(deserialize_with = "present")]
    #[schema(minimum = 1, maximum = 100_000, required = true)]
    org_cap: Option<i32>,
}

/// Null is a wish here, so the field must be written.
fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<i32>, D::Error> {
    Option::deserialize(deserializer)
}

/// Change a lane
#[utoipa::path(
    patch,
    path = "/v1/lanes/{lane}",
    tag = "lanes",
    operation_id = "changeLane",
    security(("token" = ["lanes:write"])),
    params(("lane" = String, Path, description = "The lane.", example = "bulk")),
    request_body = LaneChange,
    responses((status = 200, description = "The lane as it is now.", body = LaneItem), Changes),
)]
pub(crate) async fn change(
    State(api): State<Api>,
    caller: Caller<LanesWrite>,
    InPath(lane): InPath<String>,
    Body(change): Body<LaneChange>,
) -> Result<Json<LaneItem>, Problem> {
    check_lane_name(&lane)?;
    let actor = &caller.actor;
    let mut tx = Tx::for_actor(api.store(), actor).await?;
    let was = ops::lanes::share(tx.conn(), actor.org_id, &lane).await?;
    let after =
        ops::lanes::set_org_cap(tx.conn(), actor.org_id, &lane, change.org_cap, Some(actor.actor_id)).await?;
    let now = one(tx.conn(), actor.org_id, &lane).await?;
    let is = ops::lanes::share(tx.conn(), actor.org_id, &lane).await?;
    tx.record(Entry::new("lane.change", "lane", &lane).before(was).after(is)).await?;
    tx.commit().await?;
    api.queue().after(after).await;
    Ok(Json(now))
}
