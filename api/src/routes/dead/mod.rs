//! `/v1/dead`: jobs that gave up, and what may be done with them.
//!
//! What a replay needs is decided by the effect class of its kind: reading and writing need nothing,
//! what reaches people needs a confirmation, what moves money, or is guarded by a rule, needs an approval: it is
//! asked for instead, one job at a time.

mod discard;
mod discard_many;
mod effects;
mod filter;
mod groups;
mod list;
mod replay;
mod replay_approval;
mod replay_many;

use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::state::Api;

pub(crate) fn router() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(list::list))
        .routes(routes!(groups::groups))
        .routes(routes!(replay_many::replay_many))
        .routes(routes!(discard_many::discard_many))
        .routes(routes!(replay::replay))
        .routes(routes!(discard::discard))
}
