//! `/v1/jobs`.

mod cancel;
mod enqueue;
mod enqueue_batch;
mod list;
pub(crate) mod request;
mod retry;
pub(crate) mod room;
mod show;
mod stats;
mod timeline;
pub(crate) mod view;
mod waiting;

use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub(crate) use enqueue::{Accepted, header_key};
pub(crate) use list::{no_nul, page_ask};
pub(crate) use retry::Requeued;

use crate::state::Api;

pub(crate) fn router() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(enqueue::enqueue, list::list))
        .routes(routes!(enqueue_batch::enqueue_batch))
        .routes(routes!(stats::stats))
        .routes(routes!(show::show))
        .routes(routes!(cancel::cancel))
        .routes(routes!(retry::retry))
}
