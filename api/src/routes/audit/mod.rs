//! `/v1/audit`: who changed what.

mod checkpoints;
mod export;
mod list;
mod show;
mod verify;
mod view;

use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::state::Api;

pub(crate) fn router() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(list::list))
        .routes(routes!(export::export))
        .routes(routes!(checkpoints::checkpoints))
        .routes(routes!(verify::verify))
        .routes(routes!(show::show))
}
