//! `/v1/secrets`: provider credentials. They go in and never come out: this process holds no key that opens
//! them.

mod change;
mod create;
mod delete;
mod list;
mod replace;
mod value;
mod view;

pub(crate) use value::{hidden, hidden_option};

use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::state::Api;

pub(crate) fn router() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(list::list, create::create))
        .routes(routes!(change::change, delete::delete))
        .routes(routes!(replace::replace))
}
