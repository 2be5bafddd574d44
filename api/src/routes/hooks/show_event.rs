//! `GET /v1/hooks/events/{event_id}`: one webhook that arrived, as it came.

use axum::Json;
use axum::extract::State;
use domain::HookEventId;
use store::{Tx, hooks};
use uuid::Uuid;

use super::view::HookEventDetail;
use crate::auth::{Caller, HooksRead};
use crate::input::InPath;
use crate::openapi::ReadsOne;
use crate::problem::Problem;
use crate::state::Api;

/// Show an inbound webhook
#[utoipa::path(
    get,
    path = "/v1/hooks/events/{event_id}",
    tag = "inbound webhooks",
    operation_id = "showHookEvent",
    security(("token" = ["hooks:read"])),
    params(("event_id" = Uuid, Path, description = "The event.")),
    responses((status = 200, description = "The event.", body = HookEventDetail), ReadsOne),
)]
pub(crate) async fn show(
    State(api): State<Api>,
    caller: Caller<HooksRead>,
    InPath(id): InPath<Uuid>,
) -> Result<Json<HookEventDetail>, Problem> {
    let mut tx = Tx::for_reader(api.store(), &caller.actor).await?;
    Ok(Json(hooks::event(&mut tx, HookEventId(id)).await?.into()))
}
