//! `GET /v1/approvals`: what waits to be countersigned, and what became of the rest.

use axum::Json;
use axum::extract::State;
use chrono::{DateTime, Utc};
use domain::ActorId;
use serde::Deserialize;
use store::Tx;
use store::approvals::{self, Filter};
use uuid::Uuid;

use super::view::ApprovalList;
use crate::auth::{ApprovalsRead, Caller};
use crate::input::Params;
use crate::openapi::Reads;
use crate::problem::{Code, Problem};
use crate::routes::jobs::{no_nul, page_ask};
use crate::state::Api;

/// What to list.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct ApprovalParams {
    /// `pending`, `approved`, `rejected`, `expired`, `voided` or `withdrawn`.
    state: Option<String>,
    /// Exactly this kind of subject, such as `job:webhooks.deliver` or `job_replay`.
    subject_kind: Option<String>,
    /// Asked for by this actor.
    requested_by: Option<Uuid>,
    /// Only what you may decide now, perhaps after a fresh second factor.
    #[serde(default)]
    #[param(default = false)]
    mine_to_decide: bool,
    /// Asked for at or after this moment.
    from: Option<DateTime<Utc>>,
    /// Asked for before this moment.
    until: Option<DateTime<Utc>>,
    /// The `next_cursor` of the page before.
    #[param(min_length = 1)]
    cursor: Option<String>,
    /// Approvals wanted; 50 when left out.
    #[param(minimum = 1, maximum = 200)]
    limit: Option<u16>,
}

/// List approvals
#[utoipa::path(
    get,
    path = "/v1/approvals",
    tag = "approvals",
    operation_id = "listApprovals",
    security(("token" = ["approvals:read"])),
    params(ApprovalParams),
    responses((status = 200, description = "A page of approvals.", body = ApprovalList), Reads),
)]
pub(crate) async fn list(
    State(api): State<Api>,
    caller: Caller<ApprovalsRead>,
    Params(params): Params<ApprovalParams>,
) -> Result<Json<ApprovalList>, Problem> {
    no_nul(params.subject_kind.as_deref())?;
    let state = params.state.as_deref().map(str::parse).transpose();
    let state: Option<approvals::State> = state
        .map_err(|error: approvals::UnknownState| Problem::new(Code::BadQuery, format!("state: {error}")))?;
    let filter = Filter {
        state,
        subject_kind: params.subject_kind,
        requested_by: params.requested_by.map(ActorId),
        mine_to_decide: params.mine_to_decide,
        from: params.from,
        until: params.until,
    };
    let ask = page_ask(params.cursor, params.limit)?;
    let mut tx = Tx::for_reader(api.store(), &caller.actor).await?;
    Ok(Json(approvals::list(&mut tx, &filter, &ask).await?.into()))
}
