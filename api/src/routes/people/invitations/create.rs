//! `POST /v1/invitations`: asks somebody in, by mail.

use axum::Json;
use axum::extract::State;
use domain::InvitationId;
use domain::mail::MailAddress;
use http::StatusCode;
use serde::Deserialize;
use store::Tx;
use store::people::invitations::{self, NewInvitation};
use utoipa::ToSchema;
use uuid::Uuid;

use super::view::{InvitationItem, mailing};
use crate::auth::{Caller, PeopleWrite};
use crate::input::Json as Body;
use crate::openapi::Changes;
use crate::problem::Problem;
use crate::routes::people::ask;
use crate::state::Api;

/// Languages a mail can be written in.
const LOCALES: &[&str] = &["en", "es", "ne", "ar"];

/// Somebody to invite.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct InvitationRequest {
    /// Where the mail goes, and whom the invitation is for.
    #[schema(example = "ann@example.com", min_length = 3, max_length = 254)]
    email: String,
    /// owner, manager, finance, support or auditor.
    #[schema(example = "support")]
    role: String,
    /// The workspaces they will see; all when left out. Owners and auditors see every workspace.
    workspaces: Option<Vec<Uuid>>,
    /// Language of the mail: en, es, ne or ar.
    #[serde(default = "english")]
    #[schema(default = "en", example = "en")]
    locale: String,
}

fn english() -> String {
    "en".to_owned()
}

/// Invite a person
///
/// A worker mails them a link that works once, for seven days.
#[utoipa::path(
    post,
    path = "/v1/invitations",
    tag = "people",
    operation_id = "createInvitation",
    security(("token" = ["people:write"])),
    request_body = InvitationRequest,
    responses((status = 201, description = "The invitation; its mail is on its way.", body = InvitationItem), Changes),
)]
pub(crate) async fn create(
    State(api): State<Api>,
    caller: Caller<PeopleWrite>,
    Body(request): Body<InvitationRequest>,
) -> Result<(StatusCode, Json<InvitationItem>), Problem> {
    let email =
        MailAddress::parse(&request.email).map_err(|error| Problem::field("/email", error.to_string()))?;
    let role = ask::role(&request.role)?;
    ask::check_reach(&caller.actor, role)?;
    if !LOCALES.contains(&request.locale.as_str()) {
        return Err(Problem::field("/locale", "must be one of en, es, ne, ar"));
    }
    let org = caller.actor.org_id;
    let mut tx = Tx::for_actor(api.store(), &caller.actor).await?;
    let workspaces = ask::rooms(&mut tx, role, request.workspaces).await?;
    let invitation_id = InvitationId::new();
    let job = mailing(org, &caller, invitation_id)?;
    let email = email.to_string();
    let new = NewInvitation {
        invitation_id,
        email: &email,
        role,
        workspaces,
        locale: &request.locale,
        job_id: job.job_id,
    };
    let made = invitations::create(&mut tx, &new, api.now()).await?;
    api.queue().enqueue_in(tx.conn(), std::slice::from_ref(&job)).await?;
    tx.commit().await?;
    api.queue().announce(std::slice::from_ref(&job));
    Ok((StatusCode::CREATED, Json(InvitationItem::of(made, api.now(), Some(&job)))))
}
