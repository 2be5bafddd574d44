//! `POST /v1/approvals/{approval_id}/reject`: one person's no ends it.

use axum::Json;
use axum::extract::State;
use domain::ApprovalId;
use serde::Deserialize;
use store::Tx;
use store::approvals::{self, Decision};
use utoipa::ToSchema;
use uuid::Uuid;

use super::content::hash_of;
use super::decided::{DecisionTaken, check_comment, refused};
use super::told;
use crate::auth::{ApprovalsDecide, Caller};
use crate::input::{InPath, Json as Body};
use crate::openapi::Decides;
use crate::problem::Problem;
use crate::state::Api;

/// A no to exactly one content.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RejectRequest {
    /// The hash that the approval showed when you looked at it.
    #[schema(min_length = 64, max_length = 64)]
    content_hash: String,
    /// Why; whoever asked reads it.
    #[schema(min_length = 1, max_length = 2000)]
    comment: String,
}

/// Reject
///
/// One rejection ends the approval; edited, the same thing can be asked for again. For people only.
#[utoipa::path(
    post,
    path = "/v1/approvals/{approval_id}/reject",
    tag = "approvals",
    operation_id = "reject",
    security(("token" = ["approvals:decide"])),
    params(("approval_id" = Uuid, Path, description = "The approval.")),
    request_body = RejectRequest,
    responses((status = 200, description = "It is rejected.", body = DecisionTaken), Decides),
)]
pub(crate) async fn reject(
    State(api): State<Api>,
    caller: Caller<ApprovalsDecide>,
    InPath(approval): InPath<Uuid>,
    Body(request): Body<RejectRequest>,
) -> Result<Json<DecisionTaken>, Problem> {
    let hash = hash_of(&request.content_hash)?;
    let comment = check_comment(&request.comment)?;
    let approval = ApprovalId(approval);
    let mut tx = Tx::for_actor(api.store(), &caller.actor).await?;
    let decided =
        approvals::decide(&mut tx, approval, Decision::Reject, hash, Some(comment)).await.map_err(refused)?;
    tx.commit().await?;
    told::changed(&api, caller.actor.org_id, approval, decided.state, &decided.subject_kind).await;
    Ok(Json(DecisionTaken::of(approval, &decided)))
}
