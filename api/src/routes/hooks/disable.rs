//! `DELETE /v1/hooks/endpoints/{endpoint_id}`: an endpoint takes nothing any more; what arrived stays.

use axum::extract::State;
use domain::HookEndpointId;
use http::StatusCode;
use store::hooks::EndpointPatch;
use store::{Tx, hooks};
use uuid::Uuid;

use crate::auth::{Caller, HooksWrite};
use crate::input::InPath;
use crate::openapi::Changes;
use crate::problem::Problem;
use crate::state::Api;

/// Disable an inbound webhook endpoint
///
/// What arrived stays. `PATCH` with `enabled: true` opens it again.
#[utoipa::path(
    delete,
    path = "/v1/hooks/endpoints/{endpoint_id}",
    tag = "inbound webhooks",
    operation_id = "disableHookEndpoint",
    security(("token" = ["hooks:write"])),
    params(("endpoint_id" = Uuid, Path, description = "The endpoint.")),
    responses((status = 204, description = "It takes nothing any more."), Changes),
)]
pub(crate) async fn disable(
    State(api): State<Api>,
    caller: Caller<HooksWrite>,
    InPath(id): InPath<Uuid>,
) -> Result<StatusCode, Problem> {
    let mut tx = Tx::for_actor(api.store(), &caller.actor).await?;
    let patch = EndpointPatch { enabled: Some(false), ..EndpointPatch::default() };
    hooks::change(&mut tx, HookEndpointId(id), &patch).await?;
    tx.commit().await?;
    Ok(StatusCode::NO_CONTENT)
}
