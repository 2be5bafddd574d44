//! `POST /v1/invitations/{invitation_id}/resend`: mails it again, with another link.

use axum::Json;
use axum::extract::State;
use domain::InvitationId;
use store::Tx;
use store::people::invitations;
use uuid::Uuid;

use super::view::{InvitationItem, mailing};
use crate::auth::{Caller, PeopleWrite};
use crate::input::InPath;
use crate::openapi::Changes;
use crate::problem::Problem;
use crate::routes::people::ask;
use crate::state::Api;

/// Send an invitation again
///
/// With another link, for another seven days; the link that was mailed before ends. At most once a minute.
#[utoipa::path(
    post,
    path = "/v1/invitations/{invitation_id}/resend",
    tag = "people",
    operation_id = "resendInvitation",
    security(("token" = ["people:write"])),
    params(("invitation_id" = Uuid, Path, description = "The invitation.")),
    responses((status = 200, description = "The invitation; its mail is on its way.", body = InvitationItem), Changes),
)]
pub(crate) async fn resend(
    State(api): State<Api>,
    caller: Caller<PeopleWrite>,
    InPath(invitation): InPath<Uuid>,
) -> Result<Json<InvitationItem>, Problem> {
    let (invitation, now) = (InvitationId(invitation), api.now());
    let mut tx = Tx::for_actor(api.store(), &caller.actor).await?;
    ask::check_reach(&caller.actor, invitations::get(&mut tx, invitation).await?.role)?;
    let job = mailing(caller.actor.org_id, &caller, invitation)?;
    let after = invitations::resend(&mut tx, invitation, job.job_id, now).await?;
    api.queue().enqueue_in(tx.conn(), std::slice::from_ref(&job)).await?;
    tx.commit().await?;
    api.queue().announce(std::slice::from_ref(&job));
    Ok(Json(InvitationItem::of(after, now, Some(&job))))
}
