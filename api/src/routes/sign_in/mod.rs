//! `/v1/auth`: getting in: sign-in, reset, invitations, OIDC. No token needed, nothing said about who exists.

use utoipa_axum::router::OpenApiRouter;

use crate::state::Api;

pub(crate) fn router() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
}
