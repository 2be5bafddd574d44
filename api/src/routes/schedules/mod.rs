//! `/v1/schedules`: jobs that come back by the calendar.

mod change;
mod create;
mod delete;
mod list;
mod mode;
mod preview;
mod run_now;
mod show;
mod ticks;
mod view;

use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::state::Api;

pub(crate) fn router() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(list::list, create::create))
        .routes(routes!(preview::preview))
        .routes(routes!(show::show, change::change, delete::delete))
        .routes(routes!(mode::pause))
        .routes(routes!(mode::resume))
        .routes(routes!(run_now::run_now))
        .routes(routes!(ticks::ticks))
}
