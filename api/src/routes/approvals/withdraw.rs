//! `POST /v1/approvals/{approval_id}/withdraw`: takes back what was asked for.

use axum::Json;
use axum::extract::State;
use domain::ApprovalId;
use serde::{Deserialize, Serialize};
use store::Tx;
use store::approvals::{self, State as Stands};
use utoipa::ToSchema;
use uuid::Uuid;

use super::told;
use crate::auth::{ApprovalsRequest, Caller};
use crate::input::{InPath, OptionalJson};
use crate::openapi::Changes;
use crate::problem::Problem;
use crate::routes::check_reason;
use crate::state::Api;

/// Why.
#[derive(Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct WithdrawRequest {
    /// Kept in the audit log.
    #[schema(min_length = 1, max_length = 1000)]
    reason: Option<String>,
}

/// What was taken back.
#[derive(Serialize, ToSchema)]
pub(crate) struct Withdrawn {
    approval_id: ApprovalId,
    /// `withdrawn`.
    #[schema(example = "withdrawn")]
    state: &'static str,
}

/// Withdraw what waits for approval
///
/// Whoever asked for it or edited it may, and owners.
#[utoipa::path(
    post,
    path = "/v1/approvals/{approval_id}/withdraw",
    tag = "approvals",
    operation_id = "withdrawApproval",
    security(("token" = ["approvals:request"])),
    params(("approval_id" = Uuid, Path, description = "The approval.")),
    request_body = Option<WithdrawRequest>,
    responses((status = 200, description = "It is withdrawn.", body = Withdrawn), Changes),
)]
pub(crate) async fn withdraw(
    State(api): State<Api>,
    caller: Caller<ApprovalsRequest>,
    InPath(approval): InPath<Uuid>,
    OptionalJson(request): OptionalJson<WithdrawRequest>,
) -> Result<Json<Withdrawn>, Problem> {
    let reason = request.reason.as_deref().map(check_reason).transpose()?;
    let approval = ApprovalId(approval);
    let mut tx = Tx::for_actor(api.store(), &caller.actor).await?;
    let subject_kind = approvals::withdraw(&mut tx, approval, reason).await?;
    tx.commit().await?;
    told::changed(&api, caller.actor.org_id, approval, Stands::Withdrawn, &subject_kind).await;
    Ok(Json(Withdrawn { approval_id: approval, state: Stands::Withdrawn.as_str() }))
}
