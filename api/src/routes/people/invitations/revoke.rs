//! `DELETE /v1/invitations/{invitation_id}`: withdraws an invitation.

use axum::extract::State;
use domain::InvitationId;
use http::StatusCode;
use store::Tx;
use store::people::invitations;
use uuid::Uuid;

use crate::auth::{Caller, PeopleWrite};
use crate::input::InPath;
use crate::openapi::Changes;
use crate::problem::Problem;
use crate::state::Api;

/// Withdraw an invitation
///
/// Its link ends at once. Twice is as good as once.
#[utoipa::path(
    delete,
    path = "/v1/invitations/{invitation_id}",
    tag = "people",
    operation_id = "revokeInvitation",
    security(("token" = ["people:write"])),
    params(("invitation_id" = Uuid, Path, description = "The invitation.")),
    responses((status = 204, description = "It works no more."), Changes),
)]
pub(crate) async fn revoke(
    State(api): State<Api>,
    caller: Caller<PeopleWrite>,
    InPath(invitation): InPath<Uuid>,
) -> Result<StatusCode, Problem> {
    let mut tx = Tx::for_actor(api.store(), &caller.actor).await?;
    invitations::revoke(&mut tx, InvitationId(invitation), api.now()).await?;
    tx.commit().await?;
    Ok(StatusCode::NO_CONTENT)
}
