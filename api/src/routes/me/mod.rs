//! `/v1/me`: what somebody signed in sees and changes of themselves.

mod change;
mod org;
mod password;
mod permissions;
mod recovery_codes;
mod sessions;
mod show;
mod step_up;
mod totp;
mod view;

use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::state::Api;

pub(crate) use view::Me;

pub(crate) fn router() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(show::show, change::change))
        .routes(routes!(permissions::permissions))
        .routes(routes!(password::password))
        .routes(routes!(totp::propose, totp::remove))
        .routes(routes!(totp::confirm))
        .routes(routes!(recovery_codes::renew))
        .routes(routes!(step_up::step_up))
        .routes(routes!(org::switch))
        .routes(routes!(sessions::list))
        .routes(routes!(sessions::end))
        .routes(routes!(sessions::end_others))
}
