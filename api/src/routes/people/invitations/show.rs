//! `POST /v1/auth/invitation`: what an invitation's link is for. A POST, so that the token is in no address.

use axum::Json;
use axum::extract::State;
use chrono::{DateTime, Utc};
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use store::people::invitations::{self, NotAccepted, State as Stands};
use utoipa::ToSchema;

use super::view::refused;
use crate::auth::{Visitor, slow};
use crate::input::Json as Body;
use crate::openapi::Door;
use crate::problem::Problem;
use crate::routes::secrets::hidden;
use crate::state::Api;

/// What a link carries.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct InvitationToken {
    /// What stands after `#token=`.
    #[serde(deserialize_with = "hidden")]
    #[schema(value_type = String)]
    token: SecretString,
}

/// What an invitation is for.
#[derive(Serialize, ToSchema)]
pub(crate) struct InvitationFor {
    /// Into which organisation.
    #[schema(example = "Acme")]
    org_name: String,
    /// For whom.
    #[schema(example = "ann@example.com")]
    email: String,
    /// As what.
    #[schema(example = "support")]
    role: &'static str,
    /// Who invites, when it was a person.
    inviter: Option<String>,
    /// Until when.
    expires_at: DateTime<Utc>,
    /// Whether the address has an account: then its password accepts, else a name and a new password do.
    has_account: bool,
}

/// Look at an invitation
#[utoipa::path(
    post,
    path = "/v1/auth/invitation",
    tag = "sign-in",
    operation_id = "showInvitation",
    security(()),
    request_body = InvitationToken,
    responses((status = 200, description = "What it is for.", body = InvitationFor), Door),
)]
pub(crate) async fn show(
    State(api): State<Api>,
    visitor: Visitor,
    Body(request): Body<InvitationToken>,
) -> Result<Json<InvitationFor>, Problem> {
    slow::link(&api, &visitor).await?;
    let hash = invitations::hash(&request.token);
    let shown = invitations::look_up(api.store(), &hash).await.map_err(refused)?;
    let state = shown.invitation.state(api.now());
    if state != Stands::Open {
        return Err(refused(NotAccepted::Ended(state)));
    }
    Ok(Json(InvitationFor {
        org_name: shown.org_name,
        has_account: shown.account.is_some(),
        role: shown.invitation.role.as_str(),
        inviter: shown.invitation.inviter,
        expires_at: shown.invitation.expires_at,
        email: shown.invitation.email,
    }))
}
