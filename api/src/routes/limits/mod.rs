//! `/v1/limits`: rates that all workers share.

mod delete;
mod list;
mod put;
mod usage;

use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::state::Api;

pub(crate) fn router() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(list::list, put::put))
        .routes(routes!(usage::usage))
        .routes(routes!(delete::delete))
}
