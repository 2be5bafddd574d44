//! `/v1/hooks`: the addresses at which providers' webhooks arrive, what arrived, and the door itself.

mod change;
mod create;
mod disable;
mod door;
mod events;
mod list;
mod rates;
mod replay;
mod rotate;
mod secret;
mod show_event;
mod view;

pub(crate) use rates::Rates;

use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::state::Api;

pub(crate) fn router() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(list::list, create::create))
        .routes(routes!(change::change, disable::disable))
        .routes(routes!(rotate::rotate))
        .routes(routes!(events::events))
        .routes(routes!(show_event::show))
        .routes(routes!(replay::replay))
        .routes(routes!(door::receive))
}
