//! `POST /v1/lanes/{lane}/pause`, `/resume` and `/drain`: the organisation's share of a lane.

use axum::Json;
use axum::extract::State;
use queue::ops;
use queue::ops::lanes::LaneMode;
use store::audit::Entry;
use store::{Actor, Tx};

use super::list::{LaneItem, one};
use crate::auth::{Caller, LanesWrite};
use crate::input::InPath;
use crate::openapi::Changes;
use crate::problem::Problem;
use crate::routes::check_lane_name;
use crate::state::Api;

/// Pause a lane
///
/// None of the organisation's jobs in it starts until it is resumed; running ones end as usual.
#[utoipa::path(
    post,
    path = "/v1/lanes/{lane}/pause",
    tag = "lanes",
    operation_id = "pauseLane",
    security(("token" = ["lanes:write"])),
    params(("lane" = String, Path, description = "The lane.", example = "bulk")),
    responses((status = 200, description = "The lane as it is now.", body = LaneItem), Changes),
)]
pub(crate) async fn pause(
    State(api): State<Api>,
    caller: Caller<LanesWrite>,
    InPath(lane): InPath<String>,
) -> Result<Json<LaneItem>, Problem> {
    set(&api, &caller.actor, &lane, LaneMode::Paused).await
}

/// Resume a lane
#[utoipa::path(
    post,
    path = "/v1/lanes/{lane}/resume",
    tag = "lanes",
    operation_id = "resumeLane",
    security(("token" = ["lanes:write"])),
    params(("lane" = String, Path, description = "The lane.", example = "bulk")),
    responses((status = 200, description = "The lane as it is now.", body = LaneItem), Changes),
)]
pub(crate) async fn resume(
    State(api): State<Api>,
    caller: Caller<LanesWrite>,
    InPath(lane): InPath<String>,
) -> Result<Json<LaneItem>, Problem> {
    set(&api, &caller.actor, &lane, LaneMode::Open).await
}

/// Drain a lane
///
/// The organisation's jobs in it are worked off; new ones are taken in and parked until it is resumed.
#[utoipa::path(
    post,
    path = "/v1/lanes/{lane}/drain",
    tag = "lanes",
    operation_id = "drainLane",
    security(("token" = ["lanes:write"])),
    params(("lane" = String, Path, description = "The lane.", example = "bulk")),
    responses((status = 200, description = "The lane as it is now.", body = LaneItem), Changes),
)]
pub(crate) async fn drain(
    State(api): State<Api>,
    caller: Caller<LanesWrite>,
    InPath(lane): InPath<String>,
) -> Result<Json<LaneItem>, Problem> {
    set(&api, &caller.actor, &lane, LaneMode::Draining).await
}

async fn set(api: &Api, actor: &Actor, lane: &str, mode: LaneMode) -> Result<Json<LaneItem>, Problem> {
    check_lane_name(lane)?;
    let mut tx = Tx::for_actor(api.store(), actor).await?;
    let was = ops::lanes::share(tx.conn(), actor.org_id, lane).await?;
    let after = ops::lanes::set_org_mode(tx.conn(), actor.org_id, lane, mode, Some(actor.actor_id)).await?;
    let now = one(tx.conn(), actor.org_id, lane).await?;
    let is = ops::lanes::share(tx.conn(), actor.org_id, lane).await?;
    let action = match mode {
        LaneMode::Open => "lane.resume",
        LaneMode::Paused => "lane.pause",
        LaneMode::Draining => "lane.drain",
    };
    tx.record(Entry::new(action, "lane", lane).before(was).after(is)).await?;
    tx.commit().await?;
    api.queue().after(after).await;
    Ok(Json(now))
}
