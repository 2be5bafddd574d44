//! `GET /v1/approvals/{approval_id}`: one approval with everything a decision needs.

use axum::Json;
use axum::extract::State;
use domain::ApprovalId;
use store::Tx;
use store::approvals;
use uuid::Uuid;

use super::view::ApprovalDetail;
use crate::auth::{ApprovalsRead, Caller};
use crate::input::InPath;
use crate::openapi::ReadsOne;
use crate::problem::Problem;
use crate::state::Api;

/// Show an approval
///
/// The exact content with its hash, the rule it was asked under, decisions so far, and why you may not decide on it.
#[utoipa::path(
    get,
    path = "/v1/approvals/{approval_id}",
    tag = "approvals",
    operation_id = "showApproval",
    security(("token" = ["approvals:read"])),
    params(("approval_id" = Uuid, Path, description = "The approval.")),
    responses((status = 200, description = "The approval.", body = ApprovalDetail), ReadsOne),
)]
pub(crate) async fn show(
    State(api): State<Api>,
    caller: Caller<ApprovalsRead>,
    InPath(approval): InPath<Uuid>,
) -> Result<Json<ApprovalDetail>, Problem> {
    let mut tx = Tx::for_reader(api.store(), &caller.actor).await?;
    let detail = approvals::detail(&mut tx, ApprovalId(approval)).await?;
    drop(tx);
    ApprovalDetail::of(&api, detail).map(Json)
}
