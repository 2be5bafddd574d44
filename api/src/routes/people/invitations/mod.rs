//! `/v1/invitations`: who is asked in; and `/v1/auth/invitation`, where they come in.

mod accept;
mod create;
mod list;
mod resend;
mod revoke;
mod show;
mod view;

use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::state::Api;

pub(super) fn router() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(list::list, create::create))
        .routes(routes!(revoke::revoke))
        .routes(routes!(resend::resend))
        .routes(routes!(show::show))
        .routes(routes!(accept::accept))
}
