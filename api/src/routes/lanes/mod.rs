//! `/v1/lanes`: where jobs wait. An organisation decides over its own share of a lane only.

mod change;
mod list;
mod mode;

use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::state::Api;

pub(crate) fn router() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(list::list))
        .routes(routes!(change::change))
        .routes(routes!(mode::pause))
        .routes(routes!(mode::resume))
        .routes(routes!(mode::drain))
}
