//! `/v1/people`, `/v1/invitations`, `/v1/workspaces`, `/v1/tokens`: who belongs to the organisation, who is
//! invited, the rooms they are given, and the tokens machines come with.

mod ask;
mod invitations;
mod members;
mod tokens;
mod workspaces;

use utoipa_axum::router::OpenApiRouter;

use crate::state::Api;

pub(crate) fn router() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .merge(members::router())
        .merge(invitations::router())
        .merge(workspaces::router())
        .merge(tokens::router())
}
