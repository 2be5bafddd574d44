//! `/v1/people`, `/v1/invitations`, `/v1/workspaces`, `/v1/tokens`: who belongs to the organisation.

use utoipa_axum::router::OpenApiRouter;

use crate::state::Api;

pub(crate) fn router() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
}
