//! `/v1/people`: the organisation's members.

mod access;
mod change;
mod list;
mod sessions;
mod show;
mod view;

use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::state::Api;

pub(super) fn router() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(list::list))
        .routes(routes!(show::show, change::change))
        .routes(routes!(access::disable))
        .routes(routes!(access::enable))
        .routes(routes!(sessions::list, sessions::end_all))
}
