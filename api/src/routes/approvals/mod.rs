//! `/v1/approvals`: what waits to be countersigned.
//!
//! The routes put questions and show answers; whose decision counts and what it releases is the database's
//! say. Refuses to decide for anybody: no token carries that permission, and no route approves many at once.

mod approve;
pub(crate) mod ask;
pub(crate) mod content;
mod decided;
mod edit;
pub(crate) mod guards;
mod list;
mod reject;
mod rules;
mod show;
pub(crate) mod told;
mod view;
mod withdraw;

use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::state::Api;

pub(crate) fn router() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(ask::ask, list::list))
        .routes(routes!(rules::rules))
        .routes(routes!(rules::put_rule, rules::delete_rule))
        .routes(routes!(show::show))
        .routes(routes!(edit::edit))
        .routes(routes!(approve::approve))
        .routes(routes!(reject::reject))
        .routes(routes!(withdraw::withdraw))
}
