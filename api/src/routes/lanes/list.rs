//! `GET /v1/lanes`: how the lanes stand.

use axum::Json;
use axum::extract::State;
use chrono::{DateTime, Utc};
use domain::OrgId;
use queue::ops;
use queue::ops::lanes::{LaneMode, LaneView};
use serde::Serialize;
use sqlx::PgConnection;
use store::Tx;
use utoipa::ToSchema;

use crate::auth::{Caller, JobsRead};
use crate::openapi::Reads;
use crate::problem::{Problem, not_found};
use crate::state::Api;

/// The lanes.
#[derive(Serialize, ToSchema)]
pub(crate) struct LaneList {
    /// In their order.
    lanes: Vec<LaneItem>,
}

/// One lane as the organisation sees it.
#[derive(Serialize, ToSchema)]
pub(crate) struct LaneItem {
    lane: String,
    /// The platform's mode, for everybody.
    mode: LaneMode,
    /// The organisation's mode for its own share.
    org_mode: LaneMode,
    /// Slots in each worker process.
    concurrency: i32,
    /// Most jobs of the organisation that run at once, over all workers.
    org_cap: Option<i32>,
    /// The organisation's open jobs in it.
    depth: LaneDepth,
    /// Since when the oldest ready one waits.
    oldest_queued_at: Option<DateTime<Utc>>,
}

/// Open jobs by state.
#[derive(Serialize, ToSchema)]
pub(crate) struct LaneDepth {
    scheduled: i64,
    queued: i64,
    running: i64,
    parked: i64,
}

impl From<LaneView> for LaneItem {
    fn from(view: LaneView) -> Self {
        Self {
            mode: LaneMode::of(&view.mode),
            org_mode: LaneMode::of(&view.org_mode),
            lane: view.lane,
            concurrency: view.concurrency,
            org_cap: view.org_cap,
            depth: LaneDepth {
                scheduled: view.scheduled,
                queued: view.queued,
                running: view.running,
                parked: view.parked,
            },
            oldest_queued_at: view.oldest_queued_at,
        }
    }
}

/// One lane, read again after a change.
pub(super) async fn one(conn: &mut PgConnection, org: OrgId, lane: &str) -> Result<LaneItem, Problem> {
    let lanes = ops::lanes::list(conn, Some(org)).await?;
    lanes.into_iter().find(|view| view.lane == lane).map(LaneItem::from).ok_or_else(|| not_found("lane"))
}

/// List lanes
#[utoipa::path(
    get,
    path = "/v1/lanes",
    tag = "lanes",
    operation_id = "listLanes",
    security(("token" = ["jobs:read"])),
    responses((status = 200, description = "The lanes.", body = LaneList), Reads),
)]
pub(crate) async fn list(
    State(api): State<Api>,
    caller: Caller<JobsRead>,
) -> Result<Json<LaneList>, Problem> {
    let mut tx = Tx::for_reader(api.store(), &caller.actor).await?;
    let lanes = ops::lanes::list(tx.conn(), Some(caller.actor.org_id)).await?;
    Ok(Json(LaneList { lanes: lanes.into_iter().map(LaneItem::from).collect() }))
}
