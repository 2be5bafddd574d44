//! `GET /v1/limits`: the rates in force.

use axum::Json;
use axum::extract::State;
use chrono::{DateTime, Utc};
use queue::ops;
use queue::ops::limits::LimitView;
use serde::Serialize;
use store::Tx;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::auth::{Caller, JobsRead};
use crate::openapi::Reads;
use crate::problem::Problem;
use crate::state::Api;

/// The rates.
#[derive(Serialize, ToSchema)]
pub(crate) struct LimitList {
    /// The organisation's own and the platform's defaults. The most specific one wins.
    limits: Vec<LimitItem>,
}

/// One rate.
#[derive(Serialize, ToSchema)]
pub(crate) struct LimitItem {
    limit_id: Uuid,
    /// `org`: the organisation's own. `platform`: a default for everybody, which can't be changed here.
    #[schema(example = "org")]
    owner: &'static str,
    /// What is limited.
    #[schema(example = "webhooks.endpoint")]
    name: String,
    /// Which bucket of it; `*` for each that has no rate of its own.
    key: String,
    /// Units a period.
    units: i32,
    /// Length of the period.
    period_ms: i64,
    /// Units that may come at once.
    burst: i32,
    changed_at: DateTime<Utc>,
    /// Jobs of the organisation that wait for it now.
    waiting: i64,
}

impl From<LimitView> for LimitItem {
    fn from(view: LimitView) -> Self {
        Self {
            limit_id: view.rate_limit_id,
            owner: if view.org_id.is_some() { "org" } else { "platform" },
            name: view.name,
            key: view.key,
            units: view.units,
            period_ms: view.period_ms,
            burst: view.burst,
            changed_at: view.changed_at,
            waiting: view.waiting,
        }
    }
}

/// List limits
#[utoipa::path(
    get,
    path = "/v1/limits",
    tag = "limits",
    operation_id = "listLimits",
    security(("token" = ["jobs:read"])),
    responses((status = 200, description = "The rates.", body = LimitList), Reads),
)]
pub(crate) async fn list(
    State(api): State<Api>,
    caller: Caller<JobsRead>,
) -> Result<Json<LimitList>, Problem> {
    let mut tx = Tx::for_reader(api.store(), &caller.actor).await?;
    let limits = ops::limits::list(tx.conn(), Some(caller.actor.org_id)).await?;
    Ok(Json(LimitList { limits: limits.into_iter().map(LimitItem::from).collect() }))
}
