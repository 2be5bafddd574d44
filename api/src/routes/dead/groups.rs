//! `GET /v1/dead/groups`: dead letters by cause.

use axum::Json;
use axum::extract::State;
use chrono::{DateTime, Utc};
use domain::EffectClass;
use domain::effect::ReplayNeeds;
use queue::ops;
use serde::Serialize;
use store::Tx;
use utoipa::ToSchema;
use uuid::Uuid;

use super::effects::{effect_of, needs};
use crate::auth::{Caller, JobsRead};
use crate::openapi::Reads;
use crate::problem::Problem;
use crate::state::Api;

/// Dead letters by cause.
#[derive(Serialize, ToSchema)]
pub(crate) struct DeadGroupList {
    /// Largest first, at most 200.
    groups: Vec<DeadGroupItem>,
}

/// Dead letters with the same cause.
#[derive(Serialize, ToSchema)]
pub(crate) struct DeadGroupItem {
    kind: String,
    lane: String,
    error_code: String,
    count: i64,
    /// When the first of them died.
    first_at: DateTime<Utc>,
    /// When the last of them died.
    last_at: DateTime<Utc>,
    /// What the newest one said.
    sample_message: Option<String>,
    /// The newest one.
    sample_job_id: Uuid,
    /// What a replay would do to the world; none when this program does not know the kind.
    effect: Option<EffectClass>,
    /// What a replay needs.
    replay_needs: ReplayNeeds,
}

/// Group dead letters by cause
#[utoipa::path(
    get,
    path = "/v1/dead/groups",
    tag = "dead letters",
    operation_id = "groupDeadLetters",
    security(("token" = ["jobs:read"])),
    responses((status = 200, description = "The causes.", body = DeadGroupList), Reads),
)]
pub(crate) async fn groups(
    State(api): State<Api>,
    caller: Caller<JobsRead>,
) -> Result<Json<DeadGroupList>, Problem> {
    let mut tx = Tx::for_reader(api.store(), &caller.actor).await?;
    let groups = ops::dead::groups(tx.conn(), caller.actor.org_id).await?;
    let groups = groups
        .into_iter()
        .map(|group| {
            let effect = effect_of(&api, &group.kind, None);
            DeadGroupItem {
                kind: group.kind,
                lane: group.lane,
                error_code: group.error_code,
                count: group.count,
                first_at: group.first_at,
                last_at: group.last_at,
                sample_message: group.sample_message,
                sample_job_id: group.sample_job_id,
                effect,
                replay_needs: needs(effect),
            }
        })
        .collect();
    Ok(Json(DeadGroupList { groups }))
}
