//! `GET /v1/invitations`: who was asked in.

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use store::Tx;
use store::people::invitations::{self, State as Stands};
use utoipa::ToSchema;

use super::view::InvitationItem;
use crate::auth::{Caller, PeopleRead};
use crate::input::Params;
use crate::openapi::Reads;
use crate::problem::{Code, Problem};
use crate::routes::people::ask;
use crate::state::Api;

/// Which to list.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct InvitationParams {
    /// In this state: open, accepted, revoked or expired.
    #[param(example = "open")]
    state: Option<String>,
    /// The `next_cursor` of the page before.
    #[param(min_length = 1)]
    cursor: Option<String>,
    /// Invitations wanted; 50 when left out.
    #[param(minimum = 1, maximum = 200)]
    limit: Option<u16>,
}

/// Invitations.
#[derive(Serialize, ToSchema)]
pub(crate) struct InvitationList {
    /// The newest first.
    invitations: Vec<InvitationItem>,
    /// Ask for the next page with it; null at the end.
    next_cursor: Option<String>,
}

/// List invitations
#[utoipa::path(
    get,
    path = "/v1/invitations",
    tag = "people",
    operation_id = "listInvitations",
    security(("token" = ["people:read"])),
    params(InvitationParams),
    responses((status = 200, description = "A page of invitations.", body = InvitationList), Reads),
)]
pub(crate) async fn list(
    State(api): State<Api>,
    caller: Caller<PeopleRead>,
    Params(params): Params<InvitationParams>,
) -> Result<Json<InvitationList>, Problem> {
    let limit = ask::limit(params.limit)?;
    let state = match params.state.as_deref() {
        None => None,
        Some("open") => Some(Stands::Open),
        Some("accepted") => Some(Stands::Accepted),
        Some("revoked") => Some(Stands::Revoked),
        Some("expired") => Some(Stands::Expired),
        Some(_) => {
            return Err(Problem::new(Code::BadQuery, "state: must be open, accepted, revoked or expired"));
        }
    };
    let now = api.now();
    let mut tx = Tx::for_reader(api.store(), &caller.actor).await?;
    let page = invitations::list(&mut tx, state, now, params.cursor.as_deref(), limit).await?;
    Ok(Json(InvitationList {
        invitations: page.items.into_iter().map(|item| InvitationItem::of(item, now, None)).collect(),
        next_cursor: page.next,
    }))
}
